//! TRL's `DPOTrainer` on the same folder: its recorded numbers, or a run of it.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Case;
use crate::bench::{peers, shared};
use crate::config::Dtype;

/// What TRL took.
pub(super) struct Peer {
    /// Pairs a second.
    pub rate: f64,
    /// Greatest resident set, MiB.
    pub memory: f64,
}

/// A recorded run; none where it is not at hand.
pub(super) fn recorded(name: &str) -> Option<Peer> {
    parse(&peers::read(&shared(&format!("oracles/bench/{name}"))?).ok()?)
}

/// A run now.
pub(super) fn run(python: &Path, case: &Case, folder: &Path) -> Result<Peer> {
    let dtype = if case.dtype == Dtype::Bf16 { "bfloat16" } else { "float32" };
    // A step of the 100 M model takes TRL most of a minute.
    let steps = if case.folder == "base" { "3" } else { "8" };
    let mut arguments: Vec<&OsStr> =
        ["--task", "dpo", "--steps", steps, "--dtype", dtype, "--model"].map(OsStr::new).into();
    arguments.push(folder.as_os_str());
    arguments.extend(case.steps_only.then_some(OsStr::new("--precompute")));
    arguments.extend(case.lora.then_some(OsStr::new("--lora")));
    parse(&peers::run(python, "TRL", &arguments)?).context("TRL's script gave no rate or no memory")
}

fn parse(said: &Value) -> Option<Peer> {
    Some(Peer { rate: said["pairs_per_second"].as_f64()?, memory: said["peak_rss_mb"].as_f64()? })
}
