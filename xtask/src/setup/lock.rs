//! One set-up at a time fills a cache; two clones of the repository may share it.

use super::{disk, say};
use anyhow::{Context, Result};
use std::fs::{File, TryLockError};
use std::path::Path;

/// Waits for the lock; it is released when the file is dropped, or with the process.
pub fn hold(cache: &Path) -> Result<File> {
    let path = cache.join("lock");
    let file = File::create(&path).map_err(|error| disk::cannot_write(&path, &error))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => say("another set-up is filling the cache; waiting for it"),
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("locking {}", path.display()));
        }
    }
    file.lock().with_context(|| format!("locking {}", path.display()))?;
    Ok(file)
}
