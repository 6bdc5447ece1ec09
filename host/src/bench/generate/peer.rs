//! transformers' side: `peers/bench_peers.py --task generate`.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result};

use super::super::peers;
use super::{Task, long_prompts};
use crate::config::Dtype;

/// Least seconds and peak bytes.
pub fn run(python: &Path, task: &Task) -> Result<(f64, f64)> {
    let dir = tempfile::tempdir()?;
    let model = match task.long {
        None => task.model.clone(),
        Some(length) => with_long_prompts(task, length, dir.path())?,
    };
    let dtype = if task.dtype == Dtype::Bf16 { "bfloat16" } else { "float32" };
    let mut arguments: Vec<&OsStr> =
        ["--task", "generate", "--repeat", "1", "--dtype", dtype, "--model"].map(OsStr::new).into();
    arguments.push(model.as_os_str());
    let value = peers::run(python, "transformers", &arguments)?;
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
