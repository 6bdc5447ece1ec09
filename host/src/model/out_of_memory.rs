//! Work that may run out of memory, and go on from it.
//!
//! libtorch says so in the text of an error and in no other way, and tch's plain operations turn that error into a panic: this is the one
//! place that reads such a text, and the one that catches such a panic. Nothing of the work may be used afterwards but what it owned.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use anyhow::Result;

thread_local! {
    static TRYING: Cell<bool> = const { Cell::new(false) };
}

/// Does the work; none where the memory did not suffice.
pub fn attempt<T>(work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    TRYING.set(true);
    // Tensors are safe to drop at any time; the caller starts afresh.
    let result = catch_unwind(AssertUnwindSafe(work));
    TRYING.set(false);
    match result {
        Ok(Ok(value)) => Ok(Some(value)),
        Ok(Err(error)) if says_so(&format!("{error:#}")) => Ok(None),
        Ok(Err(error)) => Err(error),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            if text.is_some_and(says_so) { Ok(None) } else { resume_unwind(panic) }
        }
    }
}

/// Whether a panic with this message on this thread will be caught: it is no defect.
pub fn will_be_caught(message: &str) -> bool {
    TRYING.get() && says_so(message)
}

/// CUDA's and the CPU allocator's words.
fn says_so(text: &str) -> bool {
    ["out of memory", "can't allocate memory", "not enough memory"].iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_told_from_every_other_failure() {
        assert_eq!(attempt(|| Ok(1)).ok(), Some(Some(1)));
        assert_eq!(attempt::<()>(|| anyhow::bail!("CUDA out of memory. Tried to allocate")).ok(), Some(None));
        assert!(attempt::<()>(|| anyhow::bail!("shapes differ")).is_err());
        // What tch's plain operations do where the fallible ones return an error: 2⁶² bytes cannot be had.
        let far_too_much = || tch::Tensor::zeros([1 << 60], (tch::Kind::Float, tch::Device::Cpu));
        assert!(matches!(attempt(|| Ok(far_too_much())), Ok(None)));
        assert!(!will_be_caught("out of memory"), "only while it is tried");
    }
}
