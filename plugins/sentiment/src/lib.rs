//! The sentiment scorer: a response is doubted as far as its words lean away from the wanted sentiment. It asks the
//! host nothing.
//!
//! A bag of words with hand-written weights, negation ("not good"), intensifiers ("very good"), and a stress on what
//! follows the last "but"; a logistic map makes a probability of the sum. It carries no training data.

mod lean;
mod lexicon;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use udasa_plugin_sdk::math::logistic;
use udasa_plugin_sdk::{Answer, Dimension, Fault, Problem, Sample, Score, SimpleScorer};

/// The scorer.
pub struct Sentiment;

/// The wanted sentiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Praise.
    #[default]
    Positive,
    /// Blame.
    Negative,
}

/// The settings.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The wanted sentiment.
    pub target: Target,
    /// Words to add or to weigh anew, in lower case: above 0 is positive, below is negative, 0 takes a word out. The
    /// plugin's own weights are 1 and 2.
    pub extra: BTreeMap<String, f64>,
    /// Steepness of the logistic map from the sum of weights to a probability.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub scale: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            target: Target::default(),
            extra: BTreeMap::new(),
            scale: 0.7,
        }
    }
}

impl SimpleScorer for Sentiment {
    type Settings = Settings;
    const NAME: &'static str = "sentiment";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "Doubts a response whose words lean away from the wanted sentiment";
    const DIMENSION: Dimension = Dimension::Value;

    fn check(settings: &Settings) -> Vec<Problem> {
        let unmatched =
            |word: &&String| word.to_lowercase() != **word || word.contains(char::is_whitespace);
        settings
            .extra
            .keys()
            .filter(unmatched)
            .map(|word| {
                Problem::new(
                    "extra",
                    format!("`{word}` can never match: give single words in lower case"),
                )
            })
            .collect()
    }

    fn scores(settings: &Settings, sample: &Sample, _: &[Answer]) -> Result<Vec<Score>, Fault> {
        let score = |text: &str| {
            let lean = lean::lean(text, &settings.extra);
            let positive = logistic(settings.scale * lean.sum);
            let wanted = match settings.target {
                Target::Positive => positive,
                Target::Negative => 1.0 - positive,
            };
            Score::new(1.0 - wanted)
                .note("positive", positive)
                .note("sentiment-words", lean.words as f64)
        };
        Ok(sample
            .responses
            .iter()
            .map(|response| score(&response.text))
            .collect())
    }
}

udasa_plugin_sdk::export_scorer!(Sentiment);

#[cfg(test)]
mod tests;
