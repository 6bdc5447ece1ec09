//! The rooms of the pipeline: names and order, nothing else.

use serde::{Deserialize, Serialize};

/// One step of the pipeline. The order is the order in which data flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Room {
    /// Writes an invented world.
    World,
    /// Reads prompts.
    Data,
    /// Trains a small model on text.
    Sft,
    /// Samples responses, or reads responses made elsewhere.
    Generate,
    /// Gives every response its uncertainties.
    Score,
    /// Builds preference pairs, or reads pairs made elsewhere.
    Pair,
    /// Divides the pairs into stages.
    Stage,
    /// Trains over the stages.
    Train,
    /// Measures before and after.
    Evaluate,
    /// Writes the report.
    Report,
}

impl Room {
    /// All rooms, in order.
    pub const ALL: [Self; 10] = [
        Self::World,
        Self::Data,
        Self::Sft,
        Self::Generate,
        Self::Score,
        Self::Pair,
        Self::Stage,
        Self::Train,
        Self::Evaluate,
        Self::Report,
    ];

    /// The name used on the command line, in `rooms.json` and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::World => "world",
            Self::Data => "data",
            Self::Sft => "sft",
            Self::Generate => "generate",
            Self::Score => "score",
            Self::Pair => "pair",
            Self::Stage => "stage",
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Report => "report",
        }
    }

    /// What the room writes into the run folder, and what goes when the room begins afresh.
    pub fn outputs(self) -> &'static [&'static str] {
        match self {
            Self::World => &["world"],
            Self::Data => &["prompts.jsonl"],
            Self::Sft => &["initial"],
            Self::Generate => &["responses.jsonl"],
            Self::Score => &["uncertainty.jsonl", "scaler.json", "score-summary.json"],
            Self::Pair => &["pairs.jsonl", "drops.jsonl"],
            Self::Stage => &["stages.jsonl", "stage-usage.json"],
            Self::Train => &[
                "metrics.jsonl",
                "training.json",
                "trainer_state.json",
                "tensorboard",
                "checkpoints",
                "resampled",
                "refreshed.json",
                "model",
                "adapter",
                "train-usage.json",
            ],
            Self::Evaluate => &["eval.json"],
            Self::Report => &["report.html"],
        }
    }

    /// What the room writes and keeps in order itself: scores are kept per scorer, so that a new scorer does not cost the old
    /// ones' work. They go only when the user asks for the room by `--from`. `answers/` stays even then: each answer is kept
    /// under the digest of its question and of the model.
    pub fn kept_outputs(self) -> &'static [&'static str] {
        match self {
            Self::Score => &["scores.jsonl", "scores.keys.json", "score-usage.json"],
            Self::Train => &["reference.json"],
            _ => &[],
        }
    }
}

impl std::fmt::Display for Room {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.pad(self.name())
    }
}
