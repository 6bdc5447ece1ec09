//! `[pair]`: how pairs are built.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Pairing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PairSection {
    /// Which response is rejected; the chosen one has the lowest `u`.
    pub rejected: Rejected,
    /// Pairs with a smaller Δu are dropped.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_gap: f64,
    /// Pairs per prompt at the most, with different rejected responses.
    #[schemars(range(min = 1, max = 1024))]
    pub per_prompt: usize,
    /// Drop pairs in which a response was cut by the token limit.
    pub drop_truncated: bool,
}

impl Default for PairSection {
    fn default() -> Self {
        Self { rejected: Rejected::Worst, min_gap: 0.02, per_prompt: 1, drop_truncated: true }
    }
}

/// Which response is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rejected {
    /// The highest `u`.
    Worst,
    /// The middle of those above the chosen.
    Median,
    /// The lowest `u` above the chosen.
    Second,
    /// Drawn from those above the chosen.
    RandomWorse,
}
