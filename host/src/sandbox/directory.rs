//! A directory of plugins: finds them, refuses what is none, asks each who it is, and makes scorers and staging policies of
//! them as the config wants.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::config::{self, Limits};
use crate::error::UserError;
use crate::records::{Dimension, QuestionKind};

use super::contract::{self, Contract, PluginKind};
use super::fault::{Cause, Identity, PluginFault};
use super::native_code::NativeCode;
use super::pool::{Pool, World};
use super::words::{NAME, SENTENCE, file_name, is_name, listed, on_one_line, shown};
use super::{Scorer, StagingPolicy, code_cache, engine, policy, scorer};

const NAME_BYTES: usize = 64;
/// For saying who it is, a hundred times what an interpreted plugin needs. Every file of a directory is asked at every start.
const LOOKING_FUEL: u64 = 1_000_000_000;
const SUMMARY_BYTES: usize = 500;
const SCHEMA_BYTES: usize = 1 << 20;
/// An interpreter with its library is a tenth of this.
const FILE_BYTES: u64 = 256 << 20;
/// Problems of the settings that are shown.
const MOST_PROBLEMS: usize = 20;

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Description {
    /// The name by which a config finds it.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// What it measures; none for a staging policy.
    pub dimension: Option<Dimension>,
    /// The kinds of question it may ask, in the contract's order.
    pub asks: Vec<QuestionKind>,
    /// JSON Schema of its settings.
    pub settings_schema: serde_json::Value,
}

/// One thing that a plugin finds wrong with its settings.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// A dotted path into them, empty for the whole.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

/// A plugin that was read, compiled and described.
pub struct PluginFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Hex SHA-256 of the file.
    pub sha256: String,
    /// What it is.
    pub kind: PluginKind,
    /// What it says of itself.
    pub description: Description,
    /// The version of the contract it was built for.
    pub contract_version: String,
    /// Everything it imports.
    pub imports: Vec<String>,
    /// Size of the file.
    pub bytes: u64,
    wasm: Vec<u8>,
    component: Component,
}

/// All plugins of a directory, by name.
pub struct PluginDirectory {
    path: PathBuf,
    files: Vec<PluginFile>,
}

impl PluginDirectory {
    /// Reads every `*.wasm` in `path`. All files that are no plugins, and all names that come twice, are reported at once.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        let mut refused = Vec::new();
        for file in wasm_files(path)? {
            match inspect(&file) {
                Ok(file) => files.push(file),
                Err(error) => match error.downcast::<UserError>() {
                    Ok(refusal) => refused.push(refusal),
                    Err(ours) => return Err(ours),
                },
            }
        }
        refused.extend(duplicates(&files));
        if let Some(refusal) = together("plugin files cannot be used", refused) {
            return Err(refusal.into());
        }
        files.sort_by(|a, b| a.description.name.cmp(&b.description.name));
        Ok(Self { path: path.to_owned(), files })
    }

    /// The plugins, sorted by name.
    pub fn list(&self) -> &[PluginFile] {
        &self.files
    }

    /// The scorer that `config` names: pinned digest, settings and description checked.
    pub fn scorer(&self, config: &config::Scorer, limits: &Limits) -> anyhow::Result<Scorer> {
        if config.native {
            let code = self.native(&config.plugin, PluginKind::Scorer, config.sha256.as_deref(), limits)?;
            let scorer = Scorer::native(code, config, canonical_json(&config.settings));
            let problems = scorer.problems().map_err(UserError::from)?;
            let path = self.native_path(&config.plugin);
            must_be_settled(scorer.identity(), &path, &format!("scorer `{}`", scorer.name()), &problems)?;
            return Ok(scorer);
        }
        let file = self.find(&config.plugin, PluginKind::Scorer)?;
        file.must_be_pinned(config.sha256.as_deref())?;
        let settings = canonical_json(&config.settings);
        let scorer = Scorer::new(file, config, settings, limits)?;
        let problems = scorer.problems().map_err(UserError::from)?;
        must_be_settled(&file.identity(), &file.path, &format!("scorer `{}`", scorer.name()), &problems)?;
        Ok(scorer)
    }

    /// The staging policy that `config` names, likewise.
    pub fn policy(&self, config: &config::StageSection, limits: &Limits) -> anyhow::Result<StagingPolicy> {
        if config.native {
            let code = self.native(&config.policy, PluginKind::StagingPolicy, config.sha256.as_deref(), limits)?;
            let policy = StagingPolicy::native(code, canonical_json(&config.settings));
            let problems = policy.problems().map_err(UserError::from)?;
            let path = self.native_path(&config.policy);
            must_be_settled(policy.identity(), &path, &format!("staging policy `{}`", policy.name()), &problems)?;
            return Ok(policy);
        }
        let file = self.find(&config.policy, PluginKind::StagingPolicy)?;
        file.must_be_pinned(config.sha256.as_deref())?;
        let settings = canonical_json(&config.settings);
        let policy = StagingPolicy::new(file, settings, limits)?;
        let problems = policy.problems().map_err(UserError::from)?;
        must_be_settled(&file.identity(), &file.path, &format!("staging policy `{}`", policy.name()), &problems)?;
        Ok(policy)
    }

    /// Where a native plugin of this name lies. It is found by its file's name: it may not run to say its own.
    fn native_path(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.so"))
    }

    fn native(&self, name: &str, kind: PluginKind, pin: Option<&str>, limits: &Limits) -> anyhow::Result<NativeCode> {
        if !is_plugin_name(name) {
            return Err(UserError::new(format!("`{name}` is not a plugin's name"))
                .hint("a name is of a-z, 0-9 and -; the file is NAME.so in the plugin directory")
                .into());
        }
        NativeCode::open(&self.native_path(name), name, kind, pin, limits)
    }

    fn find(&self, name: &str, kind: PluginKind) -> Result<&PluginFile, UserError> {
        let directory = file_name(&self.path);
        let Some(file) = self.files.iter().find(|f| f.description.name == name) else {
            let names: Vec<&str> =
                self.files.iter().filter(|f| f.kind == kind).map(|f| f.description.name.as_str()).collect();
            let hint = if is_plugin_name(name) && self.native_path(name).is_file() {
                format!(
                    "there is a native plugin {name}.so; if you trust it without a sandbox, write: native = true (and sha256)"
                )
            } else {
                there_are(&names, name, kind)
            };
            return Err(UserError::new(format!(
                "no {} named `{name}` in the plugin directory {directory}",
                kind.name()
            ))
            .hint(hint));
        };
        if file.kind != kind {
            return Err(UserError::new(format!(
                "plugin `{name}` ({}) is a {}, not a {}",
                file_name(&file.path),
                file.kind.name(),
                kind.name()
            ))
            .hint("`udasa plugin list --plugins DIR` shows what each plugin is"));
        }
        Ok(file)
    }
}

