//! Builds the shipped plugins through the host's own command, as any author of a plugin would.

use super::digest::Digest;
use super::say;
use crate::error::HostFailed;
use crate::places::Places;
use crate::programs::{like_a_fresh_shell, run_visibly};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds all crates of `plugins/` unless the stamp says that nothing has changed since.
pub fn build(places: &Places, host: &Path) -> Result<()> {
    let crates = crates(places)?;
    let stamp = places.plugins.join("complete");
    let digest = inputs(places, host)?;
    let built = crates.iter().all(|name| component(places, name).is_file());
    if built && fs::read_to_string(&stamp).is_ok_and(|text| text == digest) {
        return Ok(());
    }
    say(
        "building the plugins (about half a minute the first time, more where a wasm compiler must be fetched; a second after an edit)",
    );
    let mut command = Command::new(host);
    like_a_fresh_shell(&mut command, places)
        .args(["plugin", "build"])
        .args(crates.iter().map(|name| Path::new("plugins").join(name)))
        .arg("--out")
        .arg(&places.plugins);
    let status = run_visibly(&mut command)?;
    if !status.success() {
        let code = status.code();
        return Err(HostFailed { code }.into());
    }
    if let Some(missing) = crates.iter().find(|name| !component(places, name).is_file()) {
        let expected = component(places, missing);
        bail!("`udasa plugin build` succeeded, but {} does not exist", expected.display());
    }
    fs::write(&stamp, digest).with_context(|| format!("writing {}", stamp.display()))
}

/// The folders of `plugins/` that hold a crate, in order.
fn crates(places: &Places) -> Result<Vec<String>> {
    let dir = places.repository.join("plugins");
    let mut names: Vec<String> = dir
        .read_dir()
        .with_context(|| format!("listing {}", dir.display()))?
        .flatten()
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    match names.is_empty() {
        true => bail!("{} holds no plugin", dir.display()),
        false => Ok(names),
    }
}

fn component(places: &Places, name: &str) -> PathBuf {
    places.plugins.join(format!("{name}.wasm"))
}

/// Everything that decides what comes out: sources, locked dependencies, the choice of compiler, and the host that builds.
fn inputs(places: &Places, host: &Path) -> Result<String> {
    let mut digest = Digest::default();
    for name in ["Cargo.toml", "Cargo.lock", "plugin-sdk", "plugins"] {
        digest.add_files(&places.repository.join(name))?;
    }
    for name in ["RUSTC", "UDASA_WASM_FALLBACK"] {
        digest.add(std::env::var_os(name));
    }
    let data = host.metadata().with_context(|| format!("reading {}", host.display()))?;
    digest.add((data.len(), data.modified().ok()));
    Ok(digest.text())
}
