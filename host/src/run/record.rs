//! `run.toml`: what this run is made of. Written before the first room begins; holds no times, so that the same run writes
//! the same bytes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::folder::write_atomic;
use super::keys::PluginDigests;
use super::prepare::{Options, Prepared};
use crate::config::ConfigFile;

#[derive(Serialize)]
struct RunToml<'a> {
    /// Version of the program.
    udasa: &'static str,
    /// Version of the plugin contract.
    contract: &'static str,
    /// The `--set`s, which are already part of `config`.
    set: &'a [String],
    /// SHA-256 of each plugin.
    plugins: PluginDigests,
    /// SHA-256 of each input file, or of a folder's files.
    inputs: &'a BTreeMap<PathBuf, String>,
    /// The resolved config, every default written out.
    config: &'a ConfigFile,
}

/// Writes the record into the run folder.
pub fn write(prepared: &Prepared, options: &Options) -> Result<()> {
    let record = RunToml {
        udasa: env!("CARGO_PKG_VERSION"),
        contract: crate::sandbox::CONTRACT_VERSION,
        set: &options.overrides,
        plugins: prepared.plugins.digests(),
        inputs: prepared.digests.asked(),
        config: &prepared.cfg,
    };
    let text = toml::to_string(&record).context("writing run.toml")?;
    write_atomic(&prepared.path.join("run.toml"), text.as_bytes())
}
