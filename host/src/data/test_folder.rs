//! A folder for one unit test, removed when it ends.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// The folder.
pub(crate) struct TestFolder(PathBuf);

impl TestFolder {
    /// A new, empty one.
    pub fn new() -> std::io::Result<Self> {
        let name = format!("udasa-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it, and gives its path.
    pub fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<PathBuf> {
        let path = self.0.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, bytes)?;
        Ok(path)
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        // Best effort: a leftover in the temporary folder fails no test.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
