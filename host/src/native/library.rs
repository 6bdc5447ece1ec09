//! A shared library whose bytes are known, opened and called.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use udasa_plugin_sdk::native::{Description, Kind, Plugin, Returned, SYMBOL, Table};
use udasa_plugin_sdk::{Fault, Step};

use super::convert;
use crate::data::sha256_hex;
use crate::error::UserError;
use crate::records::{Answer, Pair, PastStage, Sample, Stage};

/// An opened native plugin.
pub struct Library {
    plugin: Plugin,
    /// Hex SHA-256 of its file.
    pub sha256: String,
    // What was opened; removed with the library, which is never closed: a thread of the plugin's may still be at work.
    _copy: tempfile::TempDir,
}

/// Opens the library at `path`, if its digest is the pinned one.
pub fn open(path: &Path, pin: Option<&str>) -> anyhow::Result<Library> {
    let (shown, bytes) = (path.display(), content(path)?);
    let sha256 = sha256_hex(&bytes);
    let to_paste = format!("sha256 = \"{sha256}\"");
    match pin {
        Some(pin) if pin.eq_ignore_ascii_case(&sha256) => open_bytes(path, &bytes, sha256),
        Some(pin) => Err(UserError::new(format!(
            "the native plugin {shown} is not the one that the config pins\n  pinned: {pin}\n  found:  {sha256}"
        ))
        .hint(format!("if this is the plugin you want, write: {to_paste}"))
        .into()),
        None => Err(UserError::new(format!(
            "the native plugin {shown} is not pinned: native code runs without a sandbox, so its digest must be in the config"
        ))
        .hint(format!("if you trust it with your files and your machine, write: {to_paste}"))
        .into()),
    }
}

/// Opens what was just built here: whoever runs a crate's build has trusted it already.
pub fn open_built(path: &Path) -> anyhow::Result<Library> {
    let bytes = content(path)?;
    let sha256 = sha256_hex(&bytes);
    open_bytes(path, &bytes, sha256)
}

fn content(path: &Path) -> Result<Vec<u8>, UserError> {
    std::fs::read(path).map_err(|e| {
        UserError::new(format!("cannot read the native plugin {}: {e}", path.display()))
            .hint("build it into the plugin directory: udasa plugin build --native CRATE --out DIR")
    })
}

fn open_bytes(path: &Path, bytes: &[u8], sha256: String) -> anyhow::Result<Library> {
    let shown = path.display();
    let symbols = symbols(bytes);
    if symbols.is_empty() {
        return Err(not_a_plugin(path, "exports no plugin").into());
    }
    // A folder that only we may enter, so that what is opened is what was read.
    let folder = tempfile::Builder::new().prefix("udasa-native-").tempdir().context("making a private folder")?;
    let copy = folder.path().join(path.file_name().unwrap_or(path.as_os_str()));
    let written = std::fs::File::create_new(&copy).and_then(|mut file| file.write_all(bytes));
    written.with_context(|| format!("writing {}", copy.display()))?;
    // SAFETY: the library's constructors run. The config, or whoever built it, vouches for exactly these bytes.
    let library = unsafe { libloading::Library::new(&copy) }.map_err(|e| {
        UserError::new(format!("the native plugin {shown} cannot be opened: {e}"))
            .hint("build it on this machine; if the temporary folder may not hold programs, set TMPDIR to one that may")
    })?;
    // Never closed, so that the tables in it are good for the rest of the process.
    let library: &'static libloading::Library = Box::leak(Box::new(library));
    let tables: Vec<*const Table> = symbols
        .iter()
        // SAFETY: under a name with this beginning the SDK exports a `Table`; only its address is taken here.
        .filter_map(|symbol| unsafe { library.get::<*const Table>(symbol.as_bytes()) }.ok())
        .map(|table| *table)
        .collect();
    let [table] = tables.as_slice() else {
        return Err(not_a_plugin(path, &format!("exports {} plugins", tables.len())).into());
    };
    // SAFETY: the address of an exported table, in a library that is never closed.
    let plugin = unsafe { Plugin::new(*table) }.map_err(|refusal| {
        UserError::new(format!("the native plugin {shown} {refusal}"))
            .hint("build it anew with the udasa-plugin-sdk of this version")
    })?;
    Ok(Library { plugin, sha256, _copy: folder })
}

fn not_a_plugin(path: &Path, why: &str) -> UserError {
    UserError::new(format!("{} is not a native udasa plugin: it {why}, one is needed", path.display())).hint(
        "the crate calls one export macro of the SDK, once; build it with: udasa plugin build --native CRATE --out DIR",
    )
}

