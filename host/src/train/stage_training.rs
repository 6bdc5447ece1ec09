//! One stage's optimisation: batches of pairs, the schedule, the metrics of every step.

use anyhow::{Result, bail};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::loss::{LossSettings, PairLogps, PairLoss, pair_loss};
use crate::config::{Loss, Schedule, Train};
use crate::error::UserError;
use crate::model::tree::Sequence;
use crate::model::{Model, Trainer};
use crate::progress::{Progress, say};
use crate::records::{Overrides, Pair, StepMetrics};
use crate::sft::shuffle;

/// log p of a pair's chosen and rejected response, nats.
pub type Logps = [f64; 2];

/// A stage's settings: the config's, with the policy's departures from it.
#[derive(Debug, Clone, PartialEq)]
pub struct StageSettings {
    /// The loss and what shapes it.
    pub loss: LossSettings,
    /// Passes over the pairs.
    pub epochs: u32,
    /// Peak learning rate.
    pub learning_rate: f64,
}

impl StageSettings {
    /// Applies a policy's overrides to the config.
    pub fn new(train: &Train, overrides: &Overrides) -> Result<Self> {
        let loss = match &overrides.loss {
            None => train.loss,
            Some(name) => serde_json::from_value(name.as_str().into()).map_err(|_| {
                UserError::new(format!("the staging policy asks for the loss `{name}`, which there is not"))
                    .hint("losses: dpo, ipo, hinge")
            })?,
        };
        let label_smoothing = overrides.label_smoothing.unwrap_or(train.label_smoothing);
        if label_smoothing > 0.0 && loss != Loss::Dpo {
            say("train", &format!("label smoothing {label_smoothing} has no meaning for this loss and is not applied"));
        }
        let base = train.learning_rate.unwrap_or(if train.lora.is_some() { 1e-5 } else { 5e-7 });
        Ok(Self {
            loss: LossSettings {
                loss,
                beta: overrides.beta.unwrap_or(train.beta),
                label_smoothing,
                nll_weight: overrides.nll_weight.unwrap_or(train.nll_weight),
            },
            epochs: overrides.epochs.unwrap_or(train.epochs),
            learning_rate: base * overrides.learning_rate_scale.unwrap_or(1.0),
        })
    }
}

/// Means over the last epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LastEpoch {
    /// Loss.
    pub loss: f64,
    /// Share of pairs with the chosen reward above the rejected.
    pub accuracy: f64,
    /// Reward margin.
    pub margin: f64,
}

