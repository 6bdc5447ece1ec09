//! `[world]`: an invented world instead of data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An invented world whose truths are known exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// Which world; `mini` is the only one.
    pub kind: WorldKind,
    /// Draws the facts, the corpus and the prompts; the run's `seed` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Documents in the corpus.
    #[serde(default = "world_documents")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub documents: usize,
    /// Prompts to align on.
    #[serde(default = "world_prompts")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub prompts: usize,
}

impl Default for World {
    fn default() -> Self {
        Self { kind: WorldKind::Mini, seed: None, documents: world_documents(), prompts: world_prompts() }
    }
}

/// The worlds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorldKind {
    /// Invented places and people; see docs/mini-world.md.
    Mini,
}

fn world_documents() -> usize {
    64_000
}
fn world_prompts() -> usize {
    512
}
