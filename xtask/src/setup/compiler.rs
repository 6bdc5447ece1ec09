//! The C++ compiler that libtorch's bindings need: checked here, because its absence shows up minutes later
//! otherwise, in the words of a build script.

use crate::error::UserError;
use crate::programs;
use anyhow::Result;
use std::env;
use std::path::{Path, PathBuf};

/// A value for CXX, where neither the user has set it nor the default `c++` exists.
pub fn find() -> Result<Option<PathBuf>> {
    if let Some(own) = env::var("CXX").ok().filter(|cxx| !cxx.trim().is_empty()) {
        // It may hold a launcher and flags: `ccache g++ -m64`.
        let program = own.split_whitespace().next().unwrap_or_default();
        if programs::find(program).is_some() || Path::new(program).is_file() {
            return Ok(None);
        }
        return Err(UserError::new(
            format!("CXX is `{own}`, but there is no program `{program}`"),
            "set CXX to a C++ compiler, or unset it",
        )
        .into());
    }
    if programs::find("c++").is_some() {
        return Ok(None);
    }
    if let Some(other) = ["g++", "clang++"].iter().find_map(|name| programs::find(name)) {
        return Ok(Some(other));
    }
    Err(UserError::new(
        "no C++ compiler is on PATH (c++, g++ or clang++), and libtorch's bindings need one",
        "install one (Debian, Ubuntu: sudo apt-get install g++; Fedora: sudo dnf install gcc-c++), or set CXX",
    )
    .into())
}
