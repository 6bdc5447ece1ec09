//! The pair room: preference pairs from samples and their uncertainties.
//!
//! In: samples and `u` of each response. Out: `pairs.jsonl`, and `drops.jsonl` with the reason for every prompt or pair
//! that is not trained on. The chosen response is the most reliable one; which is rejected is `config::PairSection`'s to
//! say. [`build`] is pure; randomness is the seed passed in.

mod agree;
mod build;
mod candidates;
mod elsewhere;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::config;
use crate::data::jsonl;
use crate::records::{Pair, Sample, SampleUncertainty};
use crate::score::{LengthUnit, lengths};

pub use build::build;
pub use elsewhere::{Elsewhere, from_rows};

/// What the room did, for the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Prompts given in.
    pub prompts: usize,
    /// Pairs built.
    pub pairs: usize,
    /// Prompts with at least one pair.
    pub paired_prompts: usize,
    /// Drops, counted by reason.
    pub drops: BTreeMap<String, usize>,
    /// Mean Δu; none without pairs.
    pub mean_gap: Option<f64>,
    /// Mean length of chosen minus rejected: far from 0, and training will teach length.
    pub mean_length_difference: Option<f64>,
    /// What length is counted in.
    pub length_unit: LengthUnit,
}

/// Builds the pairs and writes both files. `mark` is added to every pair's id.
pub fn room(
    samples: &[Sample],
    uncertainties: &[SampleUncertainty],
    config: &config::PairSection,
    seed: u64,
    mark: &str,
    pairs_file: &Path,
    drops_file: &Path,
) -> Result<(Vec<Pair>, Summary)> {
    let (mut pairs, drops) = build(samples, uncertainties, config, seed);
    pairs.iter_mut().for_each(|pair| pair.id.push_str(mark));
    jsonl::write(pairs_file, &pairs)?;
    jsonl::write(drops_file, &drops)?;
    let mut counts = BTreeMap::new();
    for drop in &drops {
        *counts.entry(drop.reason.clone()).or_default() += 1;
    }
    let (length_unit, mean_length_difference) = length_difference(samples, &pairs);
    let summary = Summary {
        prompts: samples.len(),
        pairs: pairs.len(),
        // Pairs of one prompt stand together.
        paired_prompts: pairs.chunk_by(|a, b| a.prompt_id == b.prompt_id).count(),
        drops: counts,
        mean_gap: mean(pairs.iter().map(|pair| pair.gap)),
        mean_length_difference,
        length_unit,
    };
    Ok((pairs, summary))
}

/// Mean of length(chosen) − length(rejected).
fn length_difference(samples: &[Sample], pairs: &[Pair]) -> (LengthUnit, Option<f64>) {
    let (unit, lengths) = lengths(samples);
    let of_id: BTreeMap<&str, &Vec<usize>> = samples.iter().map(|sample| sample.id.as_str()).zip(&lengths).collect();
    let difference = |pair: &Pair| {
        let lengths = of_id.get(pair.prompt_id.as_str())?;
        let length = |index: usize| lengths.get(index).map(|&n| n as f64);
        Some(length(pair.chosen_index)? - length(pair.rejected_index)?)
    };
    (unit, mean(pairs.iter().filter_map(difference)))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0_u64), |(sum, n), x| (sum + x, n + 1));
    (n > 0).then(|| sum / n as f64)
}

#[cfg(test)]
mod tests;