/// Trains on `pairs` (in order in the first epoch, shuffled in later ones) and reports every step.
///
/// `reference[i]` belongs to `pairs[i]`. Where `at_reference`, the policy is its own reference before the first step, which is checked.
#[allow(clippy::too_many_arguments, reason = "each is one thing the stage is made of")]
pub fn train(
    model: &Model,
    name: &str,
    pairs: &[&Pair],
    reference: &[Logps],
    at_reference: bool,
    config: &Train,
    settings: &StageSettings,
    (seed, first_step): (u64, u64),
    mut report: impl FnMut(&StepMetrics) -> Result<()>,
) -> Result<LastEpoch> {
    let per_epoch = pairs.len().div_ceil(config.batch);
    let total = per_epoch * settings.epochs as usize;
    let progress = Progress::start("train", total as u64, "steps");
    let mut trainer = Trainer::new(model, config.adam_betas, config.weight_decay);
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(first_step);
    let mut last = LastEpoch::default();
    let mut step = 0;
    for epoch in 0..settings.epochs {
        if epoch > 0 {
            shuffle(&mut order, &mut random);
        }
        last = LastEpoch::default();
        for batch in order.chunks(config.batch) {
            let started = std::time::Instant::now();
            let rate = settings.learning_rate * schedule(config, step, total);
            let mut sum = Sums::default();
            let micro = if config.micro_batch == 0 { batch.len() } else { config.micro_batch };
            for part in batch.chunks(micro) {
                let groups: Vec<Vec<Sequence>> = part.iter().map(|&i| sequences(pairs[i])).collect();
                trainer.accumulate(model, &groups, |logps| {
                    let mut derivative = Vec::with_capacity(logps.len());
                    for (&i, logp) in part.iter().zip(logps.chunks(2)) {
                        let value = pair_loss(&pair_logps(pairs[i], logp, &reference[i]), &settings.loss);
                        derivative
                            .extend([value.by_chosen / batch.len() as f64, value.by_rejected / batch.len() as f64]);
                        sum.add(pairs[i], &value, logp, &reference[i], model.rounding());
                    }
                    derivative
                })?;
            }
            if let Some(pair) = &sum.not_finite {
                return Err(UserError::new(format!(
                    "training {name}: the loss is not finite at pair {pair}, step {}",
                    step + 1
                ))
                .hint("lower train.learning_rate; the checkpoint of the stage before is kept")
                .into());
            }
            if step == 0 && at_reference && sum.largest_ratio > SELF_CHECK {
                bail!(
                    "training {name}: before the first step the policy differs from its reference by {:.3} nats on a pair; \
                     token ids or model are not those the reference was computed from",
                    sum.largest_ratio
                );
            }
            let norm = trainer.step(rate, config.max_grad_norm)?;
            if !norm.is_finite() {
                return Err(UserError::new(format!(
                    "training {name}: the gradient is not finite at step {}",
                    step + 1
                ))
                .hint("lower train.learning_rate; the checkpoint of the stage before is kept")
                .into());
            }
            step += 1;
            let n = batch.len() as f64;
            let metrics = StepMetrics {
                step: first_step + step as u64,
                stage: name.to_owned(),
                epoch: step as f64 / per_epoch as f64,
                loss: sum.loss / n,
                grad_norm: norm,
                learning_rate: rate,
                rewards_chosen: sum.chosen / n,
                rewards_rejected: sum.rejected / n,
                rewards_accuracies: sum.right / n,
                rewards_margins: (sum.chosen - sum.rejected) / n,
                logps_chosen: sum.logp_chosen / n,
                logps_rejected: sum.logp_rejected / n,
                tokens_per_second: sum.tokens as f64 / started.elapsed().as_secs_f64(),
            };
            report(&metrics)?;
            let share = n / pairs.len() as f64;
            last.loss += metrics.loss * share;
            last.accuracy += metrics.rewards_accuracies * share;
            last.margin += metrics.rewards_margins * share;
            progress.note(format!("{name}  loss {:.3}  margin {:+.2}", metrics.loss, metrics.rewards_margins));
            progress.advance(1);
        }
    }
    trainer.finish();
    progress.finish(&format!(
        "{name}: {} pairs, {total} steps, loss {:.3}, reward accuracy {:.2}",
        pairs.len(),
        last.loss,
        last.accuracy
    ));
    Ok(last)
}

/// More than two orders of summation can differ by in f32, less than any wrong token would cause. What bf16 rounds away comes on top.
const SELF_CHECK: f64 = 0.05;

/// log p of both responses of every pair.
pub fn log_probabilities(model: &Model, pairs: &[&Pair], adapter: bool) -> Result<Vec<Logps>> {
    let all: Vec<Sequence> = pairs.iter().flat_map(|pair| sequences(pair)).collect();
    let sums = model.log_probabilities(&all, adapter, |_| {})?;
    Ok(sums.chunks(2).map(|two| [two[0], two[1]]).collect())
}

fn sequences(pair: &Pair) -> Vec<Sequence> {
    [&pair.chosen_token_ids, &pair.rejected_token_ids]
        .map(|response| Sequence {
            ids: [&pair.prompt_token_ids[..], response].concat(),
            from: pair.prompt_token_ids.len(),
        })
        .into()
}

fn pair_logps(pair: &Pair, logp: &[f64], reference: &Logps) -> PairLogps {
    PairLogps {
        chosen: logp[0],
        rejected: logp[1],
        reference_chosen: reference[0],
        reference_rejected: reference[1],
        chosen_tokens: pair.chosen_token_ids.len(),
        rejected_tokens: pair.rejected_token_ids.len(),
    }
}

