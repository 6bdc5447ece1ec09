//! Reads what a file claims to be, before anything of it is compiled or run: a component, of which world, of which version
//! of the contract, importing what. Refuses everything that is not a plugin for this host, and says which way it is not.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind, ComponentType, ComponentTypeRef,
    InstanceTypeDeclaration, Parser, Payload,
};

use crate::error::UserError;

use super::words::{NAME, SENTENCE, file_name, on_one_line, shown};

/// The version of the contract that this host speaks: `plugin-sdk/wit/v0.1/`.
pub const CONTRACT_VERSION: &str = "0.1.0";

/// Additive changes raise the patch version, so one major and minor version is one contract.
const CURRENT: (u64, u64) = (0, 1);
const PACKAGE: &str = "udasa:plugin/";
/// A plugin has five imports and exports at most; a file with more than this is no plugin, and not worth the memory.
const MOST_NAMES: usize = 10_000;

/// What a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginKind {
    /// Gives every response of a sample an uncertainty.
    Scorer,
    /// Makes the stages.
    StagingPolicy,
}

impl PluginKind {
    /// The word used in messages and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scorer => "scorer",
            Self::StagingPolicy => "staging policy",
        }
    }
}

/// What a component says of itself through its imports and exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contract {
    pub kind: PluginKind,
    /// The version of the contract it was built for.
    pub version: String,
    /// Every import, types included.
    pub imports: Vec<String>,
}

/// Why a file is not a plugin for this host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("is not WebAssembly")]
    NotWasm,
    #[error("is a core WebAssembly module, not a component")]
    CoreModule,
    #[error("is damaged or cut off: {0}")]
    Damaged(String),
    #[error(
        "imports `{0}`; a plugin may import nothing but `udasa:plugin/log`: no files, no clock, no random numbers, no network"
    )]
    ForeignImport(String),
    #[error("was built for version {0} of the plugin contract, which is newer than this host's {CONTRACT_VERSION}")]
    TooNew(String),
    #[error(
        "was built for version {0} of the plugin contract, which this host ({CONTRACT_VERSION}) no longer supports"
    )]
    TooOld(String),
    #[error("is a WebAssembly component, but not a udasa plugin: it exports {0}")]
    NotAPlugin(String),
    #[error("exports both a scorer and a staging policy; a plugin is one of them")]
    BothKinds,
}

impl Refusal {
    fn hint(&self) -> &'static str {
        match self {
            Self::NotWasm => "remove it from the plugin directory, or build it anew with `udasa plugin build`",
            Self::CoreModule => {
                "cargo alone makes core modules; run `udasa plugin build` on its crate, or on this file"
            }
            Self::Damaged(_) => "copy or build it anew: `udasa plugin build`",
            Self::ForeignImport(_) => {
                "build it for wasm32-unknown-unknown with `udasa plugin build`; the wasi targets import the system. For other languages see docs/other-languages.md"
            }
            Self::TooNew(_) => "use a newer udasa, or build the plugin with an older udasa-plugin-sdk",
            Self::TooOld(_) => "build the plugin anew with the current udasa-plugin-sdk",
            Self::NotAPlugin(_) => {
                "a plugin exports `udasa:plugin/scorer-api` or `udasa:plugin/staging-api`; see docs/write-a-plugin.md"
            }
            Self::BothKinds => "split it into two crates",
        }
    }

    /// The refusal as an error about the file.
    pub fn of(&self, path: &std::path::Path) -> UserError {
        UserError::new(format!("{} {self}", file_name(path))).hint(self.hint())
    }
}

/// Reads the outermost imports and exports of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Result<Contract, Refusal> {
    if bytes.get(..4) != Some(b"\0asm") {
        return Err(Refusal::NotWasm);
    }
    if Parser::is_core_wasm(bytes) {
        return Err(Refusal::CoreModule);
    }
    let Names { imports, exports } = names(bytes)?;
    // The version comes first: a newer contract may well import more.
    let (kind, version) = world(&exports)?;
    if let Some(foreign) = imports.iter().find_map(Import::foreign) {
        return Err(Refusal::ForeignImport(on_one_line(&foreign, NAME)));
    }
    Ok(Contract { kind, version, imports: imports.into_iter().map(|import| import.name).collect() })
}

#[derive(Default)]
struct Names {
    imports: Vec<Import>,
    exports: Vec<String>,
}

/// An import, and of an interface all that it holds besides types.
struct Import {
    name: String,
    items: Vec<String>,
}

impl Import {
    /// What of it a plugin may not import. `types` holds only types, so that importing it imports nothing.
    fn foreign(&self) -> Option<String> {
        let is = |interface| version_of(&self.name, interface).is_some_and(|version| numbers(version) == Some(CURRENT));
        let allowed: &[&str] = match () {
            () if is("log") => &["write"],
            () if is("types") => &[],
            () => return Some(self.name.clone()),
        };
        let item = self.items.iter().find(|item| !allowed.contains(&item.as_str()))?;
        Some(format!("{}#{item}", self.name))
    }
}

