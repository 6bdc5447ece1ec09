//! Lines for a person. Rate-limited and capped by the host, and never read back: nothing can depend on them.

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// For whoever watches the run.
    Info,
    /// Something a user should look at.
    Warn,
    /// What went wrong.
    Error,
}

/// Writes one line: to the host, or to stderr where there is none (a test, or a thread of a native plugin's own).
pub fn write(level: Level, message: &str) {
    sink(level, message);
}

/// [`Level::Debug`].
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// [`Level::Info`].
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// [`Level::Warn`].
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// [`Level::Error`].
pub fn error(message: &str) {
    write(Level::Error, message);
}

#[cfg(target_arch = "wasm32")]
use crate::bindings::sink;

#[cfg(not(target_arch = "wasm32"))]
fn sink(level: Level, message: &str) {
    if !crate::native::log(level, message) {
        eprintln!("{level:?}: {message}");
    }
}
