//! Drives cargo: which packages the given paths are, and their core modules for wasm32.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use serde::Deserialize;

use super::wasm_target;
use crate::error::UserError;

pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// A profile of our own, so that neither the crate's `release` nor its build folder is touched: what a scorer needs to run
/// near native speed (opt-level s would cost a factor of five on dense numbers, as would no simd128).
const SETTINGS: [&str; 15] = [
    r#"profile.plugin.inherits="release""#,
    "profile.plugin.opt-level=3",
    r#"profile.plugin.lto="fat""#,
    "profile.plugin.codegen-units=1",
    r#"profile.plugin.panic="abort""#,
    "profile.plugin.debug=false",
    r#"profile.plugin.strip="symbols""#,
    "profile.plugin.incremental=false",
    // A workspace may have set this for its own builds.
    r#"profile.plugin.package."*".codegen-units=1"#,
    // For a look: the same code in many pieces, so that an edit compiles one of them.
    r#"profile.plugin-quick.inherits="plugin""#,
    r#"profile.plugin-quick.lto="off""#,
    "profile.plugin-quick.incremental=true",
    "profile.plugin-quick.codegen-units=64",
    r#"profile.plugin-quick.package."*".codegen-units=16"#,
    r#"target.wasm32-unknown-unknown.rustflags=["-C","target-feature=+simd128"]"#,
];

/// How to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// For good, with cargo's progress.
    Full,
    /// For good, with the compiler's errors only.
    Quiet,
    /// For a look, likewise.
    Quick,
}

/// The packages to build in one workspace: one cargo call builds them all.
#[derive(Debug)]
pub(super) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Clone, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Clone, Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

/// A line of cargo's JSON output, as far as we read it.
#[derive(Deserialize)]
struct Artifact {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// A core module that cargo made.
pub(super) struct Module {
    /// The crate's folder.
    pub crate_dir: PathBuf,
    /// The module's file.
    pub file: PathBuf,
}

/// Finds the packages in `paths`, grouped by workspace.
pub(super) fn workspaces(paths: &[PathBuf]) -> anyhow::Result<Vec<Workspace>> {
    let mut known: Vec<Metadata> = Vec::new();
    let mut chosen: BTreeMap<PathBuf, Workspace> = BTreeMap::new();
    for path in paths {
        let manifest = manifest(path)?;
        let position = known.iter().position(|m| m.package(&manifest).is_some());
        let metadata = match position {
            Some(position) => &known[position],
            None => {
                known.push(metadata(&manifest)?);
                &known[known.len() - 1]
            }
        };
        let package = metadata.package(&manifest).ok_or_else(|| {
            UserError::new(format!("{} is not a package", manifest.display()))
                .hint("give the folder of a plugin's crate, not that of a workspace")
        })?;
        package.must_be_a_plugin_crate()?;
        chosen
            .entry(metadata.workspace_root.clone())
            .or_insert_with(|| Workspace {
                root: metadata.workspace_root.clone(),
                target: metadata.target_directory.join("plugins"),
                packages: Vec::new(),
            })
            .packages
            .push(package.clone());
    }
    Ok(chosen.into_values().collect())
}

impl Workspace {
    /// Compiles the packages; cargo's own messages go to stderr.
    pub fn build(&self, mode: Mode) -> anyhow::Result<Vec<Module>> {
        let rustc = wasm_target::compiler(&self.root)?;
        self.packages.iter().map(|package| self.module(package, mode, rustc.as_deref())).collect()
    }

    fn module(&self, package: &Package, mode: Mode, rustc: Option<&Path>) -> anyhow::Result<Module> {
        let mut command = cargo();
        command
            .current_dir(&self.root)
            // An rlib beside it would turn link-time optimisation off.
            .args(["rustc", "--lib", "--crate-type", "cdylib", "--package", &package.name])
            .args(["--profile", mode.profile(), "--target", TARGET])
            .args(["--message-format", "json-render-diagnostics", "--target-dir"])
            .arg(&self.target)
            // Flags for the machine's own processor are not for wasm, and would replace ours.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        if let Some(rustc) = rustc {
            command.env("RUSTC", rustc);
        }
        for setting in SETTINGS {
            command.args(["--config", setting]);
        }
        if mode != Mode::Full {
            command.arg("--quiet");
        }
        if mode == Mode::Quick {
            command.env("CARGO_INCREMENTAL", "1");
        }
        let output = command.output().map_err(|e| no_cargo(&e))?;
        if !output.status.success() {
            return Err(package.failed().into());
        }
        let file = artifacts(&output.stdout).remove(&package.manifest_path);
        Ok(Module {
            crate_dir: package.directory(),
            file: file.with_context(|| format!("cargo made no module for package `{}`", package.name))?,
        })
    }
}

