//! One stage's optimisation: batches of pairs, the schedule, the metrics of every step.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};

use super::batches::{Batches, Mismatch, mismatched};
use super::loss::{BatchFacts, LossSettings, PairLogps, PairLoss, kl_estimate, pair_loss};
use super::schedule;
use crate::config::{Loss, Train};
use crate::error::UserError;
use crate::model::tree::Sequence;
use crate::model::{Model, Trainer};
use crate::progress::{Progress, say};
use crate::records::{Overrides, Pair, StepMetrics};

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

/// What the reference says of a stage's pairs, from before the first step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReferenceLogps {
    /// Of every pair.
    pub pairs: Vec<Logps>,
    /// Of one pair's responses after another's prompt, as far as `kto` will ask: see [`mismatches`].
    pub mismatched: HashMap<Mismatch, Logps>,
}

/// Every mismatch that training with these settings will ask about, each once; none unless the loss is `kto`.
pub fn mismatches(
    model: &Model,
    pairs: &[&Pair],
    config: &Train,
    settings: &StageSettings,
    seed: (u64, u64),
) -> Result<Vec<Mismatch>> {
    let mut all = Vec::new();
    if settings.loss.has(Loss::Kto) {
        for batch in Batches::new(pairs.len(), config.batch, settings.epochs, seed) {
            all.extend(mismatched(pairs, &batch, positions(model))?);
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
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
/// `reference` is asked for where the loss has one. Where `at_reference`, the policy is its own reference before the first step, which is
/// checked. In the metrics `num_tokens` counts from the start of the stage.
#[allow(clippy::too_many_arguments, reason = "each is one thing the stage is made of")]
pub fn train(
    model: &Model,
    name: &str,
    pairs: &[&Pair],
    reference: Option<&ReferenceLogps>,
    at_reference: bool,
    config: &Train,
    settings: &StageSettings,
    (seed, first_step): (u64, u64),
    mut report: impl FnMut(&StepMetrics) -> Result<()>,
) -> Result<LastEpoch> {
    let per_epoch = pairs.len().div_ceil(config.batch);
    let total = per_epoch * settings.epochs as usize;
    let warm = schedule::warm_steps(config.warmup, total);
    let progress = Progress::start("train", total as u64, "steps");
    let mut trainer = Trainer::new(model, config.adam_betas, config.weight_decay);
    let mut last = LastEpoch::default();
    let mut num_tokens = 0;
    for (step, batch) in Batches::new(pairs.len(), config.batch, settings.epochs, (seed, first_step)).enumerate() {
        if step % per_epoch == 0 {
            last = LastEpoch::default();
        }
        let started = std::time::Instant::now();
        let share = schedule::share(config.schedule, step, total, warm, config.final_rate);
        let rate = settings.learning_rate * share;
        let facts = facts(model, pairs, &batch, reference, &settings.loss)?;
        let sum =
            accumulate(&mut trainer, model, pairs, &batch, reference, &settings.loss, &facts, config.micro_batch)?;
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
            return Err(UserError::new(format!("training {name}: the gradient is not finite at step {}", step + 1))
                .hint("lower train.learning_rate; the checkpoint of the stage before is kept")
                .into());
        }
        let n = batch.len() as f64;
        num_tokens += sum.seen;
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
            num_tokens,
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
    trainer.finish();
    progress.finish(&format!(
        "{name}: {} pairs, {total} steps, loss {:.3}, reward accuracy {:.2}",
        pairs.len(),
        last.loss,
        last.accuracy
    ));
    Ok(last)
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

/// Adds the gradient of the batch's mean loss, `micro_batch` pairs at a time (0: all at once): the split changes rounding and nothing else.
#[allow(clippy::too_many_arguments, reason = "each is one thing the gradient is made of")]
fn accumulate(
    trainer: &mut Trainer,
    model: &Model,
    pairs: &[&Pair],
    batch: &[usize],
    reference: Option<&ReferenceLogps>,
    loss: &LossSettings,
    facts: &BatchFacts,
    micro_batch: usize,
) -> Result<Sums> {
    let mut sum = Sums::default();
    let micro = if micro_batch == 0 { batch.len() } else { micro_batch };
    for part in batch.chunks(micro) {
        let groups: Vec<Vec<Sequence>> = part.iter().map(|&i| sequences(pairs[i])).collect();
        trainer.accumulate(model, &groups, |logps| {
            let mut derivative = Vec::with_capacity(logps.len());
            for (&i, logp) in part.iter().zip(logps.chunks(2)) {
                let then = reference.map(|reference| &reference.pairs[i]);
                let value = pair_loss(&pair_logps(pairs[i], logp, then), loss, facts);
                derivative.extend([value.by_chosen / batch.len() as f64, value.by_rejected / batch.len() as f64]);
                sum.add(pairs[i], &value, logp, then, model.rounding());
            }
            derivative
        })?;
    }
    Ok(sum)
}

/// More than two orders of summation can differ by in f32, less than any wrong token would cause. What bf16 rounds away comes on top.
const SELF_CHECK: f64 = 0.05;

/// log p of both responses of every pair.
pub fn log_probabilities(model: &Model, pairs: &[&Pair], adapter: bool) -> Result<Vec<Logps>> {
    let all: Vec<Sequence> = pairs.iter().flat_map(|pair| sequences(pair)).collect();
    in_twos(model.log_probabilities(&all, adapter, |_| {})?)
}

/// log p of both responses of every mismatch, after the prompt they do not belong to.
pub fn mismatched_logps(model: &Model, pairs: &[&Pair], wanted: &[Mismatch], adapter: bool) -> Result<Vec<Logps>> {
    let all: Vec<Sequence> = wanted.iter().flat_map(|&(i, j)| after(pairs[i], pairs[j])).collect();
    in_twos(model.log_probabilities(&all, adapter, |_| {})?)
}

fn in_twos(sums: Vec<f64>) -> Result<Vec<Logps>> {
    Ok(sums.chunks(2).map(|two| [two[0], two[1]]).collect())
}

fn positions(model: &Model) -> usize {
    usize::try_from(model.decoder.spec.positions).unwrap_or(usize::MAX)
}

/// A pair's two texts. All of a response is scored, its end of sequence too, and nothing of the prompt.
fn sequences(pair: &Pair) -> Vec<Sequence> {
    after(pair, pair)
}

fn after(prompt: &Pair, responses: &Pair) -> Vec<Sequence> {
    [&responses.chosen_token_ids, &responses.rejected_token_ids]
        .map(|response| Sequence {
            ids: [&prompt.prompt_token_ids[..], response].concat(),
            from: prompt.prompt_token_ids.len(),
        })
        .into()
}

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

/// Sums over a batch.
#[derive(Default)]
struct Sums {
    loss: f64,
    chosen: f64,
    rejected: f64,
    right: f64,
    logp_chosen: f64,
    logp_rejected: f64,
    nll: f64,
    /// Tokens computed: the prompt once.
    tokens: usize,
    /// Tokens as TRL counts them: the prompt with each response.
    seen: u64,
    largest_ratio: f64,
    not_finite: Option<String>,
}

impl Sums {
    fn add(&mut self, pair: &Pair, value: &PairLoss, logp: &[f64], reference: Option<&Logps>, rounding: f64) {
        let finite = |numbers: &[f64]| numbers.iter().all(|x| x.is_finite());
        let sound = finite(&[value.loss, value.by_chosen, value.by_rejected])
            && finite(logp)
            && reference.is_none_or(|logps| finite(logps));
        if !sound && self.not_finite.is_none() {
            self.not_finite = Some(pair.id.clone());
        }
        self.loss += value.loss;
        self.chosen += value.reward_chosen;
        self.rejected += value.reward_rejected;
        self.right += f64::from(u8::from(value.reward_chosen > value.reward_rejected));
        self.logp_chosen += logp[0];
        self.logp_rejected += logp[1];
        self.nll += value.nll;
        let responses = [&pair.chosen_token_ids, &pair.rejected_token_ids];
        self.tokens += pair.prompt_token_ids.len() + responses[0].len() + responses[1].len();
        self.seen += responses.map(|ids| (pair.prompt_token_ids.len() + ids.len()) as u64).iter().sum::<u64>();
        // Rounding errors of independent tokens add up like a random walk.
        for ((now, then), ids) in logp.iter().zip(reference.into_iter().flatten()).zip(responses) {
            let explained = rounding * (ids.len() as f64).sqrt();
            self.largest_ratio = self.largest_ratio.max((now - then).abs() - explained);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
