//! libtorch: the user's own, else one fetched into the cache.
//!
//! The wheel of PyTorch serves as libtorch. There is no wheel for the CPU alone, but the CUDA one works without
//! the large CUDA packages, as long as the two small ones that its CPU library links are there.

use super::{libtorch_version, lock, python, say};
use crate::error::UserError;
use crate::places::Places;
use anyhow::{Context, Result};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// What `tch`, as pinned in the host, compiles against. Another minor version does not compile.
pub const VERSION: &str = "2.11.0";
const WHEELS: [&str; 3] = ["torch==2.11.0", "nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"];

/// Other ways to choose a libtorch, which do not work with this one and would change what a build sees.
pub const STRAY_VARIABLES: [&str; 4] = ["LIBTORCH_USE_PYTORCH", "LIBTORCH_INCLUDE", "LIBTORCH_LIB", "LIBTORCH_STATIC"];

/// The user's libtorch, checked, or the complete one in the cache, or none.
pub fn find(places: &Places) -> Result<Option<PathBuf>> {
    for name in STRAY_VARIABLES {
        if env::var_os(name).is_some() {
            say(&format!("{name} is ignored; only LIBTORCH chooses a libtorch"));
        }
    }
    if let Some(dir) = env::var_os("LIBTORCH").filter(|dir| !dir.is_empty()) {
        let dir = std::path::absolute(&dir).with_context(|| format!("resolving LIBTORCH {}", dir.display()))?;
        check(&dir)?;
        return Ok(Some(dir));
    }
    Ok(cached(places))
}

/// What builds of the host need to know.
pub fn environment(libtorch: &Path) -> Vec<(&'static str, PathBuf)> {
    let mut variables = vec![("LIBTORCH", libtorch.to_path_buf())];
    // A patch release compiles, but the bindings insist on .0 where they find a version file. We have checked.
    if libtorch_version::of(libtorch).is_some_and(|version| version != VERSION) {
        variables.push(("LIBTORCH_BYPASS_VERSION_CHECK", "1".into()));
    }
    variables
}

/// Without a wheel for the platform there is nothing to fetch.
pub fn require_supported_platform() -> Result<()> {
    if cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return Ok(());
    }
    let platform = format!("{} on {}", env::consts::OS, env::consts::ARCH);
    Err(UserError::new(
        format!("libtorch {VERSION} can be fetched for Linux with glibc on x86_64 only, and this is {platform}"),
        format!("install libtorch {VERSION} and set LIBTORCH to the folder that holds its lib and include"),
    )
    .into())
}

/// Fetches libtorch into the cache. A folder without its stamp is the rest of an interrupted attempt.
pub fn fetch(places: &Places) -> Result<PathBuf> {
    let _lock = lock::hold(&places.cache)?;
    if let Some(dir) = cached(places) {
        return Ok(dir);
    }
    let python = python::require()?;
    let home = home(places);
    say(&format!(
        "fetching libtorch {VERSION} (545 MB, 1.2 GB on disk; a minute or a few, by your network) into {}",
        home.display()
    ));
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("removing the unfinished {}", home.display()))?;
    }
    python::install(&python, &home, &WHEELS)?;
    let dir = torch_of(&home).with_context(|| format!("pip installed no torch folder below {}", home.display()))?;
    check(&dir)?;
    let stamp = home.join("complete");
    fs::write(&stamp, stamp_text()).with_context(|| format!("writing {}", stamp.display()))?;
    Ok(dir)
}

fn home(places: &Places) -> PathBuf {
    places.cache.join(format!("libtorch-{VERSION}"))
}

fn stamp_text() -> String {
    WHEELS.join("\n") + "\n"
}

fn cached(places: &Places) -> Option<PathBuf> {
    let home = home(places);
    let stamp = fs::read_to_string(home.join("complete")).ok()?;
    (stamp == stamp_text()).then(|| torch_of(&home)).flatten().filter(|dir| library(dir).is_file())
}

/// `lib/python3.*/site-packages/torch` of a virtual environment.
fn torch_of(venv: &Path) -> Option<PathBuf> {
    venv.join("lib")
        .read_dir()
        .ok()?
        .flatten()
        .map(|python| python.path().join("site-packages/torch"))
        .find(|dir| dir.is_dir())
}

fn library(libtorch: &Path) -> PathBuf {
    let (before, after) = (env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    libtorch.join(format!("lib/{before}torch_cpu{after}"))
}

/// Is this a libtorch, and the right one?
fn check(libtorch: &Path) -> Result<()> {
    let shown = libtorch.display();
    let cure = format!(
        "set LIBTORCH to the folder of libtorch {VERSION} that holds lib and include (of a Python environment: \
         site-packages/torch), or unset it and it is fetched"
    );
    let wrong = |what: String| Err(UserError::new(what, cure.clone()).into());
    if !libtorch.is_dir() {
        return wrong(format!("LIBTORCH is {shown}, which is not a folder"));
    }
    if !library(libtorch).is_file() {
        let missing = library(libtorch);
        return wrong(format!("LIBTORCH is {shown}, but {} does not exist", missing.display()));
    }
    match libtorch_version::of(libtorch) {
        None => wrong(format!(
            "LIBTORCH is {shown}, but its version cannot be told: neither include/torch/headeronly/version.h, \
             include/torch/version.h, version.py nor build-version names one"
        )),
        Some(version) if libtorch_version::same_minor(&version, VERSION) => Ok(()),
        Some(version) => {
            wrong(format!("LIBTORCH is {shown}, which is libtorch {version}, but the host is built against {VERSION}"))
        }
    }
}
