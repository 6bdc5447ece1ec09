//! Doubts responses that hedge: the scorer of docs/other-languages.md, in Rust.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use udasa_plugin_sdk::{Answer, Dimension, Fault, Sample, Score, SimpleScorer};

pub struct Hedging;

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Words that hedge, in lower case.
    pub hedges: Vec<String>,
    /// Hedges at which a response is doubted fully.
    #[schemars(range(min = 1))]
    pub limit: u32,
}

impl Default for Settings {
    fn default() -> Self {
        let hedges = ["maybe", "perhaps", "probably", "possibly", "might", "guess"];
        Self { hedges: hedges.map(str::to_owned).to_vec(), limit: 3 }
    }
}

/// Runs of A-Z, a-z and apostrophes, in lower case. Unlike the SDK's `words`, every language can do this alike.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !(c.is_ascii_alphabetic() || c == '\''))
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
}

impl SimpleScorer for Hedging {
    type Settings = Settings;
    const NAME: &'static str = "hedging-rust";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Doubts responses that hedge";
    const DIMENSION: Dimension = Dimension::Factual;

    fn scores(settings: &Settings, sample: &Sample, _: &[Answer]) -> Result<Vec<Score>, Fault> {
        let score = |text: &str| {
            let hedges = words(text).filter(|word| settings.hedges.contains(word)).count() as f64;
            Score::new((hedges / f64::from(settings.limit)).min(1.0)).note("hedges", hedges)
        };
        Ok(sample.texts().into_iter().map(score).collect())
    }
}

udasa_plugin_sdk::export_scorer!(Hedging);
