//! The sandbox room: runs plugins, and is the only module that touches wasmtime.
//!
//! In: a plugin directory, a scorer's or the stage section's config, the limits. Out: [`Scorer`] and [`StagingPolicy`], pure
//! functions over [records](crate::records) whose every output has been checked, and [`PluginFault`] where one fails.
//!
//! A component is read before anything of it is compiled: which world it exports, of which contract version, and that it
//! imports nothing but the log sink. Compiled code is cached; instances are pooled per plugin and thrown away after a
//! trap. Fuel, memory, stack, output size, log volume and wall time are always limited.
//!
//! What it does not do: answer questions (`score`), decide what a fault does to the run (`score`, `stage`), build plugins
//! (`plugin`).

mod directory;
mod native_code;
mod policy;
mod scorer;
mod trial;

mod answers;
mod check;
mod convert;
mod fault;
mod words;

mod bindings;
mod block;
mod code_cache;
mod contract;
mod engine;
mod log;
mod pool;
mod store;

#[cfg(test)]
mod frozen;
#[cfg(test)]
mod tests;

pub use answers::{answer_fits, answers_fit};
pub use contract::{CONTRACT_VERSION, PluginKind};
pub(crate) use directory::together;
pub use directory::{Description, PluginDirectory, PluginFile, Problem, inspect, inspect_bytes};
pub use fault::{Cause, Identity, PluginFault, grouped, kind_name};
pub use log::{LogLevel, LogLine};
pub use policy::StagingPolicy;
pub use pool::Usage;
pub use scorer::{Scorer, Step};
pub use trial::{Refused, read_contract};
