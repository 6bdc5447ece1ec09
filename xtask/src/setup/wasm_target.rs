//! A Rust compiler for wasm32-unknown-unknown, by whichever of three ways works.
//!
//! 1. The compiler at hand has the target.
//! 2. rustup adds it.
//! 3. Debian's `rustc-web` is unpacked into the cache, and the standard library built for the target once: for
//!    machines that reach a package mirror but not rustup's.

use super::digest::Digest;
use super::disk::{self, Need};
use super::{lock, say};
use crate::error::UserError;
use crate::places::Places;
use crate::programs::{self, like_a_fresh_shell, run_visibly, succeeds_within};
use anyhow::{Context, Result};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const TARGET: &str = "wasm32-unknown-unknown";
const SCRIPT: &str = include_str!("wasm_toolchain.sh");
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);

/// What the script's exit codes mean; the rest is ours to mend.
const NO_LISTS: i32 = 3;
const NO_PACKAGE: i32 = 4;
const NO_LINKER: i32 = 5;

/// The compiler to build plugins with, where it is not the one at hand.
pub fn find(places: &Places) -> Result<Option<PathBuf>> {
    let forced = env::var_os("UDASA_WASM_FALLBACK").is_some_and(|value| value == "1");
    if !forced && at_hand() {
        return Ok(None);
    }
    let home = places.cache.join("wasm-tc");
    // Asked before rustup, so that a machine where rustup cannot add the target does not wait for it every time.
    if let Some(rustc) = unpacked(&home) {
        return Ok(Some(rustc));
    }
    if !forced && added_by_rustup() {
        return Ok(None);
    }
    let _lock = lock::hold(&places.cache)?;
    match unpacked(&home) {
        Some(rustc) => Ok(Some(rustc)),
        None => unpack(places, &home).map(Some),
    }
}

/// Whether the compiler that cargo would use has the target's standard library, whoever installed it.
fn at_hand() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = ["--print", "target-libdir", "--target", TARGET];
    programs::output(Command::new(rustc).args(asked)).is_ok_and(|dir| {
        Path::new(dir.trim())
            .read_dir()
            .is_ok_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libcore-")))
    })
}

fn added_by_rustup() -> bool {
    if programs::find("rustup").is_none() {
        return false;
    }
    say("adding the wasm target through rustup (seconds; two minutes at most, then another way is taken)");
    succeeds_within(Command::new("rustup").args(["target", "add", TARGET]), RUSTUP_LIMIT) && at_hand()
}

/// The unpacked compiler, if it is complete and of this script, and the linker it borrows is still there.
fn unpacked(home: &Path) -> Option<PathBuf> {
    let stamp = fs::read_to_string(home.join("complete")).ok()?;
    let linked = fs::read_to_string(home.join("linker")).ok()?;
    (stamp == script_digest() && Path::new(linked.trim()).is_file()).then(|| rustc_of(home))
}

fn rustc_of(home: &Path) -> PathBuf {
    home.join("bin/rustc")
}

fn script_digest() -> String {
    let mut digest = Digest::default();
    digest.add(SCRIPT);
    digest.text()
}

fn unpack(places: &Places, home: &Path) -> Result<PathBuf> {
    let by_hand = format!("install the target for your Rust compiler (with rustup: rustup target add {TARGET})");
    let tools = ["apt-get", "apt-cache", "dpkg", "sh", "tar"];
    if let Some(missing) = tools.iter().find(|tool| programs::find(tool).is_none()) {
        return Err(UserError::new(
            format!(
                "the Rust compiler lacks the target {TARGET}, rustup did not add it, and the third way is for \
                 Debian only: `{missing}` is not here"
            ),
            by_hand,
        )
        .into());
    }
    disk::require(&[Need::new(home, 1500, "the wasm compiler")])?;
    say(
        "unpacking Debian's Rust compiler for wasm (about 150 MB to fetch) and building its standard library; about 2 minutes, once",
    );
    if home.exists() {
        fs::remove_dir_all(home).with_context(|| format!("removing the unfinished {}", home.display()))?;
    }
    fs::create_dir_all(home).map_err(|error| disk::cannot_write(home, &error))?;
    let mut script = Command::new("sh");
    like_a_fresh_shell(&mut script, places)
        .arg("-c")
        .arg(SCRIPT)
        .current_dir(home)
        .env("WASM_HOME", home)
        .env("CARGO_TARGET_DIR", home.join("std/target"))
        .env_remove("RUSTFLAGS");
    let status = run_visibly(&mut script)?;
    let problem = match status.code() {
        Some(0) => {
            let stamp = home.join("complete");
            fs::write(&stamp, script_digest()).with_context(|| format!("writing {}", stamp.display()))?;
            return Ok(rustc_of(home));
        }
        _ if disk::full(home).is_some() => "the disk is full",
        Some(NO_LISTS) => "the package lists of this system could not be fetched",
        Some(NO_PACKAGE) => "this system's packages do not include rustc-web, or it could not be fetched",
        Some(NO_LINKER) => "neither the Rust compiler's own linker (rust-lld) nor lld was found",
        _ => "building the standard library failed; the messages are above",
    };
    Err(UserError::new(
        format!(
            "no compiler for {TARGET}: the one at hand lacks it, rustup did not add it, and Debian's could not \
             be set up: {problem}"
        ),
        by_hand,
    )
    .into())
}
