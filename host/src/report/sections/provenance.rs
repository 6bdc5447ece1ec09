//! Provenance: rooms with their time, plugins with their digests and limits, seeds and versions, the config as it was run.

use serde::Serialize;
use serde_json::Value as Json;

use super::Table;
use crate::report::read::{Found, RoomRecord, RunFiles};
use crate::report::text::{duration, shortened};

/// What the section shows.
#[derive(Debug, Serialize)]
pub struct Provenance {
    /// Rooms in the order in which they run.
    pub rooms: Option<Table>,
    /// Why they cannot be shown.
    pub no_rooms: Option<String>,
    /// Everything in run.toml that is a digest: (path, hex).
    pub digests: Table,
    /// Seeds, versions, limits and the like: (key, value).
    pub facts: Table,
    /// run.toml as written.
    pub config: Option<String>,
    /// Why it cannot be shown.
    pub no_config: Option<String>,
    /// Other JSON files of the run: (name, text).
    pub files: Vec<(String, String)>,
}

/// Rooms, in the order of data.
const ROOMS: [&str; 10] = ["world", "data", "sft", "generate", "score", "pair", "stage", "train", "evaluate", "report"];

/// Keys that are shown as facts; the others stand in run.toml below.
const FACTS: [&str; 6] = ["udasa", "contract", "set", "seed", "model", "limits"];

/// Builds it.
pub fn provenance(files: &RunFiles) -> Provenance {
    let (rooms, no_rooms) = split(files.rooms.as_ref().map(rooms).map_err(Clone::clone));
    let (config, no_config) = split(files.config.as_ref().map(|c| c.text.clone()).map_err(Clone::clone));
    let mut digests = Table::new(&["what", "SHA-256"]);
    let mut facts = Table::new(&["key", "value"]);
    if let Ok(config) = &files.config {
        collect_digests("", &config.value, &mut digests);
        for key in FACTS {
            if let Some(value) = config.get(&[key]) {
                flatten(key, value, &mut facts);
            }
        }
    }
    let others = [("scaler.json", &files.scaler), ("score-summary.json", &files.score_summary)];
    Provenance {
        rooms,
        no_rooms,
        digests,
        facts,
        config,
        no_config,
        files: others
            .into_iter()
            .filter_map(|(name, found)| {
                let text = serde_json::to_string_pretty(found.as_ref().ok()?).ok()?;
                Some((name.to_owned(), shortened(&text, 20_000)))
            })
            .collect(),
    }
}

fn split<T>(found: Found<T>) -> (Option<T>, Option<String>) {
    match found {
        Ok(value) => (Some(value), None),
        Err(absent) => (None, Some(absent.0)),
    }
}

fn rooms(rooms: &std::collections::BTreeMap<String, RoomRecord>) -> Table {
    let mut names: Vec<&String> = rooms.keys().collect();
    let place = |name: &str| ROOMS.iter().position(|room| *room == name).unwrap_or(ROOMS.len());
    names.sort_by_key(|name| (place(name), (*name).clone()));
    let mut table = Table::new(&["room", "state", "time", "key", "summary"]);
    for name in names {
        let room = &rooms[name];
        table.rows.push(vec![
            name.clone(),
            if room.complete { "complete" } else { "partly done" }.into(),
            duration(room.seconds.unwrap_or(f64::NAN)),
            room.key.chars().take(12).collect(),
            shortened(&plain(&room.summary), 400),
        ]);
    }
    table
}

/// A room's summary in one line.
fn plain(value: &Json) -> String {
    match value {
        Json::Null => "–".into(),
        Json::String(text) => text.clone(),
        Json::Object(map) => {
            map.iter().map(|(key, value)| format!("{key} {}", plain(value))).collect::<Vec<_>>().join(", ")
        }
        Json::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Every leaf that is a SHA-256 in hex, by its path: plugins, input files, pins.
fn collect_digests(path: &str, value: &toml::Value, table: &mut Table) {
    match value {
        toml::Value::Table(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path} › {key}") };
                collect_digests(&path, value, table);
            }
        }
        toml::Value::Array(list) => {
            for value in list {
                collect_digests(path, value, table);
            }
        }
        toml::Value::String(text) if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            table.rows.push(vec![path.into(), text.clone()]);
        }
        _ => {}
    }
}

/// (path, value) of every leaf.
fn flatten(path: &str, value: &toml::Value, table: &mut Table) {
    match value {
        toml::Value::Table(map) => {
            for (key, value) in map {
                flatten(&format!("{path}.{key}"), value, table);
            }
        }
        toml::Value::String(text) => table.rows.push(vec![path.into(), shortened(text, 200)]),
        other => table.rows.push(vec![path.into(), shortened(&other.to_string(), 200)]),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_wherever_they_stand() {
        let digest = "ab".repeat(32);
        let text =
            format!("udasa = \"0.1\"\n[plugins]\npolicy = \"{digest}\"\n[plugins.scorers]\nvalue = \"{digest}\"\n");
        let mut table = Table::default();
        collect_digests("", &toml::from_str(&text).unwrap(), &mut table);
        table.rows.sort();
        assert_eq!(table.rows[0], ["plugins › policy", &digest]);
        assert_eq!(table.rows[1], ["plugins › scorers › value", &digest]);
        assert_eq!(table.rows.len(), 2);
    }

    #[test]
    fn a_summary_is_one_line_whatever_its_shape() {
        let value = serde_json::json!({"pairs": 511, "why": ["a", "b"]});
        assert_eq!(plain(&value), "pairs 511, why a b");
        assert_eq!(plain(&Json::Null), "–");
    }
}
