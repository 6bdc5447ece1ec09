//! What tch does not reach: C++ of ours, compiled by `build.rs` against libtorch's headers, and the MKL in libtorch.
//!
//! `unsafe` here: calling it. Functions of ours return 0, or 1 with a message.

mod attend;
mod fused;
mod graph;
mod prepacked;

use std::ffi::{CStr, c_char, c_int};

use anyhow::{Result, anyhow};

pub use attend::{Growth, Scores, attend_growing};
pub use fused::{Step, adamw, fits, lookup, product, rms_norm, set_gradient, swiglu, token_logprobs, turn};
pub use graph::Graph;
pub use prepacked::Prepacked;

/// Calls one of the functions, with room for its message.
fn told(call: impl FnOnce(*mut c_char, usize) -> c_int) -> Result<()> {
    let mut message = [0 as c_char; 1024];
    if call(message.as_mut_ptr(), message.len()) == 0 {
        return Ok(());
    }
    // SAFETY: the functions write no more than they are told there is room for, a zero at the end included, and all was zero before.
    let message = unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy();
    Err(anyhow!("{}", message.lines().next().unwrap_or_default()))
}
