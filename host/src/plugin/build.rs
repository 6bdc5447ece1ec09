//! `udasa plugin build [PATH...] [--out DIR]`: crates, and what other compilers made, in; checked plugins out.

use std::path::{Path, PathBuf};

use crate::error::UserError;
use crate::sandbox::{self, PluginFile, PluginKind};

use super::cargo::{self, Mode, Module};
use super::{print, size};

/// A plugin that was built and checked.
#[derive(Debug, Clone)]
pub struct Built {
    /// The name it gives itself.
    pub name: String,
    /// What it is.
    pub kind: PluginKind,
    /// `DIR/<name>.wasm`.
    pub path: PathBuf,
    /// Size of the file.
    pub bytes: u64,
    /// Hex SHA-256 of the file.
    pub sha256: String,
}

/// Builds the crates in `paths` and puts each as `<name>.wasm` into `out`; a `*.wasm` among them is what another compiler
/// made. Prints name, kind, size and digest to stdout.
pub fn build(paths: &[PathBuf], out: &Path) -> anyhow::Result<()> {
    let built = make(paths, out, Mode::Full)?;
    let width = built.iter().map(|b| b.name.len()).max().unwrap_or(0);
    let line = |plugin: &Built| {
        let (kind, size) = (plugin.kind.name(), size(plugin.bytes));
        format!("{:width$}  {kind:14}  {size:>10}  sha256 {}\n", plugin.name, plugin.sha256)
    };
    print(&built.iter().map(line).collect::<String>())?;
    eprintln!("written to {}", out.display());
    Ok(())
}

/// The same without a word, but for the compiler's errors.
pub fn build_quietly(paths: &[PathBuf], out: &Path) -> anyhow::Result<Vec<Built>> {
    make(paths, out, Mode::Quiet)
}

/// The same as fast as it goes: the compiler's incremental cache, more code generation units. Other bytes, slower code, the
/// same scores.
pub fn build_quick(paths: &[PathBuf], out: &Path) -> anyhow::Result<Vec<Built>> {
    make(paths, out, Mode::Quick)
}

fn make(paths: &[PathBuf], out: &Path, mode: Mode) -> anyhow::Result<Vec<Built>> {
    if paths.is_empty() {
        return Err(UserError::new("no crate was named")
            .hint("give the folders of the plugins' crates: udasa plugin build PATH... --out DIR")
            .into());
    }
    std::fs::create_dir_all(out).map_err(|e| {
        UserError::new(format!("cannot make the folder {}: {e}", out.display())).hint("give another one with --out DIR")
    })?;
    let mut built: Vec<Built> = Vec::new();
    let mut refused = Vec::new();
    let (made_elsewhere, crates): (Vec<PathBuf>, Vec<PathBuf>) =
        paths.iter().cloned().partition(|path| path.extension().is_some_and(|ending| ending == "wasm"));
    let made_elsewhere = made_elsewhere.into_iter().map(|file| Module { crate_dir: file.clone(), file }).collect();
    let compiled = cargo::workspaces(&crates)?.into_iter().map(|workspace| workspace.build(mode));
    for modules in std::iter::once(Ok(made_elsewhere)).chain(compiled) {
        for module in modules? {
            let plugin = match encode(&module) {
                Ok(plugin) => plugin,
                // The other crates' plugins are built all the same.
                Err(error) => {
                    refused.push(error.downcast::<UserError>()?);
                    continue;
                }
            };
            let path = out.join(format!("{}.wasm", plugin.description.name));
            if built.iter().any(|b| b.path == path) {
                return Err(UserError::new(format!(
                    "two of the crates make a plugin named `{}`; the second is {}",
                    plugin.description.name,
                    module.crate_dir.display()
                ))
                .hint("a config finds a plugin by its name; rename one, in its describe()")
                .into());
            }
            write(&path, plugin.wasm())?;
            built.push(Built {
                name: plugin.description.name.clone(),
                kind: plugin.kind,
                path,
                bytes: plugin.bytes,
                sha256: plugin.sha256,
            });
        }
    }
    match sandbox::together("of the crates do not make a plugin", refused) {
        Some(refusal) => Err(refusal.into()),
        None => Ok(built),
    }
}

/// The module as a component, checked as the host would check a stranger's.
fn encode(module: &Module) -> anyhow::Result<PluginFile> {
    let code = std::fs::read(&module.file).map_err(|e| {
        UserError::new(format!("cannot read {}: {e}", module.file.display())).hint("check that the compiler made it")
    })?;
    // Some languages' tools make components themselves.
    let component = if wasmparser::Parser::is_component(&code) { code } else { component_of(&code, module)? };
    sandbox::inspect_bytes(&module.crate_dir, component).map_err(|error| match error.downcast::<UserError>() {
        Ok(refusal) => UserError {
            message: format!("what was built is not a plugin: {}", refusal.message),
            hint: Some("does the crate call the SDK's export macro? See docs/write-a-plugin.md; for other languages docs/other-languages.md".to_owned()),
        }
        .into(),
        Err(ours) => ours,
    })
}

fn component_of(core: &[u8], module: &Module) -> Result<Vec<u8>, UserError> {
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(core)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|e| {
            UserError::new(format!("{} does not make a component: {e:#}", module.crate_dir.display()))
                .hint("a plugin uses no system library; does a dependency of it expect a system or JavaScript?")
        })
}

/// A host that reads the directory meanwhile sees the old file or the new one, never half.
fn write(path: &Path, wasm: &[u8]) -> anyhow::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&temporary, wasm).and_then(|()| std::fs::rename(&temporary, path)).map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        UserError::new(format!("cannot write {}: {e}", path.display()))
            .hint("is the folder writable, and the disk not full?")
    })?;
    Ok(())
}
