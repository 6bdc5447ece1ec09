//! What belongs to one instance: its memory account, its log, and the limits set before every call.

use std::sync::Arc;

use wasmtime::{Engine, ResourceLimiter, Store};

use crate::config::Limits;

use super::engine::ticks;
use super::log::LogSink;

/// What an element of a table is charged: at least its size on the host.
const TABLE_ELEMENT: usize = 16;
const CORE_INSTANCES: usize = 64;

/// The data of a [`Store`].
pub(super) struct State {
    pub log: Arc<LogSink>,
    /// The last line that was logged as an error in this call: where the SDK's panic hook puts the panic's message.
    pub last_error: Option<String>,
    /// Bytes of linear memory and of tables, all together.
    pub memory: usize,
    memory_limit: usize,
}

/// A plugin wanted more memory than it may have.
#[derive(Debug, thiserror::Error)]
#[error("wanted {wanted} bytes of memory")]
pub(super) struct MemoryLimit {
    pub wanted: usize,
}

impl State {
    fn grow(&mut self, bytes: usize) -> wasmtime::Result<bool> {
        let wanted = self.memory.saturating_add(bytes);
        if wanted > self.memory_limit {
            return Err(MemoryLimit { wanted }.into());
        }
        self.memory = wanted;
        Ok(true)
    }
}

impl ResourceLimiter for State {
    /// An error here is a trap. Returning false instead would make `memory.grow` fail inside the plugin, which a Rust
    /// plugin answers with an abort that says nothing.
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current))
    }

    /// Tables lie in the host's memory as well: 64 of them would hold what one memory may not.
    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT))
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        CORE_INSTANCES
    }

    fn memories(&self) -> usize {
        CORE_INSTANCES
    }
}

/// A store under `limits`.
pub(super) fn new(engine: &Engine, limits: &Limits, log: Arc<LogSink>) -> Store<State> {
    let mut store =
        Store::new(engine, State { log, last_error: None, memory: 0, memory_limit: mebibytes(limits.memory_mib) });
    store.limiter(|state| state);
    store.set_hostcall_fuel(mebibytes(limits.output_mib));
    store
}

/// A full tank and a wound clock, before every call.
pub(super) fn refill(store: &mut Store<State>, limits: &Limits) -> wasmtime::Result<()> {
    store.set_fuel(limits.fuel)?;
    store.set_epoch_deadline(ticks(limits.seconds));
    store.data_mut().last_error = None;
    Ok(())
}

fn mebibytes(n: u64) -> usize {
    usize::try_from(n.saturating_mul(1 << 20)).unwrap_or(usize::MAX)
}
