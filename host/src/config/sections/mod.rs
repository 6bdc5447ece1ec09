//! The config file as typed: one struct a section, with the meaning, default and range of every key.
//!
//! `docs/config-reference.md` and the checks on the file are both made from these types (through their JSON Schema), so
//! a range written here is a range enforced. Paths are as the user wrote them; `resolve` makes them absolute.

mod world;
mod data;
mod model;
mod sft;
mod generate;
mod scorer;
mod score;
mod pair;
mod pairs;
mod stage;
mod train;
mod evaluate;
mod limits;

pub use data::*;
pub use evaluate::*;
pub use generate::*;
pub use limits::*;
pub use model::*;
pub use pair::*;
pub use pairs::*;
pub use score::*;
pub use scorer::*;
pub use sft::*;
pub use stage::*;
pub use train::*;
pub use world::*;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A whole config file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// Name of the run; its folder is `runs/<name>` unless `--out` says otherwise. Letters, digits, `-` and `_`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub name: String,
    /// Everything random is drawn from this.
    #[serde(default)]
    pub seed: u64,
    /// Write a small invented world (corpus, prompts, evaluation, tokenizer) instead of reading data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world: Option<World>,
    /// Where the prompts come from. Left out only where `[world]` makes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    /// The model to align.
    #[serde(default)]
    pub model: ModelSection,
    /// Which models answer the scorers' questions.
    #[serde(default)]
    pub models: Models,
    /// Train a small model first (from random weights, or on from `model.path`) and align that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sft: Option<Sft>,
    /// How responses are sampled.
    #[serde(default)]
    pub generate: Generate,
    /// The scorers, in order.
    #[serde(default)]
    pub scorer: Vec<Scorer>,
    /// How scores are scaled and combined into one `u`.
    #[serde(default)]
    pub score: Score,
    /// How pairs are built.
    #[serde(default)]
    pub pair: PairSection,
    /// Preference rows made elsewhere, trained on as they are: nothing is generated, scored or paired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<Pairs>,
    /// Which staging policy divides the pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<StageSection>,
    /// Preference training.
    #[serde(default)]
    pub train: Train,
    /// What is measured before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluate: Option<Evaluate>,
    /// What a plugin may use.
    #[serde(default)]
    pub limits: Limits,
}

fn one_f() -> f64 {
    1.0
}
fn yes() -> bool {
    true
}
