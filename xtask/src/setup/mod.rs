//! The set-up: what a fresh machine needs before the host can run, each step skipped when it is done.
//!
//! In: the places. Out: [`Ready`]. Everything that can be checked is checked before the first download or build;
//! each step says what it does and how long it may take. Nothing outside the cache and the repository is touched,
//! except that the host, when it builds the plugins, may have rustup install the wasm target.

mod compiler;
mod digest;
mod disk;
mod libtorch;
mod libtorch_version;
mod lock;
mod plugins;
mod python;

use crate::places::Places;
use crate::programs::{cargo, run_visibly};
use anyhow::{Result, bail};
use disk::Need;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// What the set-up leaves behind.
pub struct Ready {
    /// The folder with libtorch's `lib` and `include`.
    pub libtorch: PathBuf,
    /// The host's binary.
    pub host: PathBuf,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Ready {
    /// Cargo with the environment that every build of the host needs.
    pub fn build(&self, places: &Places) -> Command {
        build(places, &self.environment)
    }

    /// How to go on by hand.
    pub fn explain(&self, places: &Places) {
        println!("host      {}", self.host.display());
        println!("plugins   {}", places.plugins.display());
        println!("libtorch  {}", self.libtorch.display());
        println!("To build with cargo directly, in your shell:");
        for (name, value) in &self.environment {
            println!("  export {name}={}", value.display());
        }
    }
}

pub fn set_up(places: &Places) -> Result<Ready> {
    let start = Instant::now();
    std::fs::create_dir_all(&places.cache).map_err(|error| disk::cannot_write(&places.cache, &error))?;

    let found = libtorch::find(places)?;
    let cxx = compiler::find()?;
    let mut needs = Vec::new();
    if found.is_none() {
        libtorch::require_supported_platform()?;
        needs.push(Need::new(&places.cache, 2500, "libtorch"));
    }
    if !places.host().is_file() {
        needs.push(Need::new(&places.target, 6000, "the build"));
    }
    disk::require(&needs)?;

    let libtorch = match found {
        Some(dir) => dir,
        None => libtorch::fetch(places)?,
    };
    let mut environment = libtorch::environment(&libtorch);
    environment.extend(cxx.map(|cxx| ("CXX", cxx)));

    build_host(places, &environment)?;
    let ready = Ready { libtorch, host: places.host(), environment };
    plugins::build(places, &ready.host)?;
    say(&format!("ready in {:.1} s", start.elapsed().as_secs_f64()));
    Ok(ready)
}

fn build(places: &Places, environment: &[(&'static str, PathBuf)]) -> Command {
    let mut cargo = cargo(places);
    for name in libtorch::STRAY_VARIABLES {
        cargo.env_remove(name);
    }
    cargo.envs(environment.iter().map(|(name, value)| (name, value)));
    cargo
}

/// Cargo is its own check of what is up to date; it needs a third of a second when everything is.
fn build_host(places: &Places, environment: &[(&'static str, PathBuf)]) -> Result<()> {
    if !places.host().is_file() {
        say("building the host; the first time takes about 8 minutes on two cores (libtorch's bindings, wasmtime)");
    }
    let arguments = ["build", "--release", "--package", "udasa"];
    if !run_visibly(build(places, environment).args(arguments))?.success() {
        bail!("building the host failed; cargo's messages are above");
    }
    Ok(())
}

/// A line about the set-up, apart from any result.
fn say(text: &str) {
    eprintln!("setup: {text}");
}
