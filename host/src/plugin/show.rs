//! `udasa plugin list` and `udasa plugin inspect`: what a directory or a file holds, for people or as JSON.

use std::path::Path;

use serde_json::json;

use crate::config::Limits;
use crate::records::{Dimension, QuestionKind};
use crate::sandbox::{self, PluginDirectory, PluginFile};

use super::{markdown, print, size};

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// A table for people.
    Table,
    /// One JSON array.
    Json,
    /// A page with every setting.
    Markdown,
}

/// Prints the plugins of a directory to stdout.
pub fn list(directory: &Path, form: As) -> anyhow::Result<()> {
    let directory = PluginDirectory::open(directory)?;
    print(&match form {
        As::Table => format!("{}\nlimits of each: {}\n", table(directory.list()), limits()),
        As::Json => {
            let rows: Vec<_> = directory.list().iter().map(row).collect();
            format!("{:#}\n", serde_json::Value::Array(rows))
        }
        As::Markdown => markdown::page(directory.list()),
    })
}

/// Prints one plugin to stdout: also its imports, the limits it runs under, and its settings.
pub fn inspect(file: &Path, json: bool) -> anyhow::Result<()> {
    let plugin = sandbox::inspect(file)?;
    if json {
        let mut row = row(&plugin);
        row["settings_schema"] = plugin.description.settings_schema.clone();
        print(&format!("{row:#}\n"))
    } else {
        print(&card(&plugin))
    }
}

fn row(plugin: &PluginFile) -> serde_json::Value {
    let it = &plugin.description;
    json!({
        "name": it.name,
        "version": it.version,
        "kind": plugin.kind,
        "dimension": it.dimension,
        "asks": it.asks,
        "sha256": plugin.sha256,
        "bytes": plugin.bytes,
        "contract": plugin.contract_version,
        "imports": plugin.imports,
        "limits": Limits::default(),
        "summary": it.summary,
        "path": plugin.path,
    })
}

fn table(plugins: &[PluginFile]) -> String {
    let header = ["NAME", "VERSION", "KIND", "DIMENSION", "ASKS", "IMPORTS", "SIZE", "SHA-256", "SUMMARY"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(plugins.iter().map(|plugin| {
        let it = &plugin.description;
        [
            it.name.clone(),
            it.version.clone(),
            plugin.kind.name().to_owned(),
            dimension(it.dimension),
            asks(&it.asks),
            short_imports(&plugin.imports),
            size(plugin.bytes),
            plugin.sha256[..12].to_owned(),
            it.summary.clone(),
        ]
    }));
    aligned(&rows)
}

fn card(plugin: &PluginFile) -> String {
    let it = &plugin.description;
    let imports = if plugin.imports.is_empty() { "nothing".to_owned() } else { plugin.imports.join(", ") };
    let rows = [
        ("file", plugin.path.display().to_string()),
        ("size", size(plugin.bytes)),
        ("sha256", plugin.sha256.clone()),
        ("name", it.name.clone()),
        ("version", it.version.clone()),
        ("summary", it.summary.clone()),
        ("kind", plugin.kind.name().to_owned()),
        ("dimension", dimension(it.dimension)),
        ("asks", asks(&it.asks)),
        ("contract", plugin.contract_version.clone()),
        ("imports", imports),
        ("limits", limits()),
    ]
    .map(|(key, value)| [key.to_owned(), value]);
    format!("{}settings (JSON Schema)\n{:#}\n", aligned(&rows), it.settings_schema)
}

/// A config may set others.
fn limits() -> String {
    let limits = Limits::default();
    format!(
        "by default {} units of fuel, {} MiB of memory, {} KiB of stack, {} MiB of output, {} s a call; {} rounds of {} questions a sample",
        limits.fuel,
        limits.memory_mib,
        limits.stack_kib,
        limits.output_mib,
        limits.seconds,
        limits.rounds,
        limits.questions
    )
}

/// `udasa:plugin/log@0.1.0` as `log`: a plugin can import nothing from elsewhere.
fn short_imports(imports: &[String]) -> String {
    if imports.is_empty() {
        return "nothing".to_owned();
    }
    let short = |name: &String| {
        let name = name.rsplit('/').next().unwrap_or(name);
        name.split('@').next().unwrap_or(name).to_owned()
    };
    imports.iter().map(short).collect::<Vec<_>>().join(",")
}

pub(super) fn dimension(dimension: Option<Dimension>) -> String {
    dimension.map_or("-", Dimension::name).to_owned()
}

pub(super) fn asks(kinds: &[QuestionKind]) -> String {
    if kinds.is_empty() {
        return "nothing".to_owned();
    }
    let names: Vec<_> = kinds.iter().map(|&kind| sandbox::kind_name(kind)).collect();
    names.join(",")
}

/// Columns two spaces apart; the last is not padded.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        for (cell, width) in row[..N - 1].iter().zip(widths) {
            text.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(&row[N - 1]);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_shortened_to_what_tells_them_apart() {
        let imports = ["udasa:plugin/types@0.1.0", "udasa:plugin/log@0.1.0"].map(str::to_owned);
        assert_eq!(short_imports(&imports), "types,log");
        assert_eq!(short_imports(&[]), "nothing");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "bb"], ["ccc", "d"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "a    bb\nccc  d\n");
    }
}
