//! The plugin room: what a plugin's author and its user do from the shell. `new` starts a crate, `build` makes plugins of
//! crates, `check` holds one to the contract, `call` calls it, `list` and `inspect` show what a directory or a file holds.
//!
//! It knows cargo, the component encoder and how to come by a compiler for wasm; everything about running plugins is the
//! sandbox's.

mod new;
mod build;
mod build_native;
mod cargo;
mod wasm_target;
mod check;
mod call;
mod input;
mod markdown;
mod show;

use std::io::{ErrorKind, Write};

use anyhow::Context;

pub use build::{Built, build, build_quick, build_quietly};
pub use build_native::{BuiltNative, build_native, build_native_quietly};
pub use call::call;
pub use check::check;
pub use new::new;
pub use show::{As, inspect, list};

/// A result to stdout. A closed pipe (`udasa plugin list … | head`) is the reader's wish, not an error.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("writing to stdout"),
        _ => Ok(()),
    }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