fn names(bytes: &[u8]) -> Result<Names, Refusal> {
    let damaged = |e: wasmparser::BinaryReaderError| Refusal::Damaged(shown(&e.to_string(), SENTENCE));
    let mut found = Names::default();
    // The outermost types, in the order in which imports name them; of an interface, what it holds besides types.
    let mut types: Vec<Vec<String>> = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(damaged)?;
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            Payload::ComponentTypeSection(section) => {
                for ty in section {
                    types.push(items(&ty.map_err(damaged)?));
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    if is_type(&alias.map_err(damaged)?) {
                        types.push(Vec::new());
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import.map_err(damaged)?;
                    let items = match import.ty {
                        ComponentTypeRef::Instance(index) => types.get(index as usize).cloned().unwrap_or_default(),
                        ComponentTypeRef::Type(_) => {
                            types.push(Vec::new());
                            Vec::new()
                        }
                        _ => Vec::new(),
                    };
                    found.imports.push(Import { name: import.name.name.to_owned(), items });
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export.map_err(damaged)?;
                    if export.kind == ComponentExternalKind::Type {
                        types.push(Vec::new());
                    }
                    found.exports.push(export.name.name.to_owned());
                }
            }
            _ => {}
        }
        if found.imports.len().max(found.exports.len()).max(types.len()) > MOST_NAMES {
            return Err(Refusal::Damaged(format!("it has more than {MOST_NAMES} types, imports or exports")));
        }
    }
    Ok(found)
}

/// Of an interface's type, the names of all that is no type.
fn items(ty: &ComponentType<'_>) -> Vec<String> {
    let ComponentType::Instance(declarations) = ty else {
        return Vec::new();
    };
    declarations
        .iter()
        .filter_map(|declaration| match declaration {
            InstanceTypeDeclaration::Export { name, ty } if !matches!(ty, ComponentTypeRef::Type(_)) => {
                Some(on_one_line(name.name, NAME))
            }
            _ => None,
        })
        .collect()
}

fn is_type(alias: &ComponentAlias<'_>) -> bool {
    matches!(
        alias,
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Type, .. }
            | ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. }
    )
}

fn world(exports: &[String]) -> Result<(PluginKind, String), Refusal> {
    let found = |interface| exports.iter().find_map(|name| version_of(name, interface));
    let (kind, version) = match (found("scorer-api"), found("staging-api")) {
        (Some(_), Some(_)) => return Err(Refusal::BothKinds),
        (Some(version), None) => (PluginKind::Scorer, version),
        (None, Some(version)) => (PluginKind::StagingPolicy, version),
        (None, None) => return Err(Refusal::NotAPlugin(list(exports))),
    };
    match numbers(version) {
        Some(CURRENT) => Ok((kind, version.to_owned())),
        Some(other) if other > CURRENT => Err(Refusal::TooNew(on_one_line(version, NAME))),
        Some(_) => Err(Refusal::TooOld(on_one_line(version, NAME))),
        None => Err(Refusal::NotAPlugin(list(exports))),
    }
}

fn version_of<'a>(name: &'a str, interface: &str) -> Option<&'a str> {
    name.strip_prefix(PACKAGE)?.strip_prefix(interface)?.strip_prefix('@')
}

fn numbers(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.split('.');
    let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next()?;
    Some((major, minor))
}

fn list(exports: &[String]) -> String {
    const SHOWN: usize = 3;
    match exports.len() {
        0 => "nothing".to_owned(),
        n => {
            let mut text = exports[..n.min(SHOWN)]
                .iter()
                .map(|name| format!("`{}`", on_one_line(name, NAME)))
                .collect::<Vec<_>>()
                .join(", ");
            if n > SHOWN {
                text.push_str(&format!(" and {} more", n - SHOWN));
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_export(name: &str) -> Result<(PluginKind, String), Refusal> {
        world(&[name.to_owned()])
    }

    #[test]
    fn newer_older_and_foreign_contracts_get_three_different_sentences() {
        let newer = of_export("udasa:plugin/scorer-api@0.2.0").expect_err("newer");
        let older = of_export("udasa:plugin/scorer-api@0.0.9").expect_err("older");
        let foreign = of_export("wasi:cli/run@0.2.0").expect_err("foreign");
        assert!(newer.to_string().contains("newer than this host"));
        assert!(older.to_string().contains("no longer supports"));
        assert!(foreign.to_string().contains("not a udasa plugin"));
    }

    #[test]
    fn a_newer_patch_version_is_the_same_contract() {
        assert!(of_export("udasa:plugin/staging-api@0.1.7").is_ok());
        assert!(may_import("udasa:plugin/log@0.1.7", &["write"]));
    }

    fn may_import(name: &str, items: &[&str]) -> bool {
        let items = items.iter().map(|&item| item.to_owned()).collect();
        Import { name: name.to_owned(), items }.foreign().is_none()
    }

    #[test]
    fn only_the_log_and_the_types_may_be_imported() {
        assert!(may_import("udasa:plugin/types@0.1.0", &[]));
        assert!(!may_import("wasi:clocks/wall-clock@0.2.0", &[]));
        assert!(!may_import("udasa:plugin/log", &[]));
        assert!(!may_import("udasa:plugin/files@0.1.0", &[]));
    }

    #[test]
    fn a_function_beside_the_log_is_an_import_like_any_other() {
        assert!(!may_import("udasa:plugin/log@0.1.0", &["write", "read"]));
        assert!(!may_import("udasa:plugin/types@0.1.0", &["now"]));
    }

    #[test]
    fn text_and_core_modules_are_told_apart() {
        assert_eq!(read(b"hello"), Err(Refusal::NotWasm));
        assert_eq!(read(b""), Err(Refusal::NotWasm));
        assert_eq!(read(b"\0asm\x01\0\0\0"), Err(Refusal::CoreModule));
        assert!(matches!(read(b"\0asm\x0d\0\x01"), Err(Refusal::Damaged(_))));
        assert_eq!(read(b"\0asm\x0d\0\x01\0"), Err(Refusal::NotAPlugin("nothing".to_owned())));
    }
}
