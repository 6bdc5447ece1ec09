//! `[pairs]`: preference rows made elsewhere.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Preference rows made elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pairs {
    /// JSONL, or Parquet by its ending, in TRL's schema: `chosen` and `rejected`, texts or lists of messages, with `prompt` or beginning
    /// with it. May carry token ids, which are trained on as they are, and ratings, without which there are no stages.
    pub from: PathBuf,
    /// The most tokens of the prompt with either response; the model's longest sequence where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub max_tokens: Option<usize>,
    /// What becomes of a longer one.
    #[serde(default)]
    pub too_long: TooLong,
    /// The worst and the best rating there can be: ratings are mapped from here to [0, 1].
    #[serde(default = "rating_range")]
    pub rating_range: [f64; 2],
}

impl Pairs {
    /// The rows of a file, everything else as it is by default.
    pub fn of(from: PathBuf) -> Self {
        Self { from, max_tokens: None, too_long: TooLong::default(), rating_range: rating_range() }
    }
}

fn rating_range() -> [f64; 2] {
    [0.0, 1.0]
}

/// What becomes of a pair that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TooLong {
    /// The pair is dropped, and recorded in `drops.jsonl`.
    #[default]
    Drop,
    /// Its responses lose their last tokens, as by TRL's `max_length`, and are counted. Dropped where the prompt leaves no room.
    Truncate,
}
