//! What crosses the border. The shapes of samples, answers, scores and stages are the crate's own types.

use serde::{Deserialize, Serialize};

use crate::log::Level;
use crate::{Answer, Dimension, Pair, PastStage, QuestionKind, Sample};

/// What a plugin says of itself; a staging policy has no dimension and asks nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// What a scorer measures.
    pub dimension: Option<Dimension>,
    /// The kinds of question a scorer may ask.
    pub asks: Vec<QuestionKind>,
    /// JSON Schema of its settings.
    pub settings_schema: String,
}

/// A call that gave nothing, as opposed to the plugin's own [`Fault`](crate::Fault).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// The plugin panicked; its words, and where.
    Panic(String),
    /// One side does not understand the other's bytes.
    Unreadable(String),
}

/// A line that a plugin logged in a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The text.
    pub text: String,
}

/// What every function returns.
#[derive(Serialize, Deserialize)]
pub(super) struct Reply<T> {
    pub log: Vec<LogLine>,
    pub result: Result<T, Failure>,
}

#[derive(Serialize)]
pub(super) struct ScoreArguments<'a> {
    pub settings: &'a str,
    pub sample: &'a Sample,
    pub rounds: &'a [Vec<Answer>],
}

/// [`ScoreArguments`], as read.
#[derive(Deserialize)]
pub(super) struct ScoreCall {
    pub settings: String,
    pub sample: Sample,
    pub rounds: Vec<Vec<Answer>>,
}

#[derive(Serialize)]
pub(super) struct StageArguments<'a> {
    pub settings: &'a str,
    pub seed: u64,
    pub pairs: &'a [Pair],
    pub history: &'a [PastStage],
}

/// [`StageArguments`], as read.
#[derive(Deserialize)]
pub(super) struct StageCall {
    pub settings: String,
    pub seed: u64,
    pub pairs: Vec<Pair>,
    pub history: Vec<PastStage>,
}