/// Reads one file: its contract, then its code, then its own description under limits of its own.
pub fn inspect(path: &Path) -> anyhow::Result<PluginFile> {
    inspect_bytes(path, content(path)?)
}

/// The content of a file. A pipe would never end, and a file as large as the disk would fill the memory.
fn content(path: &Path) -> Result<Vec<u8>, UserError> {
    let shown = file_name(path);
    let unreadable = |e: std::io::Error| {
        UserError::new(format!("cannot read the plugin file {shown}: {e}"))
            .hint("check that it exists and that you may read it")
    };
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() {
        return Err(UserError::new(format!("{shown} is not a file"))
            .hint("a plugin is a file `*.wasm`; take whatever else is called so out of the plugin directory"));
    }
    if about.len() > FILE_BYTES {
        return Err(UserError::new(format!(
            "{shown} has {} MiB; a plugin has at most {}",
            about.len() >> 20,
            FILE_BYTES >> 20
        ))
        .hint("is it a plugin at all? If so, build it without debug information"));
    }
    std::fs::read(path).map_err(unreadable)
}

/// The same for a file's content; `path` is where it lies or will lie.
pub fn inspect_bytes(path: &Path, wasm: Vec<u8>) -> anyhow::Result<PluginFile> {
    let Contract { kind, version: contract_version, imports } =
        contract::read(&wasm).map_err(|refusal| refusal.of(path))?;
    let limits = Limits { fuel: LOOKING_FUEL, ..Limits::default() };
    let engine = engine::engine(limits.stack_kib)?;
    let (component, sha256) = code_cache::component(&engine, &wasm)
        .map_err(|e| contract::Refusal::Damaged(shown(&e.root_cause().to_string(), SENTENCE)).of(path))?;
    let identity = Identity { name: file_name(path), version: None, sha256: sha256.clone() };
    let described = match kind {
        PluginKind::Scorer => scorer::describe(&engine, &component, identity, &limits),
        PluginKind::StagingPolicy => policy::describe(&engine, &component, identity, &limits),
    };
    let description = described.map_err(|e| wrong_types(path, &e))?.map_err(UserError::from)?;
    Ok(PluginFile {
        path: path.to_owned(),
        sha256,
        kind,
        description,
        contract_version,
        imports,
        bytes: wasm.len() as u64,
        wasm,
        component,
    })
}

