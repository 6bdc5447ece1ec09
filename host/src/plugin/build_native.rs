//! `udasa plugin build --native CRATE... --out DIR`: the same crates as shared libraries of this machine, `DIR/<name>.so`.
//!
//! What is built here is opened here, to learn its name: whoever builds a crate runs its build script already. A host
//! never opens a library that its config does not pin.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::error::UserError;
use crate::native::{self, Kind};

use super::size;

/// As the profile of components, but that a panic unwinds to the border, and that a profiler finds names.
const SETTINGS: [&str; 8] = [
    r#"profile.native-plugin.inherits="release""#,
    "profile.native-plugin.opt-level=3",
    r#"profile.native-plugin.lto="fat""#,
    "profile.native-plugin.codegen-units=1",
    r#"profile.native-plugin.panic="unwind""#,
    r#"profile.native-plugin.debug="line-tables-only""#,
    "profile.native-plugin.strip=false",
    "profile.native-plugin.incremental=false",
];

/// A line of cargo's JSON output, as far as we read it.
#[derive(Deserialize)]
struct Artifact {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// A native plugin that was built.
#[derive(Debug, Clone)]
pub struct BuiltNative {
    /// The name it gives itself.
    pub name: String,
    /// `DIR/<name>.so`.
    pub path: PathBuf,
    /// Hex SHA-256 of the file.
    pub sha256: String,
    kind: &'static str,
    bytes: u64,
}

/// Builds the crates in `paths` into `out`. Prints name, kind, size and digest to stdout.
pub fn build_native(paths: &[PathBuf], out: &Path) -> anyhow::Result<()> {
    let built = build_native_quietly(paths, out)?;
    let width = built.iter().map(|b| b.name.len()).max().unwrap_or(0);
    let mut stdout = std::io::stdout().lock();
    for plugin in &built {
        let BuiltNative { name, sha256, kind, bytes, .. } = plugin;
        writeln!(stdout, "{name:width$}  {kind:14}  {:>10}  sha256 {sha256}", size(*bytes))?;
    }
    eprintln!(
        "native code runs without sandbox and limits; a config that wants it says: native = true, and pins sha256 = \"…\""
    );
    Ok(())
}

/// The same without a word, but for the compiler's.
pub fn build_native_quietly(paths: &[PathBuf], out: &Path) -> anyhow::Result<Vec<BuiltNative>> {
    std::fs::create_dir_all(out).map_err(|e| {
        UserError::new(format!("cannot make the folder {}: {e}", out.display())).hint("give another one with --out DIR")
    })?;
    paths.iter().map(|path| one(path, out)).collect()
}

fn one(path: &Path, out: &Path) -> anyhow::Result<BuiltNative> {
    let library = compile(path)?;
    let opened = native::open_built(&library)?;
    let name = match opened.describe().result {
        Ok(description) => description.name,
        Err(failure) => {
            return Err(UserError::new(format!("the plugin of {} cannot say what it is: {failure:?}", path.display()))
                .hint("mend the crate; `cargo test` runs the same code")
                .into());
        }
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(UserError::new(format!("the plugin of {} calls itself {name:?}", path.display()))
            .hint("a name is of a-z, 0-9 and -")
            .into());
    }
    let target = out.join(format!("{name}.so"));
    // A host that has the old file open keeps it: the new one is another file of the same name.
    let temporary = target.with_extension(format!("so.{}.tmp", std::process::id()));
    let bytes = std::fs::copy(&library, &temporary)
        .and_then(|bytes| std::fs::rename(&temporary, &target).map(|()| bytes))
        .map_err(|e| {
            let _ = std::fs::remove_file(&temporary);
            UserError::new(format!("cannot write {}: {e}", target.display()))
                .hint("is the folder writable, and the disk not full?")
        })?;
    let kind = match opened.kind() {
        Kind::Scorer => "scorer",
        Kind::StagingPolicy => "staging policy",
    };
    Ok(BuiltNative { name, path: target, sha256: opened.sha256.clone(), kind, bytes })
}

/// The shared library that cargo makes of the crate.
fn compile(path: &Path) -> anyhow::Result<PathBuf> {
    let manifest = path.join("Cargo.toml").canonicalize().map_err(|_| {
        UserError::new(format!("{} is not the folder of a crate", path.display()))
            .hint("give the folder that holds the plugin's Cargo.toml")
    })?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--profile", "native-plugin", "--lib", "--message-format", "json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(&manifest)
        .current_dir(path)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    for setting in SETTINGS {
        command.args(["--config", setting]);
    }
    let output = command.output().map_err(|e| {
        UserError::new(format!("cannot run cargo: {e}")).hint("building a plugin needs Rust: https://rustup.rs")
    })?;
    if !output.status.success() {
        return Err(UserError::new(format!("cargo could not build {}; its messages are above", path.display()))
            .hint("mend the crate")
            .into());
    }
    Ok(library(&output.stdout, &manifest).ok_or_else(|| {
        UserError::new(format!("{} is not a plugin's crate: it makes no cdylib", path.display()))
            .hint("write under [lib] in its Cargo.toml: crate-type = [\"cdylib\", \"rlib\"]")
    })?)
}

/// The shared library of the package, in cargo's messages.
fn library(stdout: &[u8], manifest: &Path) -> Option<PathBuf> {
    let is_library = |file: &PathBuf| file.extension().is_some_and(|e| e == std::env::consts::DLL_EXTENSION);
    stdout
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Artifact>(line).ok())
        .filter(|artifact| artifact.reason == "compiler-artifact")
        .filter(|artifact| artifact.manifest_path.as_deref() == Some(manifest))
        .find_map(|artifact| artifact.filenames.into_iter().find(is_library))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_of_the_named_package_is_found_in_cargos_messages() {
        let extension = std::env::consts::DLL_EXTENSION;
        let line = |package: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/{package}/Cargo.toml","filenames":["/t/lib{package}.rlib","/t/lib{package}.{extension}"]}}"#
            )
        };
        let stdout = format!("{}\nnot json\n{}\n", line("macros"), line("p"));
        let found = library(stdout.as_bytes(), Path::new("/p/Cargo.toml"));
        assert_eq!(found, Some(PathBuf::from(format!("/t/libp.{extension}"))));
        assert_eq!(library(stdout.as_bytes(), Path::new("/q/Cargo.toml")), None);
    }

    #[test]
    fn a_folder_without_a_crate_is_the_users_error() {
        let error = compile(Path::new("/nowhere")).expect_err("no crate");
        assert_eq!(error.downcast::<UserError>().expect("the user's").message, "/nowhere is not the folder of a crate");
    }
}