/// Share of the peak rate at `step` of `total`.
fn schedule(config: &Train, step: usize, total: usize) -> f64 {
    let warm = (config.warmup * total as f64).round();
    let at = step as f64;
    if at < warm {
        return (at + 1.0) / warm;
    }
    match config.schedule {
        Schedule::Constant => 1.0,
        Schedule::Linear => {
            let done = (at - warm) / (total as f64 - warm).max(1.0);
            1.0 - (1.0 - config.final_rate) * done
        }
    }
}

/// Sums over a batch.
#[derive(Default)]
struct Sums {
    loss: f64,
    chosen: f64,
    rejected: f64,
    right: f64,
    logp_chosen: f64,
    logp_rejected: f64,
    tokens: usize,
    largest_ratio: f64,
    not_finite: Option<String>,
}

impl Sums {
    fn add(&mut self, pair: &Pair, value: &PairLoss, logp: &[f64], reference: &Logps, rounding: f64) {
        if !value.loss.is_finite() && self.not_finite.is_none() {
            self.not_finite = Some(pair.id.clone());
        }
        self.loss += value.loss;
        self.chosen += value.reward_chosen;
        self.rejected += value.reward_rejected;
        self.right += f64::from(u8::from(value.reward_chosen > value.reward_rejected));
        self.logp_chosen += logp[0];
        self.logp_rejected += logp[1];
        self.tokens += pair.prompt_token_ids.len() + pair.chosen_token_ids.len() + pair.rejected_token_ids.len();
        // Rounding errors of independent tokens add up like a random walk.
        for ((now, then), ids) in logp.iter().zip(reference).zip([&pair.chosen_token_ids, &pair.rejected_token_ids]) {
            let explained = rounding * (ids.len() as f64).sqrt();
            self.largest_ratio = self.largest_ratio.max((now - then).abs() - explained);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::golden_tests::{oracles, section};
    use crate::records::PromptText;

    /// TRL's trajectory: AdamW (0.9, 0.999), no decay, constant rate, clip 1, batch 8, rows in order, β 0.1.
    fn trl() -> Train {
        Train {
            loss: Loss::Dpo,
            beta: 0.1,
            schedule: Schedule::Constant,
            warmup: 0.0,
            adam_betas: [0.9, 0.999],
            max_grad_norm: 1.0,
            batch: 8,
            epochs: 1,
            ..Train::default()
        }
    }

    fn pair(n: usize, prompt: Vec<u32>, chosen: Vec<u32>, rejected: Vec<u32>) -> Pair {
        Pair {
            id: n.to_string(),
            prompt_id: n.to_string(),
            group: None,
            prompt: PromptText::Text(String::new()),
            chosen: PromptText::Text(String::new()),
            rejected: PromptText::Text(String::new()),
            chosen_rating: 1.0,
            rejected_rating: 0.0,
            gap: 1.0,
            dimensions: Default::default(),
            chosen_index: 0,
            rejected_index: 1,
            prompt_token_ids: prompt,
            chosen_token_ids: chosen,
            rejected_token_ids: rejected,
        }
    }

    #[test]
    fn twenty_steps_equal_trls_trajectory_in_full_and_with_lora() {
        let Some(dir) = oracles().map(|o| o.join("dpo")) else { return };
        let rows: Vec<serde_json::Value> = std::fs::read_to_string(dir.join("data.jsonl"))
            .expect("data")
            .lines()
            .map(|l| serde_json::from_str(l).expect("json"))
            .collect();
        let ids = |row: &serde_json::Value, key: &str| -> Vec<u32> {
            row[key].as_array().expect("ids").iter().map(|v| v.as_u64().expect("id") as u32).collect()
        };
        let pairs: Vec<Pair> = rows
            .iter()
            .enumerate()
            .map(|(i, row)| pair(i, ids(row, "prompt_ids"), ids(row, "chosen_ids"), ids(row, "rejected_ids")))
            .collect();
        let pairs: Vec<&Pair> = pairs.iter().collect();
        for (name, adapter) in [("full", false), ("lora", true), ("lora_lr2e-3", true)] {
            let golden: serde_json::Value = serde_json::from_str(
                &std::fs::read_to_string(dir.join(name).join("trajectory.json")).expect("trajectory"),
            )
            .expect("json");
            let steps = golden["steps"].as_array().expect("steps");
            // TRL read the rows in order, again from the first when they were through.
            let used: Vec<&Pair> = pairs.iter().copied().cycle().take(steps.len() * 8).collect();
            let used = &used[..];
            let mut model = Model::load(&dir.join("initial"), &section()).expect("model");
            let reference = log_probabilities(&model, used, false).expect("reference");
            for (ours, row) in reference.iter().zip(&rows) {
                let golden = row["ref_chosen_logps"].as_f64().expect("number");
                // Sums of tens of f32 log-probabilities near 150 nats.
                assert!((ours[0] - golden).abs() < 2e-4, "{} {golden}", ours[0]);
            }
            if adapter {
                model.attach_saved(&dir.join(name).join("adapter_initial")).expect("adapter");
            }
            let config = trl();
            let settings = StageSettings {
                learning_rate: golden["lr"].as_f64().expect("rate"),
                ..StageSettings::new(&config, &Overrides::default()).expect("settings")
            };
            let mut ours = Vec::new();
            train(&model, name, used, &reference, true, &config, &settings, (0, 0), |m| {
                ours.push(m.clone());
                Ok(())
            })
            .expect("training");
            assert_eq!(ours.len(), steps.len());
            for (ours, golden) in ours.iter().zip(steps) {
                let close = |value: f64, key: &str, tolerance: f64| {
                    let golden = golden[key].as_f64().expect("number");
                    assert!((value - golden).abs() <= tolerance, "{name} step {} {key}: {value} {golden}", ours.step);
                };
                // Rewards are β times differences of sums near 150 nats in f32, whose unit in the last place is 1.5e-5.
                close(ours.loss, "loss", 1e-5);
                close(ours.rewards_chosen, "rewards/chosen", 1e-5);
                close(ours.rewards_rejected, "rewards/rejected", 1e-5);
                close(ours.grad_norm, "grad_norm", 1e-4);
            }
        }
    }

    #[test]
    fn micro_batches_do_not_change_the_mathematics() {
        let Some(dir) = oracles().map(|o| o.join("dpo")) else { return };
        let pairs: Vec<Pair> =
            (0..8_u32).map(|n| pair(n as usize, vec![5, 6, 7 + n], vec![20 + n, 21, 2], vec![30 + n, 2])).collect();
        let pairs: Vec<&Pair> = pairs.iter().collect();
        let losses = |micro_batch: usize| {
            let model = Model::load(&dir.join("initial"), &section()).expect("model");
            let reference = log_probabilities(&model, &pairs, true).expect("reference");
            let config = Train { micro_batch, batch: 4, epochs: 2, ..trl() };
            let settings = StageSettings {
                learning_rate: 1e-4,
                ..StageSettings::new(&config, &Overrides::default()).expect("settings")
            };
            let mut norms = Vec::new();
            train(&model, "test", &pairs, &reference, true, &config, &settings, (0, 0), |m| {
                norms.push(m.grad_norm);
                Ok(())
            })
            .expect("training");
            norms
        };
        for (a, b) in losses(0).iter().zip(losses(1)) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }

    #[test]
    fn the_schedule_warms_up_and_falls_to_its_final_share() {
        let config = Train { warmup: 0.1, final_rate: 0.05, schedule: Schedule::Linear, ..Train::default() };
        assert!((schedule(&config, 0, 20) - 0.5).abs() < 1e-12);
        assert!((schedule(&config, 2, 20) - 1.0).abs() < 1e-12);
        assert!(schedule(&config, 19, 20) < 0.11);
        assert!((schedule(&config, 0, 1) - 1.0).abs() < 1e-12, "a single step is taken at the full rate");
    }
}
