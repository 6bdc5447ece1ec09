//! One stage's optimisation: batches of pairs, the schedule, the metrics of every step.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::batches::{Batches, mismatched};
use super::limits::Limits;
use super::logps::{Logps, ReferenceLogps, mismatched_logps, positions, sequences};
use super::loss::{BatchFacts, LossSettings, PairLogps, PairLoss, kl_estimate, pair_loss};
use super::schedule;
use super::sums::Sums;
use crate::config::{Loss, Train};
use crate::error::UserError;
use crate::model::tree::Sequence;
use crate::model::{Budget, Checkpoints, Model, Saved, Trainer, resident};
use crate::progress::{Progress, say};
use crate::records::{Overrides, Pair, StepMetrics};

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
        let base = train.learning_rate.unwrap_or(if train.lora.is_some() { 1e-5 } else { 5e-7 });
        let train = train.with(overrides)?;
        for note in train.not_applied() {
            say("train", &note);
        }
        Ok(Self {
            loss: LossSettings::new(&train),
            epochs: train.epochs,
            learning_rate: base * overrides.learning_rate_scale.unwrap_or(1.0),
        })
    }
}

/// Means over the last epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LastEpoch {
    /// Loss.
    pub loss: f64,
    /// Share of pairs with the chosen reward above the rejected.
    pub accuracy: f64,
    /// Reward margin.
    pub margin: f64,
}

/// One stage, and what it is trained with.
#[derive(Clone, Copy)]
pub struct StageRun<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its pairs, in order.
    pub pairs: &'a [&'a Pair],
    /// What the loss compares with, where it compares.
    pub reference: Option<&'a ReferenceLogps>,
    /// Whether the policy is its own reference before the first step, which is checked.
    pub at_reference: bool,
    /// The config's settings.
    pub config: &'a Train,
    /// The stage's departures from them.
    pub settings: &'a StageSettings,
    /// The run's seed, and the steps before this stage.
    pub seed: (u64, u64),
    /// How far the policy may go.
    pub limits: Option<Limits<'a>>,
    /// Where step checkpoints are kept, and how many stages came before.
    pub checkpoints: Option<(&'a Checkpoints, usize)>,
}

/// Where within a stage a checkpoint was taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Stages before this one.
    pub stage: usize,
    /// Steps of this one.
    pub step: usize,
    last: LastEpoch,
    num_tokens: u64,
}

/// What a stage came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StageEnd {
    /// Steps that the model holds.
    pub steps: usize,
    /// Means over the last epoch.
    pub last: LastEpoch,
    /// Why it was stopped before its end, and the policy taken back.
    pub stopped: Option<String>,
}

