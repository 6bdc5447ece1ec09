//! Starting other programs: finding them on PATH, and cargo with a clean environment.

use crate::places::Places;
use anyhow::{Context, Result, bail};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// The first executable of that name on PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file() || file.with_extension("exe").is_file()
}

/// Cargo, run in the repository as if from a fresh shell.
pub fn cargo(places: &Places) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    like_a_fresh_shell(&mut cargo, places);
    cargo
}

/// Lets a program that is or starts cargo see what it would see without us.
pub fn like_a_fresh_shell<'a>(command: &'a mut Command, places: &Places) -> &'a mut Command {
    command.current_dir(&places.repository);
    // `cargo run` describes this package to us; a build script that watches such a variable would see it change
    // between our builds and the user's, and rebuild.
    for (name, _) in env::vars_os() {
        if is_ours_alone(&name) {
            command.env_remove(name);
        }
    }
    if env::var_os("CARGO_TARGET_DIR").is_some() {
        command.env("CARGO_TARGET_DIR", &places.target);
    }
    command
}

fn is_ours_alone(name: &OsString) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || name.starts_with("CARGO_BIN_")
        || name == "CARGO_CRATE_NAME"
        || name == "CARGO_PRIMARY_PACKAGE"
        || name == "LD_LIBRARY_PATH" && env::var_os("CARGO_MANIFEST_DIR").is_some()
}

/// Runs a program to its end; what it writes to stdout goes to our stderr, because stdout is for results.
pub fn run_visibly(command: &mut Command) -> Result<ExitStatus> {
    let name = command.get_program().to_owned();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::from(std::io::stderr()))
        .status()
        .with_context(|| format!("starting {}", name.display()))
}

/// Runs a program silently and returns its standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {}", name.display()))?;
    if !output.status.success() {
        bail!("{} failed ({})", name.display(), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
