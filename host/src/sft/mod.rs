//! Supervised fine-tuning: trains a model on texts, from random weights or on from a folder, and writes a model folder.
//!
//! One document a row; a batch's documents are of similar length, so little is padded. Checkpoints within `out` let a run that was killed go
//! on. It knows nothing of preferences.

mod batches;
mod tokenizer;

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::config::{ModelSection, Recompute, Sft};
use crate::error::UserError;
use crate::model::tree::Sequence;
use crate::model::{Budget, Checkpoints, Model, Spec, Trainer};
use crate::progress::Progress;

pub use batches::shuffle;
pub use tokenizer::make as make_tokenizer;

/// What was trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Parameters of the model.
    pub parameters: usize,
    /// Tokens seen, without padding.
    pub tokens: usize,
    /// Mean loss (nats per token) of the last tenth of the steps.
    pub loss: f64,
    /// Tokens per second.
    pub rate: f64,
}

/// AdamW's betas for language modelling at high rates and small batches.
const BETAS: [f64; 2] = [0.9, 0.98];
const MAX_GRAD_NORM: f64 = 1.0;
/// Bytes that a step may keep for its backward pass.
const ACTIVATIONS: usize = 512 << 20;

/// Where a checkpoint was taken.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Position {
    step: usize,
    tokens: usize,
    /// Sum of the losses of the last tenth of the steps, and how many those are.
    late: f64,
    late_steps: u32,
}

/// Trains on `texts` and writes the model to `out`. `base` is the folder with the tokenizer and, where `sft.model` is none, the weights.
pub fn room(
    sft: &Sft,
    section: &ModelSection,
    texts: &[String],
    base: &Path,
    out: &Path,
    seed: u64,
) -> Result<Summary> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let model = match &sft.model {
        Some(new) => {
            let vocabulary = crate::model::Text::load(base)?.vocabulary();
            Model::random(Spec::new_model(new, vocabulary)?, base, section, || normal(&mut random))?
        }
        None => Model::load(base, section)?,
    };
    let documents = documents(&model, texts, sft.max_tokens.min(model.decoder.spec.positions as usize))?;
    let budget = Budget { bytes: ACTIVATIONS, recompute: Recompute::Auto, trees: 0 };
    let mut trainer = Trainer::new(&model, BETAS, sft.weight_decay, budget)?;
    let checkpoints = Checkpoints::new(out.join("checkpoints"), 2);
    let mut at = match checkpoints.latest(|_: &Position| true)? {
        Some(saved) => {
            saved.restore(&mut trainer)?;
            saved.position
        }
        None => Position::default(),
    };
    let progress = Progress::start("sft", sft.steps as u64, "steps");
    let started = Instant::now();
    let mut batches = batches::Batches::new(&documents, sft.batch, seed);
    progress.advance(at.step as u64);
    let (resumed, mut tokens) = (at.step, 0);
    for step in 0..sft.steps {
        let batch = batches.next();
        if step < resumed {
            continue;
        }
        let batch: Vec<Vec<Sequence>> =
            batch.into_iter().map(|d| vec![Sequence { ids: documents[d].clone(), from: 1 }]).collect();
        let scored: usize = batch.iter().map(|g| g[0].ids.len() - 1).sum();
        let mean = -1.0 / scored as f64;
        let logps = trainer.accumulate(&model, &batch, |_, logps| vec![mean; logps.len()])?;
        let loss = logps.iter().sum::<f64>() * mean;
        let norm = trainer.step(sft.learning_rate * rate(step, sft.steps, sft.warmup), MAX_GRAD_NORM)?;
        if !norm.is_finite() || !loss.is_finite() {
            return Err(UserError::new(format!("sft: the loss is {loss} at step {} (gradient norm {norm})", step + 1))
                .hint("lower sft.learning_rate")
                .into());
        }
        tokens += scored + batch.len();
        if step * 10 >= sft.steps * 9 {
            at.late += loss;
            at.late_steps += 1;
        }
        at.step = step + 1;
        at.tokens += scored + batch.len();
        if sft.save_steps > 0 && at.step % sft.save_steps == 0 && at.step < sft.steps {
            checkpoints.save(at.step as u64, &mut trainer, &at)?;
        }
        if step % 20 == 0 {
            progress.note(format!("loss {loss:.3}"));
        }
        progress.advance(1);
    }
    let rate = tokens as f64 / started.elapsed().as_secs_f64();
    trainer.finish(&model);
    model.save(out, base)?;
    checkpoints.remove()?;
    let parameters = model.decoder.parameters().iter().map(|(_, p)| p.numel()).sum();
    let summary = Summary { parameters, tokens: at.tokens, loss: at.late / f64::from(at.late_steps.max(1)), rate };
    progress.end();
    Ok(summary)
}

/// Ids of every text, ended by an end-of-sequence token and cut to `longest`; those of one token teach nothing and are left out.
fn documents(model: &Model, texts: &[String], longest: usize) -> Result<Vec<Vec<u32>>> {
    let mut documents = model.text.encode_all(texts)?;
    for ids in &mut documents {
        if ids.last().is_none_or(|id| !model.eos.contains(id)) {
            ids.extend(model.eos.first());
        }
        ids.truncate(longest);
    }
    documents.retain(|ids| ids.len() > 1);
    for ids in &documents {
        model.check_ids(ids)?;
    }
    if documents.is_empty() {
        return Err(UserError::new("sft: there is no text to train on").hint("check sft.paths and sft.part").into());
    }
    Ok(documents)
}

/// Share of the peak rate at `step`: linear warm-up, constant to half way, then linear to 2 %.
fn rate(step: usize, steps: usize, warmup: usize) -> f64 {
    let at = (step + 1) as f64;
    let warm = (at / warmup.max(1) as f64).min(1.0);
    let half = steps as f64 / 2.0;
    let cooled = if at <= half { 1.0 } else { 1.0 - 0.98 * (at - half) / (steps as f64 - half).max(1.0) };
    warm * cooled
}

/// Standard normal by Box–Muller; one of the two is thrown away, for plainness.
fn normal(random: &mut ChaCha8Rng) -> f32 {
    let unit = |random: &mut ChaCha8Rng| (f64::from(random.next_u32()) + 0.5) / 4_294_967_296.0;
    let (u, v) = (unit(random), unit(random));
    ((-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_warms_up_holds_and_falls_to_two_percent() {
        assert!((rate(0, 100, 10) - 0.1).abs() < 1e-12);
        assert!((rate(30, 100, 10) - 1.0).abs() < 1e-12);
        assert!((rate(74, 100, 10) - 0.51).abs() < 1e-12);
        assert!((rate(99, 100, 10) - 0.02).abs() < 1e-12);
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let draws: Vec<f64> = (0..20_000).map(|_| f64::from(normal(&mut random))).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|d| d * d).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
