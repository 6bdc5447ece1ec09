//! `[sft]`: training on text before anything else.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Encoding, Part, yes};

/// Supervised fine-tuning, or pre-training from random weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sft {
    /// Text files: one document a line, or JSONL with `text`. Left out only where `[world]` writes a corpus.
    #[serde(default)]
    pub paths: Vec<PathBuf>,
    /// `utf-8` or `latin-1`.
    #[serde(default)]
    pub encoding: Encoding,
    /// Use only one part of the lines, divided by a hash of their content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The shape of a new model. Left out: `model.path` is trained further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<NewModel>,
    /// How a new model's tokenizer is made from the text. Left out only where `[world]` writes one, or with `model.path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<NewTokenizer>,
    /// Optimizer steps.
    #[schemars(range(min = 1))]
    pub steps: usize,
    /// Documents a step.
    #[serde(default = "sft_batch")]
    #[schemars(range(min = 1, max = 65_536))]
    pub batch: usize,
    /// Peak learning rate of AdamW (betas 0.9, 0.98): warm-up, constant to half way, then linear to 2 %.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub learning_rate: f64,
    /// Steps of linear warm-up.
    #[serde(default = "sft_warmup")]
    pub warmup: usize,
    /// Decoupled weight decay.
    #[serde(default = "sft_decay")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: f64,
    /// Documents longer than this many tokens are cut.
    #[serde(default = "sft_max_tokens")]
    #[schemars(range(min = 2))]
    pub max_tokens: usize,
    /// Write a checkpoint every so many steps, from which a run that was killed goes on; the last two are kept. 0: none.
    #[serde(default = "sft_save_steps")]
    pub save_steps: usize,
}

fn sft_save_steps() -> usize {
    500
}

fn sft_batch() -> usize {
    16
}
fn sft_warmup() -> usize {
    30
}
fn sft_decay() -> f64 {
    0.05
}
fn sft_max_tokens() -> usize {
    512
}

/// The shape of a new Llama-like decoder (tied embeddings).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewModel {
    /// Width of the residual stream.
    #[schemars(range(min = 2, max = 65_536))]
    pub hidden: usize,
    /// Blocks.
    #[schemars(range(min = 1, max = 1024))]
    pub layers: usize,
    /// Attention heads; must divide `hidden` into even head sizes.
    #[schemars(range(min = 1, max = 1024))]
    pub heads: usize,
    /// Width of the feed-forward layer.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub feed_forward: usize,
    /// Longest sequence.
    #[serde(default = "new_positions")]
    #[schemars(range(min = 2))]
    pub positions: usize,
    /// Multiply embeddings by √hidden, so that a small tied initialisation does not starve the first block.
    #[serde(default = "yes")]
    pub scale_embedding: bool,
}

fn new_positions() -> usize {
    512
}

/// A tokenizer made from the training text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTokenizer {
    /// `word` (split at white space) or `bpe` (byte-level).
    pub kind: TokenizerKind,
    /// Entries at the most.
    #[schemars(range(min = 8, max = 1_000_000))]
    pub vocabulary: usize,
}

/// Kinds of tokenizer that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerKind {
    /// White-space words.
    Word,
    /// Byte-level byte-pair encoding.
    Bpe,
}
