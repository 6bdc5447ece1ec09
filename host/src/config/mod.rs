//! The config room: one TOML file and the command line's `--set`s in, one checked [`Config`] out.
//!
//! Two forms: [`ConfigFile`] is the file as typed, [`Config`] the resolved one, which only [`resolve`] makes: paths absolute,
//! defaults that depend on other keys filled in, everything checked that can be checked without loading a model or a
//! plugin. All problems come back at once. Nothing else in the program reads the file.

mod cross;
mod document;
mod losses;
mod overrides;
mod problem;
mod reference;
mod resolve;
mod schema;
mod sections;

pub use problem::{Origin, Problem, as_error};
pub use reference::config_reference;
pub use resolve::{Config, Needs, resolve, resolve_for, resolve_text};
pub use sections::*;
