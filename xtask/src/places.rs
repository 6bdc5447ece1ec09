//! Where things are: the repository, the build, the user's cache, the built plugins.

use crate::error::UserError;
use anyhow::{Context, Result};
use std::env;
use std::path::{Path, PathBuf};

pub struct Places {
    /// The repository's root; commands run there, so that the paths in the README hold.
    pub repository: PathBuf,
    /// Cargo's target directory.
    pub target: PathBuf,
    /// What is fetched once per user.
    pub cache: PathBuf,
    /// The built plugins.
    pub plugins: PathBuf,
}

impl Places {
    pub fn find() -> Result<Self> {
        // Cargo tells it at run time; the compile-time value serves when the program is started by hand.
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map(PathBuf::from)
            .filter(|dir| dir.ends_with("xtask"))
            .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        let repository = manifest.parent().context("the xtask package has no parent directory")?.to_path_buf();
        Ok(Self {
            target: target(&repository)?,
            cache: cache()?,
            plugins: repository.join("plugins-built"),
            repository,
        })
    }

    /// The directory of release binaries.
    pub fn release(&self) -> PathBuf {
        self.target.join("release")
    }

    /// The host's binary.
    pub fn host(&self) -> PathBuf {
        self.release().join(format!("udasa{}", env::consts::EXE_SUFFIX))
    }
}

/// `CARGO_TARGET_DIR`, else where this very program lies, which also covers `build.target-dir` of a cargo config.
fn target(repository: &Path) -> Result<PathBuf> {
    if let Some(dir) = env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
        return std::path::absolute(&dir).with_context(|| format!("resolving CARGO_TARGET_DIR {}", dir.display()));
    }
    let program = env::current_exe().context("finding this program")?;
    Ok(program
        .parent()
        .filter(|dir| dir.ends_with("release"))
        .and_then(Path::parent)
        .map_or_else(|| repository.join("target"), Path::to_path_buf))
}

fn cache() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|dir| !dir.is_empty());
    let dir = if let Some(own) = set("UDASA_CACHE") {
        PathBuf::from(own)
    } else if let Some(shared) = set("XDG_CACHE_HOME") {
        PathBuf::from(shared).join("udasa")
    } else if let Some(home) = set("HOME") {
        PathBuf::from(home).join(".cache/udasa")
    } else {
        return Err(UserError::new(
            "no place for the cache: neither UDASA_CACHE, XDG_CACHE_HOME nor HOME is set",
            "set UDASA_CACHE to a directory with 3 GB free",
        )
        .into());
    };
    std::path::absolute(&dir).with_context(|| format!("resolving the cache {}", dir.display()))
}
