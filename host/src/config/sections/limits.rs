//! `[limits]`: what a plugin may use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a plugin may use in one call. Always on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Instructions, roughly: wasmtime's fuel.
    #[schemars(range(min = 1))]
    pub fuel: u64,
    /// Linear memory of an instance, MiB.
    #[schemars(range(min = 1, max = 4096))]
    pub memory_mib: u64,
    /// Native stack of a call, KiB.
    #[schemars(range(min = 64, max = 65_536))]
    pub stack_kib: u64,
    /// What one call may return, MiB.
    #[schemars(range(min = 1, max = 1024))]
    pub output_mib: u64,
    /// Wall-clock backstop, seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub seconds: u64,
    /// Rounds of questions for one sample.
    #[schemars(range(min = 1, max = 1000))]
    pub rounds: u32,
    /// Questions in one round for one sample.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub questions: usize,
    /// Tokens that one `complete` question may ask for: its number of texts times the token limit of each.
    #[schemars(range(min = 1, max = 67_108_864))]
    pub complete_tokens: u64,
    /// Log lines kept per plugin.
    pub log_lines: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 10_000_000_000,
            memory_mib: 256,
            stack_kib: 1024,
            output_mib: 16,
            seconds: 10,
            rounds: 8,
            questions: 10_000,
            complete_tokens: 16_384,
            log_lines: 100,
        }
    }
}
