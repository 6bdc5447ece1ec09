//! Doubts long responses: a scorer to start from.

use schemars::JsonSchema;
use serde::Deserialize;
use udasa_plugin_sdk::{Answer, Dimension, Fault, Sample, Score, SimpleScorer};

/// The scorer.
pub struct Plugin;

/// What a config may set. Doc comments become descriptions, ranges are checked.
#[derive(Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Words at which a response is doubted fully.
    #[schemars(range(min = 1))]
    pub limit: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { limit: 100 }
    }
}

impl SimpleScorer for Plugin {
    type Settings = Settings;
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Doubts long responses";
    const DIMENSION: Dimension = Dimension::Semantic;

    // To ask a model, declare the kinds of question in `ASKS` and return them from `questions`;
    // the answers come here.
    fn scores(settings: &Settings, sample: &Sample, _: &[Answer]) -> Result<Vec<Score>, Fault> {
        let score = |text: &str| {
            let words = text.split_whitespace().count() as f64;
            let uncertainty = (words / f64::from(settings.limit)).min(1.0);
            Score::new(uncertainty).note("words", words)
        };
        Ok(sample.texts().into_iter().map(score).collect())
    }
}

udasa_plugin_sdk::export_scorer!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;
    use udasa_plugin_sdk::test_kit::{no_questions, run_scorer, sample, try_run_scorer};

    #[test]
    fn long_responses_are_doubted() {
        let responses = ["Jane Austen.", "Let me think about that."];
        let sample = sample("Who wrote Emma?", &responses);
        let run = run_scorer::<Plugin>(r#"{"limit": 4}"#, &sample, no_questions);
        assert_eq!(run.uncertainties(), [0.5, 1.0]);
        assert_eq!(run.note(1, "words"), Some(5.0));
    }

    #[test]
    fn a_limit_of_nothing_is_refused() {
        let sample = sample("Who wrote Emma?", &["Jane Austen."]);
        let refused = try_run_scorer::<Plugin>(r#"{"limit": 0}"#, &sample, no_questions);
        assert!(refused.is_err_and(|error| error.contains("limit: 0 is out of range")));
    }
}
