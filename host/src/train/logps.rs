//! Pairs as sequences of token ids, and their log-probabilities.

use std::collections::HashMap;

use anyhow::Result;

use super::batches::{Batches, Mismatch, mismatched};
use super::stage_training::StageSettings;
use crate::config::{Loss, Train};
use crate::model::Model;
use crate::model::tree::Sequence;
use crate::records::Pair;

/// log p of a pair's chosen and rejected response, nats.
pub type Logps = [f64; 2];

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

/// The longest text that the model takes.
pub fn positions(model: &Model) -> usize {
    usize::try_from(model.decoder.spec.positions).unwrap_or(usize::MAX)
}

/// A pair's two texts. All of a response is scored, its end of sequence too, and nothing of the prompt.
pub fn sequences(pair: &Pair) -> Vec<Sequence> {
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
