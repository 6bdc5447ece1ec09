//! The native build of a shipped scorer, as optimised as its component.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::{Bench, use_of};
use crate::config::Limits;
use crate::data::sha256_hex;
use crate::error::UserError;
use crate::sandbox::{PluginDirectory, Scorer};

/// The profile that `udasa plugin build` gives a component, but that a panic unwinds: the native border catches it.
const PROFILE: [&str; 6] = [
    r#"profile.native.inherits="release""#,
    "profile.native.opt-level=3",
    r#"profile.native.lto="fat""#,
    "profile.native.codegen-units=1",
    "profile.native.incremental=false",
    r#"profile.native.package."*".codegen-units=1"#,
];

/// Builds `plugin` as a shared library beside its component, and opens it as a config would.
pub(super) fn scorer(bench: &Bench, plugin: &str) -> Result<Scorer> {
    let built = build(&bench.root, plugin)?;
    let path = bench.directory.join(format!("{plugin}.so"));
    let bytes = std::fs::read(&built).with_context(|| format!("reading {}", built.display()))?;
    std::fs::write(&path, &bytes).with_context(|| format!("writing {}", path.display()))?;
    let mut used = use_of(plugin, &[]);
    used.native = true;
    used.sha256 = Some(sha256_hex(&bytes));
    PluginDirectory::open(&bench.directory)?.scorer(&used, &Limits::default())
}

fn build(root: &Path, plugin: &str) -> Result<PathBuf> {
    let target = root.join("target/native-plugins");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(root)
        .args(["build", "--quiet", "--profile", "native", "--lib", "--package"])
        .arg(format!("udasa-{plugin}"))
        .arg("--target-dir")
        .arg(&target)
        .stdin(Stdio::null());
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    let status = command.status().context("running cargo")?;
    if !status.success() {
        return Err(UserError::new(format!("cargo could not build `{plugin}` as native code"))
            .hint("its messages are above")
            .into());
    }
    let (before, after) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    Ok(target.join("native").join(format!("{before}udasa_{plugin}{after}")))
}
