//! TRL's `DPOTrainer` on the same folder: its recorded numbers, or a run of it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Case;
use crate::bench::shared;
use crate::config::Dtype;
use crate::error::UserError;

const SCRIPT: &str = "peers/bench_peers.py";

/// What TRL took.
pub(super) struct Peer {
    /// Pairs a second.
    pub rate: f64,
    /// Greatest resident set, MiB.
    pub memory: f64,
}

/// A recorded run; none where it is not at hand.
pub(super) fn recorded(name: &str) -> Option<Peer> {
    parse(&std::fs::read_to_string(shared(&format!("oracles/bench/{name}"))?).ok()?)
}

/// A run now.
pub(super) fn run(python: &Path, case: &Case, folder: &Path) -> Result<Peer> {
    let missing = || UserError::new("TRL's script is not there").hint("put it into ../shared/peers");
    let script = shared(SCRIPT).ok_or_else(missing)?;
    let out = std::env::temp_dir().join(format!("udasa-trl-{}.json", std::process::id()));
    let mut command = Command::new(python);
    command.arg(script).args(["--task", "dpo", "--threads", "1", "--model"]).arg(folder).arg("--json").arg(&out);
    // A step of the 100 M model takes TRL most of a minute.
    command.args(["--steps", if case.folder == "base" { "3" } else { "8" }]);
    command.args(["--dtype", if case.dtype == Dtype::Bf16 { "bfloat16" } else { "float32" }]);
    command.args(case.steps_only.then_some("--precompute")).args(case.lora.then_some("--lora"));
    command.env("OMP_NUM_THREADS", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().with_context(|| format!("starting {}", python.display()))?;
    let failed = || {
        UserError::new(format!("{} could not run TRL", python.display()))
            .hint("../shared/peers/README.md says what its environment needs")
    };
    if !status.success() {
        return Err(failed().into());
    }
    let text = std::fs::read_to_string(&out).with_context(|| format!("reading {}", out.display()))?;
    let _ = std::fs::remove_file(&out);
    Ok(parse(&text).ok_or_else(failed)?)
}

fn parse(text: &str) -> Option<Peer> {
    let value: Value = serde_json::from_str(text).ok()?;
    Some(Peer { rate: value["pairs_per_second"].as_f64()?, memory: value["peak_rss_mb"].as_f64()? })
}