/// The names in the file that a plugin's symbol may have. Read from the bytes, because a name ends in what only the crate
/// knows, and before anything is opened.
fn symbols(bytes: &[u8]) -> BTreeSet<String> {
    let prefix = SYMBOL.as_bytes();
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'-';
    let first = prefix.first().copied().unwrap_or_default();
    let starts = (0..bytes.len()).filter(|&at| bytes[at] == first && bytes[at..].starts_with(prefix));
    starts
        .filter_map(|at| {
            let name: Vec<u8> = bytes[at..].iter().copied().take_while(in_name).collect();
            String::from_utf8(name).ok().filter(|name| name.len() > SYMBOL.len())
        })
        .collect()
}

impl Library {
    /// What it is.
    pub fn kind(&self) -> Kind {
        self.plugin.kind()
    }

    /// What it says of itself.
    pub fn describe(&self) -> Returned<Description> {
        self.plugin.describe()
    }

    /// All that is wrong with the settings: path and message.
    pub fn check_settings(&self, settings: &str) -> Returned<Vec<(String, String)>> {
        let Returned { log, result } = self.plugin.check_settings(settings);
        let result = result.map(|problems| problems.into_iter().map(|p| (p.path, p.message)).collect());
        Returned { log, result }
    }

    /// One step of a scorer; [`questions`](super::questions) and [`score`](super::score) make records of it.
    pub fn score(&self, settings: &str, sample: &Sample, rounds: &[Vec<Answer>]) -> Returned<Result<Step, Fault>> {
        let rounds: Vec<Vec<_>> = rounds.iter().map(|round| round.iter().map(convert::answer).collect()).collect();
        self.plugin.score(settings, &convert::sample(sample), &rounds)
    }

    /// The next stage of a staging policy.
    pub fn next_stage(
        &self,
        settings: &str,
        seed: u64,
        pairs: &[Pair],
        history: &[PastStage],
    ) -> Returned<Result<Option<Stage>, Fault>> {
        let pairs: Vec<_> = pairs.iter().map(convert::pair).collect();
        let history: Vec<_> = history.iter().map(convert::past_stage).collect();
        let Returned { log, result } = self.plugin.next_stage(settings, seed, &pairs, &history);
        Returned { log, result: result.map(|stage| stage.map(|stage| stage.map(convert::stage))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::test_folder::TestFolder;

    fn refused(path: &Path, pin: Option<&str>) -> UserError {
        match open(path, pin) {
            Ok(_) => panic!("it was opened"),
            Err(error) => error.downcast().expect("the user's input"),
        }
    }

    #[test]
    fn names_are_found_in_the_bytes_each_once() {
        let bytes = b"\0udasa_native_plugin_a-b_7\0x udasa_native_plugin_\0udasa_native_plugin_a-b_7\0udasa_native";
        assert_eq!(symbols(bytes).into_iter().collect::<Vec<_>>(), ["udasa_native_plugin_a-b_7"]);
    }

    #[test]
    fn without_its_pin_or_with_another_a_file_is_not_opened() -> anyhow::Result<()> {
        let folder = TestFolder::new()?;
        // Not even a library: opening it would be another error.
        folder.write("x.so", b"nothing")?;
        let path = folder.path().join("x.so");
        let digest = sha256_hex(b"nothing");
        let error = refused(&path, None);
        assert!(error.message.contains("is not pinned"), "{error}");
        assert!(error.hint.is_some_and(|hint| hint.ends_with(&format!("write: sha256 = \"{digest}\""))));
        let error = refused(&path, Some(&"0".repeat(64)));
        assert!(error.message.contains("pinned: 000") && error.message.contains(&digest), "{error}");
        let error = refused(&path, Some(&digest));
        assert!(error.message.contains("is not a native udasa plugin"), "{error}");
        Ok(())
    }

    #[test]
    fn a_file_that_only_looks_like_one_is_refused() -> anyhow::Result<()> {
        let folder = TestFolder::new()?;
        let bytes = b"\x7fELF udasa_native_plugin_x_1\0";
        folder.write("x.so", bytes)?;
        let error = refused(&folder.path().join("x.so"), Some(&sha256_hex(bytes)));
        assert!(error.message.contains("cannot be opened"), "{error}");
        Ok(())
    }

    #[test]
    fn a_missing_file_says_how_to_build_it() {
        let error = refused(Path::new("/nowhere/x.so"), None);
        assert!(error.hint.is_some_and(|hint| hint.contains("--native")));
    }
}