/// Trains a stage (its pairs in order in the first epoch, shuffled in later ones) and reports every step, from `from` on where a run is
/// resumed. In the metrics `num_tokens` counts from the start of the stage.
///
/// A stage that was stopped at a limit leaves the model at the checkpoint before; with `steps` 0 there was none, and what the model holds is
/// not to be used.
pub fn train(
    model: &Model,
    stage: &StageRun,
    from: Option<&Saved<Position>>,
    mut report: impl FnMut(&StepMetrics) -> Result<()>,
) -> Result<StageEnd> {
    let StageRun { name, pairs, reference, config, settings, seed: (seed, first_step), .. } = *stage;
    let per_epoch = pairs.len().div_ceil(config.batch);
    let total = per_epoch * settings.epochs as usize;
    let warm = schedule::warm_steps(config.warmup, total);
    let progress = Progress::start("train", total as u64, "steps");
    let mut trainer = Trainer::new(model, config.adam_betas, config.weight_decay, budget(config, model))?;
    if let Some(lora) = &config.lora {
        trainer = trainer.with_dropout(model, lora.dropout, seed.wrapping_add(first_step));
    }
    let mut at = Position { stage: 0, step: 0, last: LastEpoch::default(), num_tokens: 0 };
    if let Some(saved) = from {
        saved.restore(&mut trainer)?;
        at = saved.position;
        progress.advance(at.step as u64);
    }
    at.stage = stage.checkpoints.map_or(0, |(_, stages)| stages);
    let mut stopped = None;
    let batches = Batches::new(pairs.len(), config.batch, settings.epochs, stage.seed).enumerate();
    for (step, batch) in batches.skip(at.step) {
        if step % per_epoch == 0 {
            at.last = LastEpoch::default();
        }
        let started = std::time::Instant::now();
        let share = schedule::share(config.schedule, step, total, warm, config.final_rate);
        let rate = settings.learning_rate * share;
        let facts = facts(model, pairs, &batch, reference, &settings.loss)?;
        let logps = accumulate(&mut trainer, model, stage, &batch, &facts)?;
        let sum = sums(model, stage, &batch, &facts, &logps);
        let kept = "lower train.learning_rate; the last checkpoint is kept";
        if let Some(pair) = &sum.not_finite {
            return Err(UserError::new(format!(
                "training {name}: the loss is not finite at pair {pair}, step {}",
                step + 1
            ))
            .hint(kept)
            .into());
        }
        if step == 0 && stage.at_reference && sum.largest_ratio > SELF_CHECK {
            bail!(
                "training {name}: before the first step the policy differs from its reference by {:.3} nats on a pair; \
                 token ids or model are not those the reference was computed from",
                sum.largest_ratio
            );
        }
        let tokens = |i: usize| pairs[i].chosen_token_ids.len();
        if let Some(why) = stage.limits.and_then(|limits| limits.passed(&batch, &logps, tokens)) {
            at = go_back(&mut trainer, stage, step)?;
            stopped = Some(format!("step {}: {why}; went back to step {}", step + 1, at.step));
            break;
        }
        let norm = trainer.step(rate, config.max_grad_norm)?;
        if !norm.is_finite() {
            return Err(UserError::new(format!("training {name}: the gradient is not finite at step {}", step + 1))
                .hint(kept)
                .into());
        }
        let n = batch.len() as f64;
        at.num_tokens += sum.seen;
        let metrics = StepMetrics {
            step: first_step + step as u64 + 1,
            stage: name.to_owned(),
            epoch: (step + 1) as f64 / per_epoch as f64,
            loss: sum.loss / n,
            grad_norm: norm,
            learning_rate: rate,
            rewards_chosen: sum.chosen / n,
            rewards_rejected: sum.rejected / n,
            rewards_accuracies: sum.right / n,
            rewards_margins: (sum.chosen - sum.rejected) / n,
            logps_chosen: sum.logp_chosen / n,
            logps_rejected: sum.logp_rejected / n,
            nll_loss: settings.loss.has_nll().then_some(sum.nll / n),
            kl: settings.loss.has(Loss::Kto).then_some(facts.kl),
            num_tokens: at.num_tokens,
            tokens_per_second: sum.tokens as f64 / started.elapsed().as_secs_f64(),
            memory: resident(),
        };
        report(&metrics)?;
        let share = n / pairs.len() as f64;
        at.last.loss += metrics.loss * share;
        at.last.accuracy += metrics.rewards_accuracies * share;
        at.last.margin += metrics.rewards_margins * share;
        at.step = step + 1;
        // After the last step the stage itself is saved.
        if let Some((checkpoints, _)) = stage.checkpoints
            && config.save_steps > 0
            && at.step.is_multiple_of(config.save_steps)
            && at.step < total
        {
            checkpoints.save(metrics.step, &mut trainer, &at)?;
        }
        progress.note(format!("{name}  loss {:.3}  margin {:+.2}", metrics.loss, metrics.rewards_margins));
        progress.advance(1);
    }
    trainer.finish(model);
    let last = at.last;
    progress.finish(&format!(
        "{name}: {} pairs, {} steps, loss {:.3}, reward accuracy {:.2}{}",
        pairs.len(),
        at.step,
        last.loss,
        last.accuracy,
        if stopped.is_some() { ", stopped" } else { "" }
    ));
    Ok(StageEnd { steps: at.step, last, stopped })
}