impl PluginFile {
    /// The file's content.
    pub fn wasm(&self) -> &[u8] {
        &self.wasm
    }

    /// Its code for calls with so much stack.
    pub(super) fn code(&self, stack_kib: u64) -> anyhow::Result<(Engine, Component)> {
        let engine = engine::engine(stack_kib)?;
        if Engine::same(&engine, self.component.engine()) {
            return Ok((engine, self.component.clone()));
        }
        let (component, _) = code_cache::component(&engine, &self.wasm).map_err(|e| self.does_not_link(&e))?;
        Ok((engine, component))
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            name: self.description.name.clone(),
            version: Some(self.description.version.clone()),
            sha256: self.sha256.clone(),
        }
    }

    pub(super) fn does_not_link(&self, error: &wasmtime::Error) -> UserError {
        wrong_types(&self.path, error)
    }

    /// A plugin that says something else each time could be graded as one thing and run as another.
    pub(super) fn must_still_be(&self, description: &Description) -> Result<(), UserError> {
        if *description == self.description {
            return Ok(());
        }
        Err(UserError::new(format!(
            "plugin `{}` ({}) describes itself differently from one call to the next",
            self.description.name,
            file_name(&self.path)
        ))
        .hint("a plugin is a pure function; this one is broken or dishonest, do not use it"))
    }

    fn must_be_pinned(&self, pin: Option<&str>) -> Result<(), UserError> {
        match pin {
            Some(pin) if !pin.eq_ignore_ascii_case(&self.sha256) => Err(UserError::new(format!(
                "plugin `{}` ({}) is not the one that the config pins\n  pinned: {pin}\n  found:  {}",
                self.description.name,
                file_name(&self.path),
                self.sha256
            ))
            .hint(format!("if this is the plugin you want, write: sha256 = \"{}\"", self.sha256))),
            _ => Ok(()),
        }
    }
}

impl Description {
    /// What a plugin says of itself, if it says the same when it is asked again.
    pub(super) fn twice<W: World>(
        pool: &Pool<W>,
        describe: impl Fn(&Pool<W>) -> Result<Self, PluginFault>,
    ) -> Result<Self, PluginFault> {
        let first = describe(pool)?;
        if describe(pool)? == first {
            return Ok(first);
        }
        let cause = "described itself differently from one call to the next".to_owned();
        Err(pool.fault("describe", None, Cause::BadOutput(cause)))
    }

    /// What a plugin said, with its first defect as the cause.
    pub(super) fn checked(
        name: String,
        version: String,
        summary: String,
        dimension: Option<Dimension>,
        mut asks: Vec<QuestionKind>,
        settings_schema: &str,
    ) -> Result<Self, Cause> {
        let bad = |what: String| Err(Cause::BadOutput(what));
        if !is_plugin_name(&name) {
            let name = on_one_line(&name, NAME);
            return bad(format!("gave itself the name `{name}`; a name has 1 to {NAME_BYTES} of a-z, 0-9 and -"));
        }
        let numbered = version.split('.').count() >= 3 && version.starts_with(|c: char| c.is_ascii_digit());
        if !numbered || !is_name(&version, NAME_BYTES) {
            let version = on_one_line(&version, NAME);
            return bad(format!("gave itself the version `{version}`; a version is like 0.1.0"));
        }
        if !summary.is_empty() && !is_name(&summary, SUMMARY_BYTES) {
            return bad(format!("gave a summary that is not one line of at most {SUMMARY_BYTES} bytes"));
        }
        if settings_schema.len() > SCHEMA_BYTES {
            return bad(format!(
                "gave a settings schema of {} bytes; at most {SCHEMA_BYTES} are allowed",
                settings_schema.len()
            ));
        }
        let settings_schema = match serde_json::from_str(settings_schema) {
            Ok(schema @ serde_json::Value::Object(_)) => schema,
            Ok(_) => return bad("gave a settings schema that is not a JSON object".to_owned()),
            Err(e) => return bad(format!("gave a settings schema that is not JSON: {e}")),
        };
        asks.sort_unstable();
        asks.dedup();
        Ok(Self { name, version, summary, dimension, asks, settings_schema })
    }
}

