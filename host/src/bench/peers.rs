//! Runs the Python peers' script beside the checkout, one process a measurement, one thread.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use super::shared;
use crate::error::UserError;

const SCRIPT: &str = "peers/bench_peers.py";

/// What the script says of a task of `peer`'s.
pub(super) fn run(python: &Path, peer: &str, arguments: &[&OsStr]) -> Result<Value> {
    let script = shared(SCRIPT).ok_or_else(|| {
        UserError::new(format!("the script that runs {peer} is not there"))
            .hint("put ../shared/peers beside the checkout")
    })?;
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("peer.json");
    let status = Command::new(python)
        .arg(script)
        .args(arguments)
        .args(["--threads", "1", "--json"])
        .arg(&out)
        .env("OMP_NUM_THREADS", "1")
        .env("OPENBLAS_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("starting {}", python.display()))?;
    if !status.success() {
        return Err(UserError::new(format!("{} could not run {peer}", python.display()))
            .hint("../shared/peers/README.md says what its environment needs")
            .into());
    }
    read(&out)
}

/// What a script has said.
pub(super) fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
}
