//! One loaded plugin: its pre-linked component and its instances. Calls come from any thread; each thread has a place of its
//! own with an instance and a meter, so that threads that score side by side share nothing they write to. An instance that
//! trapped is thrown away, because its memory may be anything.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store};

use crate::config::Limits;

use super::engine::with_stack;
use super::fault::{Cause, Identity, PluginFault, classify, classify_start};
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
    /// As many as threads will call at once, and more.
    places: Box<[Place<W>]>,
}

/// Where a thread calls the plugin. Two places share no cache line (nor the pair of lines that processors fetch together).
#[repr(align(128))]
struct Place<W> {
    instance: Mutex<Option<Instance<W>>>,
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
            places: (0..places()).map(|_| Place { instance: Mutex::new(None), meter: Meter::default() }).collect(),
        })
    }

    /// Calls `function` of the contract through `call`, under the limits.
    pub fn call<T: Send>(
        &self,
        function: &'static str,
        prompt: Option<&str>,
        call: impl FnOnce(&W, &mut Store<State>) -> wasmtime::Result<Returned<T>> + Send,
    ) -> Result<T, PluginFault> {
        // Which place it is depends on this thread, not on one that lives for this call only.
        let mine = thread_number();
        with_stack(self.limits.stack_kib, || self.call_at(mine, call))
            .unwrap_or_else(|e| Err(Cause::Host(e.to_string())))
            .map_err(|cause| self.fault(function, prompt, cause))
    }

    /// `cause` as a fault of this plugin.
    pub fn fault(&self, function: &'static str, prompt: Option<&str>, cause: Cause) -> PluginFault {
        PluginFault { plugin: self.identity.clone(), function, prompt: prompt.map(str::to_owned), cause }
    }

    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for Place { meter, .. } in &self.places {
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            usage.calls += read(&meter.calls);
            usage.traps += read(&meter.traps);
            usage.fuel += read(&meter.fuel);
            usage.most_fuel = usage.most_fuel.max(read(&meter.most_fuel));
            usage.nanoseconds += read(&meter.nanoseconds);
            usage.peak_memory = usage.peak_memory.max(read(&meter.peak_memory));
        }
        usage
    }

    /// Counts from zero: what a plugin used to say who it is belongs to no work.
    pub fn forget_usage(&self) {
        for Place { meter, .. } in &self.places {
            let Meter { calls, traps, fuel, most_fuel, nanoseconds, peak_memory } = meter;
            for counter in [calls, traps, fuel, most_fuel, nanoseconds, peak_memory] {
                counter.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Calls from the first free place, beginning with the thread's own. Where more threads call than there are places, an
    /// instance is made for the call.
    fn call_at<T>(
        &self,
        mine: usize,
        call: impl FnOnce(&W, &mut Store<State>) -> wasmtime::Result<Returned<T>>,
    ) -> Result<T, Cause> {
        let (before, after) = self.places.split_at(mine % self.places.len());
        let mut in_turn = after.iter().chain(before);
        // A poisoned place means that a thread panicked in a call: its instance may be anything, and it is left alone.
        let free = in_turn.find_map(|place| Some((place.instance.try_lock().ok()?, &place.meter)));
        match free {
            Some((mut instance, meter)) => self.call_on(&mut instance, meter, call),
            None => self.call_on(&mut None, &self.places[mine % self.places.len()].meter, call),
        }
    }

    fn call_on<T>(
        &self,
        held: &mut Option<Instance<W>>,
        meter: &Meter,
        call: impl FnOnce(&W, &mut Store<State>) -> wasmtime::Result<Returned<T>>,
    ) -> Result<T, Cause> {
        let started = Instant::now();
        let instance = match held {
            Some(instance) => instance,
            None => held.insert(self.instantiate()?),
        };
        let store = &mut instance.store;
        let result = store::refill(store, &self.limits).and_then(|()| call(&instance.world, store));
        meter.count(instance, started, result.is_ok().then_some(self.limits.fuel));
        match result {
            Ok(returned) => returned,
            Err(error) => {
                let logged = instance.store.data_mut().last_error.take();
                *held = None;
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
                Err(classify_start(&error, &self.limits, logged))
            }
        }
    }
}

impl Meter {
    /// Counts a call that began with `tank` fuel, or one that trapped.
    fn count<W>(&self, instance: &Instance<W>, started: Instant, tank: Option<u64>) {
        let add = |counter: &AtomicU64, n: u64| counter.fetch_add(n, Ordering::Relaxed);
        add(&self.calls, 1);
        match tank {
            None => _ = add(&self.traps, 1),
            Some(tank) => {
                let left = instance.store.get_fuel().unwrap_or(tank);
                let fuel = tank.saturating_sub(left);
                add(&self.fuel, fuel);
                self.most_fuel.fetch_max(fuel, Ordering::Relaxed);
            }
        }
        add(&self.nanoseconds, u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
        self.peak_memory.fetch_max(instance.store.data().memory as u64, Ordering::Relaxed);
    }
}

/// Twice the processors: rayon has a thread for each, and others may call beside them. Counted once, because that reads files.
fn places() -> usize {
    static PLACES: OnceLock<usize> = OnceLock::new();
    *PLACES.get_or_init(|| 2 * std::thread::available_parallelism().map_or(1, usize::from))
}

/// Counts threads in the order in which they first call a plugin, so that those of one pool have places side by side.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}
