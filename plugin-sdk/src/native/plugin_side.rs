//! The functions behind a [`Table`]: bytes in, bytes out, panics caught.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::message::{Description, Failure, LogLine, Reply, ScoreCall, StageCall};
use super::{ABI, Bytes, Table, contract};
use crate::log::Level;
use crate::{Scorer, StagingPolicy, adapter, panic, settings};

impl Table {
    /// The table of a scorer.
    pub const fn of_scorer<S: Scorer>() -> Self {
        Self {
            abi: ABI,
            kind: 0,
            contract: contract(),
            describe: describe_scorer::<S>,
            check_settings: check_scorer::<S>,
            call: score::<S>,
            free,
        }
    }

    /// The table of a staging policy.
    pub const fn of_policy<P: StagingPolicy>() -> Self {
        Self {
            abi: ABI,
            kind: 1,
            contract: contract(),
            describe: describe_policy::<P>,
            check_settings: check_policy::<P>,
            call: next_stage::<P>,
            free,
        }
    }
}

unsafe extern "C" fn describe_scorer<S: Scorer>() -> Bytes {
    reply(|| {
        Ok(Description {
            name: S::NAME.to_owned(),
            version: S::VERSION.to_owned(),
            summary: S::SUMMARY.to_owned(),
            dimension: Some(S::DIMENSION),
            asks: S::ASKS.to_vec(),
            settings_schema: settings::schema::<S::Settings>().to_string(),
        })
    })
}

unsafe extern "C" fn describe_policy<P: StagingPolicy>() -> Bytes {
    reply(|| {
        Ok(Description {
            name: P::NAME.to_owned(),
            version: P::VERSION.to_owned(),
            summary: P::SUMMARY.to_owned(),
            dimension: None,
            asks: Vec::new(),
            settings_schema: settings::schema::<P::Settings>().to_string(),
        })
    })
}

unsafe extern "C" fn check_scorer<S: Scorer>(data: *const u8, len: usize) -> Bytes {
    // SAFETY: the caller lends `len` readable bytes at `data` until this function returns.
    let input = unsafe { lent(data, len) };
    reply(|| Ok(adapter::check_scorer::<S>(text(input)?)))
}

unsafe extern "C" fn check_policy<P: StagingPolicy>(data: *const u8, len: usize) -> Bytes {
    // SAFETY: the caller lends `len` readable bytes at `data` until this function returns.
    let input = unsafe { lent(data, len) };
    reply(|| Ok(adapter::check_policy::<P>(text(input)?)))
}

unsafe extern "C" fn score<S: Scorer>(data: *const u8, len: usize) -> Bytes {
    // SAFETY: the caller lends `len` readable bytes at `data` until this function returns.
    let input = unsafe { lent(data, len) };
    reply(|| {
        let call: ScoreCall = read(input)?;
        Ok(adapter::score::<S>(&call.settings, &call.sample, &call.rounds))
    })
}

unsafe extern "C" fn next_stage<P: StagingPolicy>(data: *const u8, len: usize) -> Bytes {
    // SAFETY: the caller lends `len` readable bytes at `data` until this function returns.
    let input = unsafe { lent(data, len) };
    reply(|| {
        let call: StageCall = read(input)?;
        Ok(adapter::next_stage::<P>(&call.settings, call.seed, &call.pairs, &call.history))
    })
}

unsafe extern "C" fn free(bytes: Bytes) {
    if !bytes.data.is_null() {
        let slice = std::ptr::slice_from_raw_parts_mut(bytes.data, bytes.len);
        // SAFETY: `given` made these two words of a boxed slice of this library's allocator, and the caller gives each
        // back once.
        drop(unsafe { Box::from_raw(slice) });
    }
}

/// # Safety
/// `data` must point to `len` bytes that stay readable and unchanged for `'a`; it may be anything if `len` is 0.
unsafe fn lent<'a>(data: *const u8, len: usize) -> &'a [u8] {
    if len == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(data, len) }
}

fn given(bytes: Vec<u8>) -> Bytes {
    let len = bytes.len();
    Bytes { data: Box::into_raw(bytes.into_boxed_slice()).cast(), len }
}

fn text(bytes: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(bytes).map_err(|error| Failure::Unreadable(format!("the settings are not UTF-8: {error}")))
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    postcard::from_bytes(bytes).map_err(|error| Failure::Unreadable(format!("the arguments: {error}")))
}

/// What this thread's call has said so far; `None` outside of a call.
#[derive(Default)]
struct Said {
    log: Vec<LogLine>,
    panic: Option<String>,
}

thread_local! {
    static SAID: RefCell<Option<Said>> = const { RefCell::new(None) };
}

/// Keeps a line for the reply. False outside of a call.
pub(crate) fn log(level: Level, text: &str) -> bool {
    SAID.with_borrow_mut(|said| {
        let line = || LogLine { level, text: text.to_owned() };
        said.as_mut().map(|said| said.log.push(line())).is_some()
    })
}

/// Runs a function of the plugin, and packs what it returned or how it panicked.
fn reply<T: Serialize>(work: impl FnOnce() -> Result<T, Failure>) -> Bytes {
    hook_panics();
    SAID.set(Some(Said::default()));
    let result = catch_unwind(AssertUnwindSafe(work));
    let said = SAID.take().unwrap_or_default();
    let result = result.unwrap_or_else(|payload| {
        // Whatever was thrown could panic once more when it is dropped.
        std::mem::forget(payload);
        Err(Failure::Panic(said.panic.unwrap_or_else(|| "no message".to_owned())))
    });
    // No type of ours fails to serialise; no bytes at all are unreadable, which is then true.
    given(postcard::to_allocvec(&Reply { log: said.log, result }).unwrap_or_default())
}

/// In a call, a panic's words are kept for the reply instead of being printed.
fn hook_panics() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let kept = SAID.try_with(|said| {
                let Ok(mut said) = said.try_borrow_mut() else { return false };
                let said = said.as_mut().map(|said| said.panic = Some(panic::words(info)));
                said.is_some()
            });
            if !kept.unwrap_or(false) {
                before(info);
            }
        }));
    });
}
