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

use crate::progress::{print, size};

pub use build::{Built, build, build_quick, build_quietly};
pub use build_native::{BuiltNative, build_native, build_native_quietly};
pub use call::call;
pub use check::check;
pub use new::new;
pub use show::{As, inspect, list};
