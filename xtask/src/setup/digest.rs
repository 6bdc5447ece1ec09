//! A digest that tells whether a step's inputs have changed. It guards against nothing but forgetting.

use anyhow::{Context, Result};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

#[derive(Default)]
pub struct Digest(DefaultHasher);

impl Digest {
    pub fn add(&mut self, value: impl Hash) {
        value.hash(&mut self.0);
    }

    /// The names and contents of a file, or of all files below a folder, in a fixed order.
    pub fn add_files(&mut self, path: &Path) -> Result<()> {
        if path.is_dir() {
            let mut entries = fs::read_dir(path)
                .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
                .with_context(|| format!("listing {}", path.display()))?;
            entries.sort();
            for entry in entries.iter().filter(|entry| !entry.ends_with("target")) {
                self.add_files(entry)?;
            }
        } else {
            let content = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            self.add((path, content));
        }
        Ok(())
    }

    pub fn text(&self) -> String {
        format!("{:016x}", self.0.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dir: &Path) -> String {
        let mut digest = Digest::default();
        digest.add_files(dir).expect("readable");
        digest.text()
    }

    #[test]
    fn a_changed_or_renamed_file_changes_it_and_a_touched_one_does_not() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("a");
        fs::write(&file, "one").expect("written");
        let before = of(dir.path());
        fs::write(&file, "one").expect("written");
        assert_eq!(of(dir.path()), before);
        fs::write(&file, "two").expect("written");
        assert_ne!(of(dir.path()), before);
        fs::write(&file, "one").expect("written");
        fs::rename(&file, dir.path().join("b")).expect("renamed");
        assert_ne!(of(dir.path()), before);
    }

    #[test]
    fn build_folders_do_not_count() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let before = of(dir.path());
        fs::create_dir(dir.path().join("target")).expect("created");
        fs::write(dir.path().join("target/a"), "x").expect("written");
        assert_eq!(of(dir.path()), before);
    }
}