/// Takes the policy back to the last checkpoint before `step`. One taken at this very step holds what has just been found to go too far.
fn go_back(trainer: &mut Trainer, stage: &StageRun, step: usize) -> Result<Position> {
    let nothing = Position { stage: 0, step: 0, last: LastEpoch::default(), num_tokens: 0 };
    let Some((checkpoints, stages)) = stage.checkpoints else { return Ok(nothing) };
    let Some(saved) = checkpoints.latest(|at: &Position| at.stage == stages && at.step < step)? else {
        return Ok(nothing);
    };
    saved.restore(trainer)?;
    Ok(saved.position)
}

/// What a step may keep in memory; where the config leaves it open, as much as the model takes while it is trained, within bounds that suit
/// most machines.
pub fn budget(config: &Train, model: &Model) -> Budget {
    Budget {
        bytes: match config.activation_memory {
            0 => model.training_bytes().clamp(512 << 20, 2048 << 20),
            mib => mib.saturating_mul(1 << 20),
        },
        recompute: config.gradient_checkpointing,
        trees: config.micro_batch,
    }
}

/// What the losses must know of the whole batch before it is split: the mean length, and KTO's z.
fn facts(
    model: &Model,
    pairs: &[&Pair],
    batch: &[usize],
    reference: Option<&ReferenceLogps>,
    loss: &LossSettings,
) -> Result<BatchFacts> {
    let tokens: usize = batch.iter().map(|&i| pairs[i].chosen_token_ids.len()).sum();
    let mut log_ratios = Vec::new();
    if loss.has(Loss::Kto) {
        let wanted = mismatched(pairs, batch, positions(model))?;
        let reference = reference.context("kto was started without a reference")?;
        for (pair, now) in wanted.iter().zip(mismatched_logps(model, pairs, &wanted, true)?) {
            let then = reference.mismatched.get(pair).context("kto's reference does not know a mismatched pair")?;
            log_ratios.extend([now[0] - then[0], now[1] - then[1]]);
        }
    }
    Ok(BatchFacts { kl: kl_estimate(&log_ratios), mean_chosen_tokens: tokens as f64 / batch.len() as f64 })
}

/// Gathers the gradient of the batch's mean loss; log p of both responses of every pair.
fn accumulate(
    trainer: &mut Trainer,
    model: &Model,
    stage: &StageRun,
    batch: &[usize],
    facts: &BatchFacts,
) -> Result<Vec<f64>> {
    let groups: Vec<Vec<Sequence>> = batch.iter().map(|&i| sequences(stage.pairs[i])).collect();
    let n = batch.len() as f64;
    trainer.accumulate(model, &groups, |part, logps| {
        let values = batch[part].iter().zip(logps.chunks(2)).map(|(&i, logp)| loss_of(stage, i, logp, facts));
        values.flat_map(|value| [value.by_chosen / n, value.by_rejected / n]).collect()
    })
}

fn loss_of(stage: &StageRun, i: usize, logp: &[f64], facts: &BatchFacts) -> PairLoss {
    let then = stage.reference.map(|reference| &reference.pairs[i]);
    pair_loss(&pair_logps(stage.pairs[i], logp, then), &stage.settings.loss, facts)
}

fn sums(model: &Model, stage: &StageRun, batch: &[usize], facts: &BatchFacts, logps: &[f64]) -> Sums {
    let mut sum = Sums::default();
    for (&i, logp) in batch.iter().zip(logps.chunks(2)) {
        let then = stage.reference.map(|reference| &reference.pairs[i]);
        sum.add(stage.pairs[i], &loss_of(stage, i, logp, facts), logp, then, model.rounding());
    }
    sum
}

/// More than two orders of summation can differ by in f32, less than any wrong token would cause. What bf16 rounds away comes on top.
const SELF_CHECK: f64 = 0.05;

fn pair_logps(pair: &Pair, logp: &[f64], reference: Option<&Logps>) -> PairLogps {
    let reference = reference.unwrap_or(&[0.0; 2]);
    PairLogps {
        chosen: logp[0],
        rejected: logp[1],
        reference_chosen: reference[0],
        reference_rejected: reference[1],
        chosen_tokens: pair.chosen_token_ids.len(),
        rejected_tokens: pair.rejected_token_ids.len(),
    }
}

#[cfg(test)]
pub(super) mod tests;
