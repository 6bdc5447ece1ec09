//! transformers' side: `peers/bench_peers.py --task generate`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use super::super::shared;
use super::{Task, long_prompts};
use crate::config::Dtype;
use crate::error::UserError;

const SCRIPT: &str = "peers/bench_peers.py";

/// Least seconds and peak bytes.
pub fn run(python: &Path, task: &Task) -> Result<(f64, f64)> {
    let script = shared(SCRIPT).ok_or_else(|| {
        UserError::new("transformers' script is not there").hint("put ../shared/peers beside the checkout")
    })?;
    let dir = tempfile::tempdir()?;
    let model = match task.long {
        None => task.model.clone(),
        Some(length) => with_long_prompts(task, length, dir.path())?,
    };
    let out = dir.path().join("peer.json");
    let dtype = if task.dtype == Dtype::Bf16 { "bfloat16" } else { "float32" };
    let status = Command::new(python)
        .arg(script)
        .args(["--task", "generate", "--threads", "1", "--repeat", "1", "--dtype", dtype, "--model"])
        .arg(model)
        .arg("--json")
        .arg(&out)
        .env("OMP_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("starting {}", python.display()))?;
    if !status.success() {
        return Err(UserError::new(format!("{} could not run transformers", python.display()))
            .hint("../shared/peers/README.md says what its environment needs")
            .into());
    }
    let text = std::fs::read_to_string(&out).with_context(|| format!("reading {}", out.display()))?;
    let value: Value = serde_json::from_str(&text)?;
    let number = |key: &str| value[key].as_f64().with_context(|| format!("the peer gave no {key}"));
    Ok((number("best_seconds")?, number("peak_rss_mb")? * 1048576.0))
}

/// The model's files beside prompts of so many tokens.
fn with_long_prompts(task: &Task, length: usize, dir: &Path) -> Result<std::path::PathBuf> {
    let model = dir.join("model");
    std::fs::create_dir(&model)?;
    for entry in std::fs::read_dir(&task.model)? {
        let entry = entry?;
        if entry.file_name() != "prompts.json" {
            std::os::unix::fs::symlink(std::fs::canonicalize(entry.path())?, model.join(entry.file_name()))?;
        }
    }
    std::fs::write(model.join("prompts.json"), serde_json::to_string(&long_prompts(length))?)?;
    Ok(model)
}
