//! Where what is made once per user is kept: compiled plugins, and a compiler for plugins where Rust's own cannot build them.

use std::path::PathBuf;

/// `$UDASA_CACHE`, else `$XDG_CACHE_HOME/udasa`, else `~/.cache/udasa`; nothing where none of them is set.
pub fn root() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    variable("UDASA_CACHE")
        .map(PathBuf::from)
        .or_else(|| variable("XDG_CACHE_HOME").map(|home| PathBuf::from(home).join("udasa")))
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache/udasa")))
}
