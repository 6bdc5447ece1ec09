//! SHA-256 of input files and folders, remembered by size and time of change so that a second run of a large model starts at once.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::folder::write_atomic;
use crate::data::hex;

/// Digests of files, by absolute path.
#[derive(Debug, Default)]
pub struct Digests {
    known: BTreeMap<PathBuf, Known>,
    changed: bool,
    asked: BTreeMap<PathBuf, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Known {
    bytes: u64,
    changed_ns: u128,
    sha256: String,
}

const FILE: &str = "digests.json";

impl Digests {
    /// The digests an earlier run left in the folder. Only a cache: where it cannot be read, it is made anew.
    pub fn read(run: &Path) -> Self {
        let known = std::fs::read(run.join(FILE))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self { known, ..Self::default() }
    }

    /// Leaves them there for the next run.
    pub fn write(&self, run: &Path) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(&self.known).context("writing digests")?;
        write_atomic(&run.join(FILE), &text)
    }

    /// Hex digest of a file's bytes, or of a folder's files with their names.
    pub fn of(&mut self, path: &Path) -> Result<String> {
        let found = metadata(path)?;
        let digest = if found.is_dir() { self.folder(path)? } else { self.file(path, &found)? };
        self.asked.insert(path.to_owned(), digest.clone());
        Ok(digest)
    }

    /// Every path asked for so far, with its digest.
    pub fn asked(&self) -> &BTreeMap<PathBuf, String> {
        &self.asked
    }

    fn folder(&mut self, path: &Path) -> Result<String> {
        let mut all = Sha256::new();
        for file in files(path)? {
            let digest = self.file(&file, &metadata(&file)?)?;
            let name = file.strip_prefix(path).unwrap_or(&file);
            all.update(name.to_string_lossy().as_bytes());
            all.update([0]);
            all.update(digest);
        }
        Ok(hex(&all.finalize()))
    }

    fn file(&mut self, path: &Path, found: &Metadata) -> Result<String> {
        let changed = found.modified().ok();
        let changed_ns = changed.and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_nanos());
        if let Some(known) = self.known.get(path)
            && known.bytes == found.len()
            && known.changed_ns == changed_ns
        {
            return Ok(known.sha256.clone());
        }
        let reading = || format!("reading {}", path.display());
        let mut file = File::open(path).with_context(reading)?;
        let mut sha = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match std::io::Read::read(&mut file, &mut buffer).with_context(reading)? {
                0 => break,
                n => sha.update(&buffer[..n]),
            }
        }
        let known = Known { bytes: found.len(), changed_ns, sha256: hex(&sha.finalize()) };
        let sha256 = known.sha256.clone();
        self.known.insert(path.to_owned(), known);
        self.changed = true;
        Ok(sha256)
    }
}

fn metadata(path: &Path) -> Result<Metadata> {
    std::fs::metadata(path).with_context(|| format!("reading {}", path.display()))
}

/// Every file below a folder, sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let reading = || format!("reading {}", folder.display());
        for entry in std::fs::read_dir(&folder).with_context(reading)? {
            let path = entry.with_context(reading)?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                out.push(path);
            }
        }
    }
    out.sort();
    Ok(out)
}
