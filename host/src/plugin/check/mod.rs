//! `udasa plugin check FILE|DIR`: does a plugin keep to the contract? Everything that the host would notice in a run, and
//! what only a second look can: purity, order, fuel that is the same on every instance.
//!
//! A line per check. What cannot be judged because an earlier check failed is skipped, and says so. No model runs: a scorer
//! that asks is given made-up answers of the right shape.

mod cases;
mod made_up;
mod play;
mod report;
mod schema;
mod verdicts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::Limits;
use crate::error::UserError;
use crate::sandbox::{self, PluginFile, PluginKind, Refused};

use super::call::settings_of;
use cases::Case;
use play::Instance;
use report::{Report, Status};

/// The checks, in the order in which they are made and shown.
const CHECKS: [&str; 10] =
    ["contract", "imports", "describe", "schema", "settings", "outputs", "limits", "purity", "order", "fuel"];

/// Checks a plugin, or all of a directory, and prints what was found to stdout. A failed check is an error.
pub fn check(path: &Path, settings: Option<&str>, samples: Option<&Path>, json: bool) -> anyhow::Result<()> {
    if path.is_dir() && settings.is_some() {
        return Err(UserError::new("--settings goes with one plugin, and a directory was given")
            .hint("name the plugin's file")
            .into());
    }
    let settings = settings_of(settings)?;
    let samples = samples.map(cases::read).transpose()?;
    let files = if path.is_dir() { wasm_files(path)? } else { vec![path.to_owned()] };
    let mut reports = Vec::new();
    let mut named: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in &files {
        let wasm = std::fs::read(file).map_err(|e| {
            UserError::new(format!("cannot read the plugin file {}: {e}", file.display()))
                .hint("give a .wasm component, or a directory that holds some")
        })?;
        let mut report = Report::of(file);
        one(&mut report, file, wasm, &settings, samples.as_deref(), files.len() == 1)?;
        if let Some(name) = &report.name
            && let Some(first) = named.insert(name.clone(), file.clone())
        {
            report
                .failed("name", format!("{} is named `{name}` too; a directory holds each name once", first.display()));
        }
        reports.push(report);
    }
    report::print(&reports, json)?;
    match report::refusal(&reports) {
        Some(refusal) => Err(refusal.into()),
        None => Ok(()),
    }
}

fn one(
    report: &mut Report,
    file: &Path,
    wasm: Vec<u8>,
    settings: &str,
    samples: Option<&[Case]>,
    alone: bool,
) -> anyhow::Result<()> {
    let Some(plugin) = read(report, file, wasm)? else {
        report.skip_rest(&CHECKS, "it cannot be called");
        return Ok(());
    };
    if plugin.kind == PluginKind::StagingPolicy && samples.is_some() && alone {
        return Err(UserError::new(format!("--sample is for scorers, and {} is a staging policy", file.display()))
            .hint("leave it out; policies are tried with made-up pairs")
            .into());
    }
    let limits = Limits::default();
    let instance = || Instance::new(&plugin, settings, &limits);
    let first = match instance() {
        Ok(first) => first,
        Err(error) => {
            report.failed("describe", error.downcast::<UserError>()?.message);
            report.skip_rest(&CHECKS, "it describes itself differently each time");
            return Ok(());
        }
    };
    report.ok("describe", described(&plugin));
    check_schema(report, &plugin, settings);
    if !check_settings(report, &first, settings)? {
        report.skip_rest(&CHECKS, "there are no settings to call it with; give some with --settings JSON");
        return Ok(());
    }
    let mut tried = cases::built_in(plugin.kind);
    if plugin.kind == PluginKind::Scorer {
        tried.extend(samples.unwrap_or_default().iter().cloned());
    }
    // Each is fresh: all that was called of them is `describe`.
    let plays = play::Plays::of([instance()?, instance()?, instance()?], &tried);
    verdicts::judge(report, &plays, &tried, &limits);
    Ok(())
}

