//! The plugin room: what a plugin's author and its user do from the shell. `build` makes plugins of crates, `list` and
//! `inspect` show what a directory or a file holds.
//!
//! It knows cargo and the component encoder; everything about running plugins is the sandbox's.

mod build;
mod cargo;
mod markdown;
mod show;

pub use build::{Built, build, build_quick, build_quietly};
pub use show::{As, inspect, list};

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
