//! `cargo xtask bench NAME`: the one door to the benchmarks; the host runs them.

use crate::error::HostFailed;
use crate::places::Places;
use crate::setup::Ready;
use anyhow::{Context, Result};
use std::process::{Command, ExitCode};

pub fn run(places: &Places, ready: &Ready, name: &str, extra: &[String]) -> Result<ExitCode> {
    let status = Command::new(&ready.host)
        .current_dir(&places.repository)
        .arg("bench")
        .arg(name)
        .args(extra)
        .env("UDASA_PLUGINS", &places.plugins)
        .status()
        .with_context(|| format!("starting {}", ready.host.display()))?;
    match status.success() {
        true => Ok(ExitCode::SUCCESS),
        false => Err(HostFailed { code: status.code() }.into()),
    }
}