fn must_be_settled(plugin: &Identity, path: &Path, of: &str, problems: &[Problem]) -> Result<(), UserError> {
    if problems.is_empty() {
        return Ok(());
    }
    let count = match problems.len() {
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    };
    let mut message = format!(
        "{count} in the settings of {of} (plugin `{}` {}, {})",
        plugin.name,
        plugin.version.as_deref().unwrap_or_default(),
        file_name(path)
    );
    let lines = problems.iter().map(|problem| {
        let key = match problem.path.as_str() {
            "" => "settings".to_owned(),
            inner => format!("settings.{}", on_one_line(inner, NAME)),
        };
        format!("{key}: {}", shown(&problem.message, SENTENCE).replace('\n', "\n  "))
    });
    message.push_str(&listed(lines, MOST_PROBLEMS));
    // Of a native plugin, its component shows them.
    let file = file_name(&path.with_extension("wasm"));
    Err(UserError::new(message).hint(format!("`udasa plugin inspect {file}` shows the settings it takes")))
}

fn is_plugin_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.len() <= NAME_BYTES && name.chars().all(plain)
}

fn there_are(names: &[&str], wanted: &str, kind: PluginKind) -> String {
    let distance = |name: &&&str| strsim::damerau_levenshtein(wanted, name);
    let known = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.iter().min_by_key(distance) {
        None => format!("it holds no {} at all", kind.name()),
        Some(near) if distance(&near) <= 1 + wanted.len() / 4 => {
            format!("did you mean `{near}`? There are {known}")
        }
        Some(_) => format!("there are {known}"),
    }
}

fn wasm_files(directory: &Path) -> Result<Vec<PathBuf>, UserError> {
    let shown = file_name(directory);
    let cure = format!("build plugins into it: udasa plugin build PATH... --out {shown}");
    let entries = std::fs::read_dir(directory).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => UserError::new(format!("the plugin directory {shown} does not exist"))
            .hint(format!("give the right one with --plugins DIR, or {cure}")),
        std::io::ErrorKind::NotADirectory => UserError::new(format!("{shown} is not a directory"))
            .hint("--plugins takes the directory that holds the plugins"),
        _ => {
            UserError::new(format!("cannot read the plugin directory {shown}: {e}")).hint("check that you may read it")
        }
    })?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let has_native = files.iter().any(|path| path.extension().is_some_and(|e| e == "so"));
    files.retain(|path| path.extension().is_some_and(|e| e == "wasm"));
    // A directory of native plugins alone is one that somebody filled.
    if files.is_empty() && !has_native {
        return Err(UserError::new(format!("the plugin directory {shown} holds no plugins (*.wasm)")).hint(cure));
    }
    files.sort();
    Ok(files)
}

fn duplicates(files: &[PluginFile]) -> Vec<UserError> {
    let mut by_name: BTreeMap<&str, &PluginFile> = BTreeMap::new();
    let mut found = Vec::new();
    for file in files {
        let name = file.description.name.as_str();
        if let Some(first) = by_name.get(name) {
            found.push(
                UserError::new(format!(
                    "two plugins are named `{name}`: {} and {}",
                    file_name(&first.path),
                    file_name(&file.path)
                ))
                .hint("a config finds a plugin by its name; remove one of the files"),
            );
        } else {
            by_name.insert(name, file);
        }
    }
    found
}

/// One error of several: every message, and every hint once. `what` happened to them all.
pub(crate) fn together(what: &str, mut errors: Vec<UserError>) -> Option<UserError> {
    if errors.len() < 2 {
        return errors.pop();
    }
    let mut hints: Vec<String> = Vec::new();
    let mut message = format!("{} {what}", errors.len());
    for error in errors {
        message.push_str("\n  ");
        message.push_str(&error.message.replace('\n', "\n  "));
        hints.extend(error.hint.filter(|hint| !hints.contains(hint)));
    }
    Some(UserError::new(message).hint(hints.join("; ")))
}

fn wrong_types(path: &Path, error: &wasmtime::Error) -> UserError {
    UserError::new(format!(
        "{} does not keep to the plugin contract {}: {}",
        file_name(path),
        contract::CONTRACT_VERSION,
        shown(&format!("{error:#}"), SENTENCE)
    ))
    .hint("build it anew with the current udasa-plugin-sdk")
}

/// Keys sorted at every depth, no spaces: the same settings are the same bytes.
fn canonical_json(settings: &BTreeMap<String, serde_json::Value>) -> String {
    fn sorted(value: &serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Object(map) => {
                let by_key: BTreeMap<_, _> = map.iter().map(|(k, v)| (k, sorted(v))).collect();
                by_key.into_iter().map(|(k, v)| (k.clone(), v)).collect()
            }
            serde_json::Value::Array(items) => items.iter().map(sorted).collect(),
            scalar => scalar.clone(),
        }
    }
    let object: serde_json::Map<_, _> = settings.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
    serde_json::Value::Object(object).to_string()
}
