//! One loaded plugin: its pre-linked component and its idle instances. Calls come from any thread; each takes an instance
//! for itself. An instance that trapped is thrown away, because its memory may be anything.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store};

use crate::config::Limits;

use super::engine::with_stack;
use super::fault::{Cause, Identity, PluginFault, classify};
use super::log::{self, LogSink};
use super::store::{self, State};

/// A world of the contract, as bindgen makes it.
pub(super) trait World: Sized + Send {
    type Pre: Send + Sync;
    fn prepare(pre: InstancePre<State>) -> wasmtime::Result<Self::Pre>;
    fn instantiate(pre: &Self::Pre, store: &mut Store<State>) -> wasmtime::Result<Self>;
}

/// What a plugin has used so far, all instances together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls, failed ones included.
    pub calls: u64,
    /// Calls that ended in a trap; each cost an instance.
    pub traps: u64,
    /// Fuel of the calls that did not trap.
    pub fuel: u64,
    /// Fuel of the call that took most.
    pub most_fuel: u64,
    /// Wall time in calls, nanoseconds, summed over threads.
    pub nanoseconds: u64,
    /// The largest linear memory of an instance, bytes.
    pub peak_memory: u64,
}

#[derive(Default)]
struct Meter {
    calls: AtomicU64,
    traps: AtomicU64,
    fuel: AtomicU64,
    most_fuel: AtomicU64,
    nanoseconds: AtomicU64,
    peak_memory: AtomicU64,
}

/// A plugin that can be called.
pub(super) struct Pool<W: World> {
    pub identity: Arc<Identity>,
    pub limits: Limits,
    pub log: Arc<LogSink>,
    engine: Engine,
    pre: W::Pre,
    idle: Mutex<Vec<Instance<W>>>,
    meter: Meter,
}

struct Instance<W> {
    store: Store<State>,
    world: W,
}

/// What a function of the contract returned: a value, or the plugin's own fault.
pub(super) type Returned<T> = Result<T, Cause>;

impl<W: World> Pool<W> {
    pub fn new(engine: &Engine, component: &Component, identity: Identity, limits: &Limits) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(engine);
        log::link(&mut linker)?;
        Ok(Self {
            identity: Arc::new(identity),
            limits: limits.clone(),
            log: Arc::new(LogSink::new(limits.log_lines)),
            engine: engine.clone(),
            pre: W::prepare(linker.instantiate_pre(component)?)?,
            idle: Mutex::new(Vec::new()),
            meter: Meter::default(),
        })
    }

    /// Calls `function` of the contract through `call`, under the limits.
    pub fn call<T: Send>(
        &self,
        function: &'static str,
        prompt: Option<&str>,
        call: impl FnOnce(&W, &mut Store<State>) -> wasmtime::Result<Returned<T>> + Send,
    ) -> Result<T, PluginFault> {
        with_stack(self.limits.stack_kib, || self.call_here(call))
            .unwrap_or_else(|e| Err(Cause::Host(e.to_string())))
            .map_err(|cause| self.fault(function, prompt, cause))
    }

    /// `cause` as a fault of this plugin.
    pub fn fault(&self, function: &'static str, prompt: Option<&str>, cause: Cause) -> PluginFault {
        PluginFault { plugin: self.identity.clone(), function, prompt: prompt.map(str::to_owned), cause }
    }

    pub fn usage(&self) -> Usage {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Usage {
            calls: read(&self.meter.calls),
            traps: read(&self.meter.traps),
            fuel: read(&self.meter.fuel),
            most_fuel: read(&self.meter.most_fuel),
            nanoseconds: read(&self.meter.nanoseconds),
            peak_memory: read(&self.meter.peak_memory),
        }
    }

    /// Counts from zero: what a plugin used to say who it is belongs to no work.
    pub fn forget_usage(&self) {
        let Meter { calls, traps, fuel, most_fuel, nanoseconds, peak_memory } = &self.meter;
        for counter in [calls, traps, fuel, most_fuel, nanoseconds, peak_memory] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    fn call_here<T>(
        &self,
        call: impl FnOnce(&W, &mut Store<State>) -> wasmtime::Result<Returned<T>>,
    ) -> Result<T, Cause> {
        let started = Instant::now();
        let mut instance = match self.take_idle() {
            Some(instance) => instance,
            None => self.instantiate()?,
        };
        let store = &mut instance.store;
        let result = store::refill(store, &self.limits).and_then(|()| call(&instance.world, store));
        self.count(&instance, started, result.is_err());
        match result {
            Ok(returned) => {
                self.put_back(instance);
                returned
            }
            Err(error) => {
                let logged = instance.store.data_mut().last_error.take();
                Err(classify(&error, &self.limits, logged))
            }
        }
    }

    fn instantiate(&self) -> Result<Instance<W>, Cause> {
        let mut store = store::new(&self.engine, &self.limits, self.log.clone());
        let world = store::refill(&mut store, &self.limits).and_then(|()| W::instantiate(&self.pre, &mut store));
        match world {
            Ok(world) => Ok(Instance { store, world }),
            Err(error) => {
                let logged = store.data_mut().last_error.take();
                Err(classify(&error, &self.limits, logged))
            }
        }
    }

    // A poisoned lock means that a thread panicked between push and pop: its list is whole, but we do without it.
    fn take_idle(&self) -> Option<Instance<W>> {
        self.idle.lock().ok()?.pop()
    }

    fn put_back(&self, instance: Instance<W>) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(instance);
        }
    }

    fn count(&self, instance: &Instance<W>, started: Instant, trapped: bool) {
        let add = |counter: &AtomicU64, n: u64| counter.fetch_add(n, Ordering::Relaxed);
        add(&self.meter.calls, 1);
        if trapped {
            add(&self.meter.traps, 1);
        } else if let Ok(left) = instance.store.get_fuel() {
            let fuel = self.limits.fuel.saturating_sub(left);
            add(&self.meter.fuel, fuel);
            self.meter.most_fuel.fetch_max(fuel, Ordering::Relaxed);
        }
        let elapsed = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        add(&self.meter.nanoseconds, elapsed);
        let memory = instance.store.data().memory as u64;
        self.meter.peak_memory.fetch_max(memory, Ordering::Relaxed);
    }
}
