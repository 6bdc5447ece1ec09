//! The engines, one per stack size, and the clock that stops a call that runs too long.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use wasmtime::{Config, Engine};

/// Between two ticks of the epoch clock: the grain of `limits.seconds`.
const TICK: Duration = Duration::from_millis(50);

/// Up to this much wasm stack a call runs on its caller's thread: half of what Rust gives a thread, so that the host's own
/// frames fit beside it. Where a config allows more, calls run on a thread with a stack of their own.
pub(super) const INLINE_STACK_KIB: u64 = 1024;

static ENGINES: Mutex<BTreeMap<u64, Engine>> = Mutex::new(BTreeMap::new());

/// The engine for a stack size: made once, shared by all plugins.
pub(super) fn engine(stack_kib: u64) -> anyhow::Result<Engine> {
    let mut engines =
        ENGINES.lock().map_err(|_| anyhow::anyhow!("a thread failed while it made a WebAssembly engine"))?;
    if let Some(engine) = engines.get(&stack_kib) {
        return Ok(engine.clone());
    }
    let engine =
        Engine::new(&config(stack_kib)).map_err(|e| anyhow::anyhow!("cannot make a WebAssembly engine: {e:#}"))?;
    start_clock(&engine)?;
    engines.insert(stack_kib, engine.clone());
    Ok(engine)
}

/// Instances are allocated on demand, not from a pool: they are reused call after call, so that there are only as many as
/// threads times plugins, and a pool would reserve its whole address space on every machine.
fn config(stack_kib: u64) -> Config {
    let stack = usize::try_from(stack_kib * 1024).unwrap_or(usize::MAX / 2);
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(stack)
        // Never used, but wasmtime wants it to be the larger one.
        .async_stack_size(stack.saturating_mul(2))
        // Same input, same output on every machine. NaN payloads are the one thing left open; no output may hold a NaN.
        .relaxed_simd_deterministic(true)
        .concurrency_support(false)
        // Nobody looks at a plugin's native stack: a trap's kind says what happened, the plugin's log says where. Code that can
        // tell neither is smaller by an eighth, and loading it registers nothing with the system's unwinder.
        .native_unwind_info(false)
        .generate_address_map(false)
        .wasm_backtrace_max_frames(None);
    config
}

fn start_clock(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new().name("plugin clock".to_owned()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    })?;
    Ok(())
}

/// `seconds` in ticks, rounded up, and one more because the current tick has begun.
pub(super) fn ticks(seconds: u64) -> u64 {
    let per_second = 1000 / TICK.as_millis() as u64;
    seconds.saturating_mul(per_second).saturating_add(1)
}

/// Runs `call` where `stack_kib` of wasm stack fit.
pub(super) fn with_stack<T: Send>(stack_kib: u64, call: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    if stack_kib <= INLINE_STACK_KIB {
        return Ok(call());
    }
    let size = usize::try_from((stack_kib + INLINE_STACK_KIB) * 1024).unwrap_or(usize::MAX);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(size).spawn_scoped(scope, call)?;
        match thread.join() {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