impl Mode {
    /// The two kinds of build have profiles of their own, and so folders: cargo would take the module of one for the other's.
    fn profile(self) -> &'static str {
        match self {
            Self::Full | Self::Quiet => "plugin",
            Self::Quick => "plugin-quick",
        }
    }
}

impl Metadata {
    fn package(&self, manifest: &Path) -> Option<&Package> {
        self.packages.iter().find(|p| p.manifest_path == manifest)
    }
}

impl Package {
    fn directory(&self) -> PathBuf {
        self.manifest_path.parent().map(Path::to_owned).unwrap_or_default()
    }

    fn failed(&self) -> UserError {
        UserError::new(format!("cargo could not build `{}` for {TARGET}; its messages are above", self.name))
            .hint("mend the crate; `cargo test` runs the same code natively")
    }

    fn must_be_a_plugin_crate(&self) -> Result<(), UserError> {
        let is_cdylib = |t: &Target| t.crate_types.iter().any(|kind| kind == "cdylib");
        if self.targets.iter().any(is_cdylib) {
            return Ok(());
        }
        Err(UserError::new(format!(
            "package `{}` ({}) is not a plugin's crate: it makes no cdylib",
            self.name,
            self.manifest_path.display()
        ))
        .hint("write under [lib] in its Cargo.toml: crate-type = [\"cdylib\", \"rlib\"]"))
    }
}

fn manifest(path: &Path) -> Result<PathBuf, UserError> {
    let manifest = if path.is_dir() { path.join("Cargo.toml") } else { path.to_owned() };
    match manifest.canonicalize() {
        Ok(real) if real.file_name().is_some_and(|name| name == "Cargo.toml") => Ok(real),
        _ => Err(UserError::new(format!("{} is not the folder of a crate", path.display()))
            .hint("give the folder that holds the plugin's Cargo.toml")),
    }
}

fn metadata(manifest: &Path) -> anyhow::Result<Metadata> {
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .output()
        .map_err(|e| no_cargo(&e))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(UserError::new(format!(
            "cargo cannot read {}: {}",
            manifest.display(),
            said.trim().trim_start_matches("error: ")
        ))
        .hint("mend the manifest")
        .into());
    }
    serde_json::from_slice(&output.stdout).context("reading cargo's metadata")
}

/// The `.wasm` of each package, by its manifest.
fn artifacts(stdout: &[u8]) -> BTreeMap<PathBuf, PathBuf> {
    stdout
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Artifact>(line).ok())
        .filter(|artifact| artifact.reason == "compiler-artifact")
        .filter_map(|artifact| {
            let is_wasm = |file: &PathBuf| file.extension().is_some_and(|e| e == "wasm");
            Some((artifact.manifest_path?, artifact.filenames.into_iter().find(is_wasm)?))
        })
        .collect()
}

/// The cargo that runs us, where one does.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn no_cargo(error: &std::io::Error) -> UserError {
    UserError::new(format!("cannot run cargo: {error}")).hint("building a plugin needs Rust: https://rustup.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_of_each_package_is_found_in_cargos_messages() {
        let stdout =
            br#"{"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","filenames":["/t/libp.rlib","/t/p.wasm"]}
not json
{"reason":"build-finished","success":true}"#;
        let found = artifacts(stdout);
        assert_eq!(found.get(Path::new("/p/Cargo.toml")), Some(&PathBuf::from("/t/p.wasm")));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_folder_without_a_crate_is_the_users_error() {
        let error = workspaces(&[PathBuf::from("/nowhere")]).expect_err("no crate");
        let error = error.downcast::<UserError>().expect("the user's");
        assert_eq!(error.message, "/nowhere is not the folder of a crate");
    }
}
