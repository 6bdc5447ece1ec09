//! A plugin as a shared library: the border between a host and a plugin of the same machine, both sides of it.
//!
//! Every build but one for wasm32 exports one symbol, a [`Table`] of four functions with the number of this border and
//! the version of the contract in front, so that a host reads what it may call before it calls anything. Arguments and
//! results cross as bytes ([postcard](https://postcard.jamesmunns.com): floats by their bits, NaN included) and are freed
//! by the side that made them. A panic is caught, and comes back as an error with its words; nothing unwinds across.
//!
//! Native code is not sandboxed: nothing limits its time, memory or files. The host loads one only where a config asks
//! for it and pins its digest.
//!
//! The symbol's name ends in the crate's name and the line of the export macro, so that several plugins can be linked
//! into one program (a benchmark, say). All `unsafe` of a native build of this crate is in this module.

#![allow(unsafe_code)]

mod call;
mod message;
mod plugin_side;

#[cfg(test)]
mod tests;

pub use call::{Plugin, Refusal, Returned};
pub use message::{Description, Failure, LogLine};
pub(crate) use plugin_side::log;

/// The number of this border. It changes with the layout of [`Table`] and with the shape of any message.
pub const ABI: u32 = 1;

/// The version of the contract that this crate is written for: `wit/v0.1/`.
pub const CONTRACT: &str = "0.1.0";

/// How the name of the exported symbol begins.
pub const SYMBOL: &str = "udasa_native_plugin_";

/// What a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It implements [`Scorer`](crate::Scorer).
    Scorer,
    /// It implements [`StagingPolicy`](crate::StagingPolicy).
    StagingPolicy,
}

/// What a shared library exports. `abi` comes first in every version of the border.
#[repr(C)]
pub struct Table {
    abi: u32,
    /// 0: a scorer, 1: a staging policy.
    kind: u32,
    /// The version of the contract, filled up with zeros.
    contract: [u8; 16],
    describe: unsafe extern "C" fn() -> Bytes,
    /// Takes the settings as UTF-8.
    check_settings: unsafe extern "C" fn(*const u8, usize) -> Bytes,
    /// `score` or `next-stage`: takes its arguments as one message.
    call: unsafe extern "C" fn(*const u8, usize) -> Bytes,
    /// Takes back what one of the others returned.
    free: unsafe extern "C" fn(Bytes),
}

/// Bytes that one side made and the other reads; a boxed slice in two words.
#[repr(C)]
pub struct Bytes {
    data: *mut u8,
    len: usize,
}

const fn contract() -> [u8; 16] {
    let mut padded = [0; 16];
    let bytes = CONTRACT.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        padded[i] = bytes[i];
        i += 1;
    }
    padded
}
