//! Files and directories that are not what they should be.

use std::path::{Path, PathBuf};

use crate::config::StageSection;
use crate::sandbox::{PluginDirectory, PluginKind, inspect};

use super::{bad_plugins, config, directory, limits, refusal};

/// A folder of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("udasa-sandbox-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("a file for the test");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn good_bytes() -> Vec<u8> {
    std::fs::read(bad_plugins().join("bad.wasm")).expect("was built")
}

#[test]
fn the_fixture_describes_itself() {
    let file = &directory().list()[0];
    assert_eq!(file.kind, PluginKind::Scorer);
    assert_eq!(file.description.name, "bad");
    assert_eq!(file.contract_version, "0.1.0");
    for import in &file.imports {
        assert!(import.starts_with("udasa:plugin/"), "{import}");
    }
}

#[test]
fn a_missing_directory_and_one_without_plugins_are_told_apart() {
    let missing = refusal(PluginDirectory::open(Path::new("/nowhere/plugins")));
    assert_eq!(missing.message, "the plugin directory /nowhere/plugins does not exist");
    let empty = Folder::new("empty");
    empty.write("README.md", b"no plugin");
    let error = refusal(PluginDirectory::open(&empty.0));
    assert!(error.message.ends_with("holds no plugins (*.wasm)"));
    assert!(error.hint.is_some_and(|hint| hint.contains("udasa plugin build")));
    let file = empty.write("file.wasm", b"x");
    let error = refusal(PluginDirectory::open(&file));
    assert!(error.message.ends_with("is not a directory"));
}

#[test]
fn two_plugins_of_one_name_are_refused_with_both_files() {
    let folder = Folder::new("twice");
    folder.write("a.wasm", &good_bytes());
    folder.write("b.wasm", &good_bytes());
    let error = refusal(PluginDirectory::open(&folder.0));
    assert!(error.message.starts_with("two plugins are named `bad`: "));
    assert!(error.message.contains("a.wasm and ") && error.message.ends_with("b.wasm"));
}

#[test]
fn every_file_that_is_no_plugin_is_reported_at_once() {
    let folder = Folder::new("foreign");
    let good = good_bytes();
    folder.write("cut.wasm", &good[..good.len() / 2]);
    folder.write("module.wasm", b"\0asm\x01\0\0\0");
    folder.write("text.wasm", b"not a plugin");
    let error = refusal(PluginDirectory::open(&folder.0));
    let lines: Vec<&str> = error.message.lines().collect();
    assert_eq!(lines[0], "3 plugin files cannot be used");
    assert!(lines[1].contains("cut.wasm is damaged or cut off: "), "{}", lines[1]);
    assert!(lines[2].contains("module.wasm is a core WebAssembly module"), "{}", lines[2]);
    assert!(lines[3].contains("text.wasm is not WebAssembly"), "{}", lines[3]);
    assert!(error.hint.is_some_and(|hint| hint.contains("udasa plugin build")));
}

#[test]
fn no_flipped_bit_brings_the_host_down() {
    let folder = Folder::new("flipped");
    let good = good_bytes();
    let step = good.len() / 31;
    for (i, at) in (0..good.len()).step_by(step).enumerate() {
        let mut flipped = good.clone();
        flipped[at] ^= 1 << (i % 8);
        let path = folder.write("flipped.wasm", &flipped);
        // Most are refused; some only change a text or a number and still are plugins.
        if let Err(error) = inspect(&path) {
            assert!(error.is::<crate::error::UserError>(), "at {at}: {error:#}");
        }
    }
}

#[test]
fn the_pinned_digest_must_be_the_files() {
    let mut pinned = config("");
    pinned.sha256 = Some(directory().list()[0].sha256.to_uppercase());
    assert!(directory().scorer(&pinned, &limits()).is_ok());
    pinned.sha256 = Some("00".repeat(32));
    let error = refusal(directory().scorer(&pinned, &limits()));
    assert!(error.message.contains(&"00".repeat(32)));
    assert!(error.message.contains(&directory().list()[0].sha256));
    let line = format!("sha256 = \"{}\"", directory().list()[0].sha256);
    assert!(error.hint.is_some_and(|hint| hint.ends_with(&line)));
}

#[test]
fn a_name_that_is_not_there_brings_the_nearest_one() {
    let mut near = config("");
    near.plugin = "bda".to_owned();
    let error = refusal(directory().scorer(&near, &limits()));
    assert!(error.message.starts_with("no scorer named `bda` in the plugin directory"));
    assert!(error.hint.is_some_and(|hint| hint.starts_with("did you mean `bad`?")));
}

#[test]
fn a_scorer_is_no_staging_policy() {
    let stage = StageSection { policy: "bad".to_owned(), settings: Default::default(), sha256: None, native: false };
    let error = refusal(directory().policy(&stage, &limits()));
    assert!(error.message.ends_with("is a scorer, not a staging policy"));
}