/// The plugin, or nothing where it failed to be one.
fn read(report: &mut Report, file: &Path, wasm: Vec<u8>) -> anyhow::Result<Option<PluginFile>> {
    match sandbox::read_contract(file, &wasm) {
        Ok(()) => {}
        Err(Refused::Contract(refusal)) => {
            report.failed("contract", told(&refusal));
            return Ok(None);
        }
        Err(Refused::Imports(refusal)) => {
            report.ok("contract", "read before anything was compiled".to_owned());
            report.failed("imports", told(&refusal));
            return Ok(None);
        }
    }
    let plugin = match sandbox::inspect_bytes(file, wasm) {
        Ok(plugin) => plugin,
        Err(error) => {
            // It claims the contract, but its functions are of other types, or it cannot even say who it is.
            report.ok("contract", "read before anything was compiled".to_owned());
            report.ok("imports", "nothing but what a plugin may".to_owned());
            report.failed("describe", told(&error.downcast::<UserError>()?));
            return Ok(None);
        }
    };
    report.name = Some(plugin.description.name.clone());
    report.ok("contract", format!("{} of udasa:plugin@{}", plugin.kind.name(), plugin.contract_version));
    let imports = if plugin.imports.is_empty() { "nothing".to_owned() } else { plugin.imports.join(", ") };
    report.ok("imports", imports);
    Ok(Some(plugin))
}

fn described(plugin: &PluginFile) -> String {
    let it = &plugin.description;
    let asks: Vec<_> = it.asks.iter().map(|&kind| sandbox::kind_name(kind)).collect();
    let asks = if asks.is_empty() { String::new() } else { format!(", asks {}", asks.join(",")) };
    format!("{} {}{asks}; the same on two instances", it.name, it.version)
}

fn check_schema(report: &mut Report, plugin: &PluginFile, settings: &str) {
    let schema = &plugin.description.settings_schema;
    let defects = schema::defects(schema);
    if !defects.is_empty() {
        return report.failed("schema", format!("not a JSON Schema: {}", defects[..defects.len().min(5)].join("; ")));
    }
    // They are an object: the command line was read that way.
    let value = serde_json::from_str(settings).unwrap_or_default();
    match schema::departures(schema, &value).first() {
        None => report.ok("schema", format!("a JSON Schema, which {} pass", words(settings))),
        Some(first) => report.failed("schema", format!("{} do not pass it: {first}", words(settings))),
    }
}

fn check_settings(report: &mut Report, plugin: &Instance, settings: &str) -> anyhow::Result<bool> {
    match plugin.problems() {
        Err(fault) => report.failed("settings", fault.to_string()),
        Ok(problems) if problems.is_empty() => report.ok("settings", format!("the plugin takes {}", words(settings))),
        Ok(problems) => {
            let problems: Vec<_> = problems
                .iter()
                .map(|p| if p.path.is_empty() { p.message.clone() } else { format!("{}: {}", p.path, p.message) })
                .collect();
            report.failed("settings", format!("the plugin refuses {}: {}", words(settings), problems.join("; ")));
        }
    }
    Ok(report.status("settings") == Some(Status::Ok))
}

fn words(settings: &str) -> &'static str {
    if settings == "{}" { "the default settings {}" } else { "the settings" }
}

/// The message and the cure on one line.
fn told(refusal: &UserError) -> String {
    match &refusal.hint {
        Some(hint) => format!("{}; {hint}", refusal.message),
        None => refusal.message.clone(),
    }
}

fn wasm_files(directory: &Path) -> Result<Vec<PathBuf>, UserError> {
    let shown = directory.display();
    let entries = std::fs::read_dir(directory).map_err(|e| {
        UserError::new(format!("cannot read the directory {shown}: {e}")).hint("check that you may read it")
    })?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "wasm"))
        .collect();
    if files.is_empty() {
        return Err(UserError::new(format!("the directory {shown} holds no plugins (*.wasm)"))
            .hint(format!("build some into it: udasa plugin build PATH... --out {shown}")));
    }
    files.sort();
    Ok(files)
}
