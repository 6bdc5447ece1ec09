//! Python serves for one thing: its pip fetches libtorch. Nothing of Python is used afterwards.

use super::disk;
use crate::error::UserError;
use crate::programs;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Minor versions of Python 3 for which the pinned torch has a wheel.
const MINORS: std::ops::RangeInclusive<u32> = 10..=14;

const OWN: &str = "or set LIBTORCH to a libtorch 2.11.0 that you have";

/// Prints the minor version, and `venv` when virtual environments with pip can be made.
const PROBE: &str = "\
import sys
print(sys.version_info[0], sys.version_info[1])
try:
    import venv, ensurepip
    print('venv')
except ImportError:
    pass
";

/// The python3 on PATH, if it can make a virtual environment and has a wheel of torch.
pub fn require() -> Result<PathBuf> {
    let Some(python) = programs::find("python3") else {
        return Err(UserError::new(
            "python3 is not on PATH, and its pip is needed once to fetch libtorch",
            format!("install Python 3 (Debian, Ubuntu: sudo apt-get install python3 python3-venv), {OWN}"),
        )
        .into());
    };
    let shown = python.display();
    let probe = programs::output(Command::new(&python).args(["-c", PROBE]))
        .with_context(|| format!("asking {shown} for its version"))?;
    let mut words = probe.split_whitespace();
    let mut number = || words.next().and_then(|word| word.parse::<u32>().ok());
    let (major, minor) = (number().unwrap_or(0), number().unwrap_or(0));
    if major != 3 || !MINORS.contains(&minor) {
        let (first, last) = (MINORS.start(), MINORS.end());
        return Err(UserError::new(
            format!("{shown} is Python {major}.{minor}, for which libtorch 2.11.0 has no package"),
            format!("put a python3 between 3.{first} and 3.{last} first on PATH, {OWN}"),
        )
        .into());
    }
    if words.next() != Some("venv") {
        return Err(UserError::new(
            format!("{shown} cannot make a virtual environment: its venv or ensurepip module is missing"),
            format!("install it (Debian, Ubuntu: sudo apt-get install python3-venv), {OWN}"),
        )
        .into());
    }
    Ok(python)
}

/// Makes a virtual environment and installs exactly these packages into it.
pub fn install(python: &Path, venv: &Path, packages: &[&str]) -> Result<()> {
    let made = Command::new(python)
        .args(["-m", "venv"])
        .arg(venv)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {}", python.display()))?;
    if !made.status.success() {
        let said = [made.stdout, made.stderr].concat();
        return Err(failed("python3 could not make a virtual environment", venv, &said).into());
    }
    // pip unpacks beside its destination and not in a /tmp that may be small, so that one disk check covers both.
    let scratch = venv.join("scratch");
    fs::create_dir_all(&scratch).map_err(|error| disk::cannot_write(&scratch, &error))?;
    let flags = ["-m", "pip", "install", "--no-deps", "--no-input", "--no-cache-dir", "--only-binary=:all:"];
    let pip = Command::new(venv.join("bin/python"))
        .args(flags.iter().map(OsStr::new))
        .args(packages)
        .env("TMPDIR", &scratch)
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .stdin(Stdio::null())
        // Progress is shown; what pip warns about while it tries again is kept for the error, if there is one.
        .stdout(Stdio::from(std::io::stderr()))
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .context("starting pip")?;
    if !pip.status.success() {
        return Err(failed("pip could not fetch libtorch", venv, &pip.stderr).into());
    }
    fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))
}

/// A full disk and a refused download both end in pip's failure; the disk is asked, not pip's words.
fn failed(what: &str, venv: &Path, said: &[u8]) -> UserError {
    if let Some(full) = disk::full(venv) {
        return full;
    }
    let said = String::from_utf8_lossy(said);
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("ERROR")).collect();
    let reason = errors.last().copied().or_else(|| said.lines().last());
    UserError::new(
        format!("{what}: {}", reason.unwrap_or("it gave no reason").trim()),
        format!(
            "check that pip can reach its package index (behind a proxy set HTTPS_PROXY, for a mirror PIP_INDEX_URL, \
             for downloaded wheels PIP_FIND_LINKS) and run the command again, {OWN}"
        ),
    )
}
