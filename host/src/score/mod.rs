//! The score room: every scorer over every sample, and one uncertainty `u` per response.
//!
//! In: samples, scorers, and a way to answer questions. Out: `scores.jsonl` (raw, one line a sample and scorer),
//! `answers/` (every answer, by content), `uncertainty.jsonl` (scaled over the data set and combined), `scaler.json`,
//! and a [`Summary`]. Loads no model itself: the answerer is made by the caller, and only when a question has no answer
//! yet. The numbers are in `scaler` and `combine`, which do no I/O.

mod answers;
mod panel;
mod ask_model;
mod ask_encoder;
mod entail;
mod complete;
mod cached;
mod combine;
mod correlation;
mod rounds;
mod scaler;
mod scorer;
#[cfg(test)]
mod test_scorers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::config;
use crate::data::jsonl;
use crate::records::{Dimension, Sample};

pub use answers::{AnswerCache, Answerer, file_in as answers_file};
pub use ask_encoder::AskEncoder;
pub use ask_model::AskModel;
pub use cached::{KnownAnswers, Rescored, rescore};
pub use combine::{Combined, combine};
pub use correlation::{LengthCorrelation, LengthUnit, length_correlation, lengths, spearman};
pub use panel::{Answerers, Make, Panel};
pub use scaler::{Scaler, ScorerScale};
pub use scorer::{ScoreSample, ScorerUse, Step};

/// Where the room writes.
#[derive(Debug, Clone)]
pub struct Files {
    /// `scores.jsonl`; the keys of what it holds go beside it, as `scores.keys.json`.
    pub scores: PathBuf,
    /// The folder of cached answers.
    pub answers: PathBuf,
    /// `uncertainty.jsonl`.
    pub uncertainty: PathBuf,
    /// `scaler.json`.
    pub scaler: PathBuf,
    /// `score-summary.json`.
    pub summary: PathBuf,
    /// `score-usage.json`.
    pub usage: PathBuf,
}

impl Files {
    /// The usual names in a run's folder.
    pub fn in_run(run: &Path) -> Self {
        Self {
            scores: run.join("scores.jsonl"),
            answers: run.join("answers"),
            uncertainty: run.join("uncertainty.jsonl"),
            scaler: run.join("scaler.json"),
            summary: run.join("score-summary.json"),
            usage: run.join("score-usage.json"),
        }
    }
}

/// What the room did, for the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Samples given in.
    pub samples: usize,
    /// Samples with scores of every scorer.
    pub scored: usize,
    /// Per scorer, in the config's order.
    pub scorers: Vec<ScorerSummary>,
    /// Do longer responses look less reliable?
    pub length_correlation: LengthCorrelation,
    /// Spearman correlation between the scaled dimensions, as `semantic/factual`.
    pub agreement: BTreeMap<String, Option<f64>>,
    /// Responses that may never be chosen.
    pub vetoed: usize,
}

/// What one scorer did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScorerSummary {
    /// Its name in the config.
    pub name: String,
    /// What it measures.
    pub dimension: Dimension,
    /// Samples it scored, in this run of the room or an earlier one.
    pub scored: usize,
    /// Samples it failed on.
    pub faults: usize,
    /// Of those scored, how many lines an earlier run of the room had left.
    pub kept: usize,
    /// Questions it asked now.
    pub questions: usize,
    /// How many of them had to be put to the model.
    pub asked_model: usize,
}

/// Scores, scales, combines, and writes it all.
///
/// `answerers` names who answers what: answers are kept under their identities. `make_answerer` is called at most once for each
/// of them, and never where no question lacks an answer.
pub fn room<'a>(
    samples: &[Sample],
    scorers: &[ScorerUse<'_>],
    config: &config::Score,
    answerers: &Answerers,
    make_answerer: panel::Make<'_, 'a>,
    files: &Files,
) -> Result<Summary> {
    let saved = match &config.scaler {
        // Read before hours of scoring, not after.
        Some(path) => Some(Scaler::load(path, scorers)?),
        None => None,
    };
    let mut panel = Panel::open(&files.answers, answerers, make_answerer)?;
    let (scores, counts) = rounds::score_all(samples, scorers, &mut panel, &files.scores, &files.usage)?;
    let combined = combine(samples, scorers, &scores, config, saved)?;
    jsonl::write(&files.uncertainty, &combined.uncertainties)?;
    jsonl::write_json(&files.scaler, &combined.scaler)?;
    let summary = Summary {
        samples: samples.len(),
        scored: combined.uncertainties.len(),
        scorers: counts,
        length_correlation: length_correlation(samples, &combined.uncertainties),
        agreement: correlation::agreement(&combined.uncertainties),
        vetoed: combined.uncertainties.iter().map(|u| u.vetoed.len()).sum(),
    };
    jsonl::write_json(&files.summary, &summary)?;
    Ok(summary)
}

#[cfg(test)]
mod tests;
