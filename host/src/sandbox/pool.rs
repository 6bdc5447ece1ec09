//! One loaded plugin: its pre-linked component and its instances. Calls come from any thread; each thread has a place of its
//! own with an instance and a count of what was used, so that threads that score side by side share nothing they write to. An
//! instance that trapped is thrown away, because its memory may be anything.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
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
    /// Wall time in calls, nanoseconds, summed over threads; handing over the arguments is part of a call.
    pub nanoseconds: u64,
    /// The largest linear memory of an instance, bytes.
    pub peak_memory: u64,
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
struct Place<W>(Mutex<Held<W>>);

/// What a place has: an instance after its first call, and what was used in it.
struct Held<W> {
    instance: Option<Instance<W>>,
    usage: Usage,
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
            places: (0..places()).map(|_| Place(Mutex::new(Held::default()))).collect(),
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

    /// Waits for the calls that are being made.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        self.places.iter().for_each(|place| usage.add(&place.wait().usage));
        usage
    }

    /// Counts from zero: what a plugin used to say who it is belongs to no work.
    pub fn forget_usage(&self) {
        self.places.iter().for_each(|place| place.wait().usage = Usage::default());
    }

    /// Calls from the first free place, beginning with the thread's own. Where more threads call than there are places, an
    /// instance is made for the call.
    fn call_at<T>(
        &self,
        mine: usize,
        call: impl FnOnce(&W, &mut Store<State>) -> wasmtime::Result<Returned<T>>,
    ) -> Result<T, Cause> {
        let mine = mine % self.places.len();
        let (before, after) = self.places.split_at(mine);
        let mut in_turn = after.iter().chain(before);
        // A poisoned place means that a thread panicked in a call: its instance may be anything, and it is left alone.
        match in_turn.find_map(|place| place.0.try_lock().ok()) {
            Some(mut held) => self.call_on(&mut held, call),
            None => {
                let mut held = Held::default();
                let result = self.call_on(&mut held, call);
                self.places[mine].wait().usage.add(&held.usage);
                result
            }
        }
    }

    fn call_on<T>(
        &self,
        held: &mut Held<W>,
        call: impl FnOnce(&W, &mut Store<State>) -> wasmtime::Result<Returned<T>>,
    ) -> Result<T, Cause> {
        let started = Instant::now();
        let instance = match &mut held.instance {
            Some(instance) => instance,
            none => none.insert(self.instantiate()?),
        };
        let store = &mut instance.store;
        let result = store::refill(store, &self.limits).and_then(|()| call(&instance.world, store));
        held.usage.count(store, started, result.is_ok().then_some(self.limits.fuel));
        match result {
            Ok(returned) => returned,
            Err(error) => {
                let logged = store.data_mut().last_error.take();
                held.instance = None;
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

impl<W> Place<W> {
    /// Its own, when whoever calls there is done. What was counted before a panic holds.
    fn wait(&self) -> MutexGuard<'_, Held<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W> Default for Held<W> {
    fn default() -> Self {
        Self { instance: None, usage: Usage::default() }
    }
}

impl Usage {
    /// Counts a call that began with `tank` fuel, or one that trapped.
    fn count(&mut self, store: &Store<State>, started: Instant, tank: Option<u64>) {
        let fuel = tank.map_or(0, |tank| tank.saturating_sub(store.get_fuel().unwrap_or(tank)));
        self.add(&Self {
            calls: 1,
            traps: u64::from(tank.is_none()),
            fuel,
            most_fuel: fuel,
            nanoseconds: u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX),
            peak_memory: store.data().memory as u64,
        });
    }

    fn add(&mut self, more: &Self) {
        self.calls += more.calls;
        self.traps += more.traps;
        self.fuel = self.fuel.saturating_add(more.fuel);
        self.most_fuel = self.most_fuel.max(more.most_fuel);
        self.nanoseconds = self.nanoseconds.saturating_add(more.nanoseconds);
        self.peak_memory = self.peak_memory.max(more.peak_memory);
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
