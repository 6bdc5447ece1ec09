//! Which files are watched, and whether they changed: modification times and sizes, looked at again and again.
//!
//! Polled, because that works on every file system, shared folders of containers and machines too, and costs nothing for a
//! few dozen files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// When a file changed last, and its size; none where it is not there.
pub type Stamp = Option<(SystemTime, u64)>;

/// Files with their stamps.
pub type Stamps = BTreeMap<PathBuf, Stamp>;

/// Looks at one file.
pub fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// Looks at these files.
pub fn stamps<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Stamps {
    paths.into_iter().map(|path| (path.clone(), stamp(path))).collect()
}

/// The plugins of a directory.
pub fn plugins(directory: &Path) -> Stamps {
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    stamps(&entries.filter(|path| is(path, "wasm")).collect::<Vec<_>>())
}

/// The files of a crate. What is made there is not watched: hidden folders, build folders, plugins and run folders.
pub fn of_crate(folder: &Path, made: &[&Path]) -> Stamps {
    let made: Vec<PathBuf> = made.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let mut found = Stamps::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let hidden = name.as_encoded_bytes().first() == Some(&b'.');
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if hidden || name.as_encoded_bytes().last() == Some(&b'~') {
                continue;
            }
            if !is_folder {
                if !is(&path, "wasm") {
                    found.insert(path.clone(), stamp(&path));
                }
                continue;
            }
            let not_ours = path.join("rooms.json").exists() || path.join("CACHEDIR.TAG").exists();
            if name != "target" && name != "runs" && !not_ours && path.canonicalize().is_ok_and(|p| !made.contains(&p))
            {
                open.push(path);
            }
        }
    }
    found
}

/// What is new, other or gone, in the order of paths.
pub fn changed<'a>(before: &'a Stamps, now: &'a Stamps) -> Vec<&'a Path> {
    let other = now.iter().filter(|(path, stamp)| before.get(*path) != Some(stamp));
    let gone = before.iter().filter(|(path, _)| !now.contains_key(*path));
    let mut paths: Vec<&Path> = other.chain(gone).map(|(path, _)| path.as_path()).collect();
    paths.sort();
    paths
}

fn is(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|e| e == ending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::test_folder::TestFolder;

    #[test]
    fn a_crates_sources_are_watched_and_what_is_made_there_is_not() -> anyhow::Result<()> {
        let folder = TestFolder::new()?;
        for file in [
            "Cargo.toml",
            "src/lib.rs",
            "src/deep/words.txt",
            "src/lib.rs~",
            ".git/index",
            "target/debug/x",
            "plugins/a.wasm",
            "plugins/note.txt",
            "runs/try/scores.jsonl",
            "other-run/rooms.json",
            "a.wasm",
        ] {
            std::fs::create_dir_all(folder.path().join(file).parent().expect("it has one"))?;
            folder.write(file, b"")?;
        }
        let found = of_crate(folder.path(), &[&folder.path().join("plugins")]);
        let names: Vec<_> = found.keys().filter_map(|path| path.strip_prefix(folder.path()).ok()).collect();
        let wanted = ["Cargo.toml", "src/deep/words.txt", "src/lib.rs"].map(Path::new);
        assert_eq!(names, wanted);
        Ok(())
    }

    #[test]
    fn a_file_that_is_new_other_or_gone_has_changed() {
        let at = |size| Some((SystemTime::UNIX_EPOCH, size));
        let [a, b, c, d] = ["a", "b", "c", "d"].map(PathBuf::from);
        let before = Stamps::from([(a.clone(), at(1)), (b.clone(), at(1)), (c.clone(), at(1))]);
        let now = Stamps::from([(a, at(1)), (b.clone(), at(2)), (d.clone(), at(1))]);
        assert_eq!(changed(&before, &now), [&b, &c, &d]);
        assert!(changed(&now, &now).is_empty());
    }
}
