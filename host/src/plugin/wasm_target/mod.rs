//! A Rust compiler for wasm32-unknown-unknown, by whichever of three ways works.
//!
//! 1. The compiler at hand has the target.
//! 2. rustup adds it.
//! 3. Debian's `rustc-web` is unpacked into the user's cache, and the standard library built for the target once: for
//!    machines that reach a package mirror but not rustup's. Needs no root and installs nothing.

mod disk;
mod programs;

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use super::cargo::TARGET;
use crate::cache;
use crate::data::sha256_hex;
use crate::error::UserError;

const SCRIPT: &str = include_str!("unpack.sh");
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);
const MEGABYTES: u64 = 1500;

/// What the script's exit codes mean; the rest is ours to mend.
const NO_LISTS: i32 = 3;
const NO_PACKAGE: i32 = 4;
const NO_LINKER: i32 = 5;

/// The compiler to build a crate in `folder` with, where it is not the one that cargo takes there.
pub(super) fn compiler(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let forced = env::var_os("UDASA_WASM_FALLBACK").is_some_and(|value| value == "1");
    if !forced && at_hand(folder) {
        return Ok(None);
    }
    let cache = cache()?;
    let home = cache.join("wasm-tc");
    // Asked before rustup, so that a machine where rustup cannot add the target does not wait for it every time.
    if let Some(rustc) = unpacked(&home) {
        return Ok(Some(rustc));
    }
    if !forced && added_by_rustup(folder) {
        return Ok(None);
    }
    let _lock = hold(&cache.join("wasm-tc.lock"))?;
    match unpacked(&home) {
        Some(rustc) => Ok(Some(rustc)),
        None => unpack(&home).map(Some),
    }
}

/// Whether the compiler that cargo takes in `folder` has the target's standard library, whoever installed it. The folder
/// matters: a `rust-toolchain.toml` there chooses another compiler.
fn at_hand(folder: &Path) -> bool {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let rustc = set("RUSTC").or_else(|| set("CARGO_BUILD_RUSTC")).unwrap_or_else(|| "rustc".into());
    let asked = ["--print", "target-libdir", "--target", TARGET];
    programs::output(Command::new(rustc).args(asked).current_dir(folder)).is_some_and(|dir| {
        Path::new(dir.trim())
            .read_dir()
            .is_ok_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libcore-")))
    })
}

fn added_by_rustup(folder: &Path) -> bool {
    if programs::find("rustup").is_none() {
        return false;
    }
    say("adding the wasm target through rustup (seconds; two minutes at most, then another way is taken)");
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]).current_dir(folder);
    programs::succeeds_within(&mut rustup, RUSTUP_LIMIT) && at_hand(folder)
}

/// The unpacked compiler, if it is complete and of this script, and the linker it borrows is still there.
fn unpacked(home: &Path) -> Option<PathBuf> {
    let stamp = fs::read_to_string(home.join("complete")).ok()?;
    let linked = fs::read_to_string(home.join("linker")).ok()?;
    (stamp == sha256_hex(SCRIPT.as_bytes()) && Path::new(linked.trim()).is_file()).then(|| rustc_of(home))
}

fn rustc_of(home: &Path) -> PathBuf {
    home.join("bin/rustc")
}

fn unpack(home: &Path) -> anyhow::Result<PathBuf> {
    let by_hand = format!("install the target for your Rust compiler (with rustup: rustup target add {TARGET})");
    let tools = ["apt-get", "apt-cache", "dpkg", "sh", "tar"];
    if let Some(missing) = tools.iter().find(|tool| programs::find(tool).is_none()) {
        return Err(UserError::new(format!(
            "the Rust compiler lacks the target {TARGET}, rustup did not add it, and the third way is for Debian \
             only: `{missing}` is not here"
        ))
        .hint(by_hand)
        .into());
    }
    disk::require(home, MEGABYTES)?;
    say(
        "unpacking Debian's Rust compiler for wasm (about 150 MB to fetch) and building its standard library; about 2 minutes, once",
    );
    if home.exists() {
        fs::remove_dir_all(home).with_context(|| format!("removing the unfinished {}", home.display()))?;
    }
    fs::create_dir_all(home).map_err(|error| cannot_write(home, &error))?;
    let mut script = Command::new("sh");
    script
        .arg("-c")
        .arg(SCRIPT)
        .current_dir(home)
        .env("WASM_HOME", home)
        .env("CARGO_TARGET_DIR", home.join("std/target"));
    // What the user's own builds are told would spoil this one.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC", "RUSTC_WRAPPER"] {
        script.env_remove(name);
    }
    let problem = match programs::run_visibly(&mut script)?.code() {
        Some(0) => {
            let stamp = home.join("complete");
            fs::write(&stamp, sha256_hex(SCRIPT.as_bytes())).with_context(|| format!("writing {}", stamp.display()))?;
            return Ok(rustc_of(home));
        }
        _ if disk::is_full(home) => "the disk is full",
        Some(NO_LISTS) => "the package lists of this system could not be fetched",
        Some(NO_PACKAGE) => "this system's packages do not include rustc-web, or it could not be fetched",
        Some(NO_LINKER) => "neither the Rust compiler's own linker (rust-lld) nor lld was found",
        _ => "building the standard library failed; the messages are above",
    };
    Err(UserError::new(format!(
        "no compiler for {TARGET}: the one at hand lacks it, rustup did not add it, and Debian's could not be set \
         up: {problem}"
    ))
    .hint(by_hand)
    .into())
}

/// The user's cache as an absolute path: the compiler's wrapper names its own folder.
fn cache() -> anyhow::Result<PathBuf> {
    let root = cache::root().ok_or_else(|| {
        UserError::new(format!(
            "the Rust compiler lacks the target {TARGET}, and there is no place to put another: neither UDASA_CACHE, \
             XDG_CACHE_HOME nor HOME is set"
        ))
        .hint(format!("set UDASA_CACHE to a directory with 1.5 GB free, or run `rustup target add {TARGET}`"))
    })?;
    let root = std::path::absolute(&root).with_context(|| format!("resolving the cache {}", root.display()))?;
    fs::create_dir_all(&root).map_err(|error| cannot_write(&root, &error))?;
    Ok(root)
}

/// Waits for the lock; it is released when the file is dropped, or with the process.
fn hold(path: &Path) -> anyhow::Result<File> {
    let file = File::create(path).map_err(|error| cannot_write(path, &error))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => say("another udasa is setting up the wasm compiler; waiting for it"),
        Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("locking {}", path.display())),
    }
    file.lock().with_context(|| format!("locking {}", path.display()))?;
    Ok(file)
}

fn cannot_write(path: &Path, error: &std::io::Error) -> UserError {
    UserError::new(format!("cannot write {}: {error}", path.display()))
        .hint("set UDASA_CACHE to a directory that you may write, with 1.5 GB free")
}

fn say(text: &str) {
    eprintln!("plugin build: {text}");
}
