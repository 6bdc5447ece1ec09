//! The account of what plugins used, kept over processes: `score-usage.json`, `stage-usage.json`, `train-usage.json`.
//!
//! In: entries that count from the start of this process. Out: the file, in which each is added to what earlier processes
//! left under the same name and key. A room that is kept does not touch its file; a room that goes on adds to it; under
//! another key an entry begins anew. Measured, not derived: no key and no other record depends on it, and a killed process
//! may leave the last few calls uncounted.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::data::jsonl;
use crate::records::{PluginUsage, Used};

/// The three files, by room.
pub const FILES: [(&str, &str); 3] =
    [("score", "score-usage.json"), ("stage", "stage-usage.json"), ("train", "train-usage.json")];

/// One room's account.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    /// Names in the order in which they are written.
    order: Vec<String>,
    earlier: Vec<PluginUsage>,
    entries: Vec<PluginUsage>,
}

impl Ledger {
    /// Goes on with the entries of the file whose name and key are in `goes_on`. A file that cannot be read counts for
    /// nothing.
    pub fn open(path: &Path, goes_on: &[(&str, &str)], order: &[&str]) -> Self {
        let is_wanted = |entry: &PluginUsage| goes_on.contains(&(&entry.name, &entry.key));
        let earlier: Vec<PluginUsage> = read(path).into_iter().filter(is_wanted).collect();
        let order = order.iter().map(|name| (*name).to_owned()).collect();
        Self { path: path.to_owned(), order, entries: earlier.clone(), earlier }
    }

    /// Sets what a plugin has used since this process began, and writes the file.
    pub fn record(&mut self, mut entry: PluginUsage) -> Result<()> {
        let same = |other: &&PluginUsage| other.name == entry.name && other.key == entry.key;
        let earlier = self.earlier.iter().find(same).map_or(Used::default(), |earlier| earlier.used);
        entry.used = earlier.and(entry.used);
        self.entries.retain(|other| other.name != entry.name);
        self.entries.push(entry);
        self.entries.sort_by_key(|entry| self.order.iter().position(|name| *name == entry.name));
        jsonl::write_json(&self.path, &self.entries)
    }

    /// Leaves nothing in the file but the entries that still count.
    pub fn close(self) -> Result<()> {
        if self.entries == read(&self.path) {
            return Ok(());
        }
        jsonl::write_json(&self.path, &self.entries)
    }
}

/// A file's entries; none where it is not there or cannot be read.
pub fn read(path: &Path) -> Vec<PluginUsage> {
    std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::test_folder::TestFolder;

    fn used(name: &str, key: &str, calls: u64, most_fuel: u64) -> PluginUsage {
        PluginUsage {
            name: name.into(),
            key: key.into(),
            used: Used { calls, most_fuel, ..Used::default() },
            ..PluginUsage::default()
        }
    }

    fn calls(path: &Path) -> Vec<(String, u64, u64)> {
        read(path).into_iter().map(|entry| (entry.name, entry.used.calls, entry.used.most_fuel)).collect()
    }

    #[test]
    fn a_process_that_goes_on_adds_to_the_earlier_one_once_however_often_it_writes() -> Result<()> {
        let folder = TestFolder::new()?;
        let path = folder.path().join("usage.json");
        Ledger::open(&path, &[("a", "k")], &["a"]).record(used("a", "k", 3, 90))?;
        let mut second = Ledger::open(&path, &[("a", "k")], &["a"]);
        second.record(used("a", "k", 1, 10))?;
        second.record(used("a", "k", 2, 20))?;
        assert_eq!(calls(&path), [("a".to_owned(), 5, 90)]);
        Ok(())
    }

    #[test]
    fn another_key_begins_anew_and_the_order_is_the_configs() -> Result<()> {
        let folder = TestFolder::new()?;
        let path = folder.path().join("usage.json");
        let mut first = Ledger::open(&path, &[], &["a", "b", "c"]);
        for name in ["a", "b", "c"] {
            first.record(used(name, "k", 3, 90))?;
        }
        let mut second = Ledger::open(&path, &[("b", "k"), ("a", "other")], &["b", "a"]);
        second.record(used("a", "other", 1, 10))?;
        assert_eq!(calls(&path), [("b".to_owned(), 3, 90), ("a".to_owned(), 1, 10)]);
        Ok(())
    }

    #[test]
    fn a_file_that_cannot_be_read_counts_for_nothing() -> Result<()> {
        let folder = TestFolder::new()?;
        let path = folder.write("usage.json", b"{")?;
        Ledger::open(&path, &[("a", "k")], &["a"]).record(used("a", "k", 1, 1))?;
        assert_eq!(calls(&path), [("a".to_owned(), 1, 1)]);
        Ok(())
    }
}
