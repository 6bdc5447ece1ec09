//! Plugins: who they are, and what their calls used of what they may use.

use serde::Serialize;

use super::Table;
use crate::records::PluginUsage;
use crate::report::read::{Found, RunFiles, RunToml};
use crate::report::text::{count, duration, number, visible};

/// What the section shows.
#[derive(Debug, Serialize)]
pub struct Plugins {
    /// One row a plugin.
    pub who: Table,
    /// One row a plugin and room.
    pub used: Table,
    /// What a call may use, in a sentence; none where run.toml does not say.
    pub limits: Option<String>,
}

/// Builds it.
pub fn plugins(files: &RunFiles) -> Found<Plugins> {
    let rooms = files.usage.as_ref().map_err(Clone::clone)?;
    let limits = files.config.as_ref().ok().map(Limits::of);
    let mut who = Table::new(&["plugin", "version", "kind", "contract", "SHA-256"]);
    let mut used = Table::new(&[
        "plugin",
        "room",
        "calls",
        "time",
        "a call",
        "fuel a call",
        "most in a call",
        "most memory",
        "traps",
        "faults",
        "questions",
        "from cache",
        "log lines dropped",
    ]);
    for (room, entries) in rooms {
        for entry in entries {
            let identity = identity(entry);
            if !who.rows.contains(&identity) {
                who.rows.push(identity);
            }
            used.rows.push(row(room, entry, limits.as_ref()));
        }
    }
    Ok(Plugins { who, used, limits: limits.and_then(|limits| limits.sentence()) })
}

fn identity(entry: &PluginUsage) -> Vec<String> {
    let name = visible(&entry.plugin);
    let as_name = if entry.name == entry.plugin { name } else { format!("{name} as {}", visible(&entry.name)) };
    let kind = if entry.native { format!("{}, native", entry.kind) } else { entry.kind.clone() };
    let digest = entry.sha256.chars().take(12).collect();
    vec![as_name, visible(&entry.version), visible(&kind), visible(&entry.contract), digest]
}

fn row(room: &str, entry: &PluginUsage, limits: Option<&Limits>) -> Vec<String> {
    let it = &entry.used;
    let calls = it.calls.max(1) as f64;
    let none = || "–".to_owned();
    // Nobody counts outside of the sandbox.
    let (fuel, most, memory) = if entry.native {
        (none(), none(), none())
    } else {
        let of =
            |value: u64, limit: Option<u64>| limit.map_or(String::new(), |limit| format!(" ({})", share(value, limit)));
        (
            amount(it.fuel as f64 / calls),
            amount(it.most_fuel as f64) + &of(it.most_fuel, limits.and_then(|l| l.fuel)),
            format!("{} MiB", number(it.peak_memory as f64 / f64::from(1 << 20)))
                + &of(it.peak_memory, limits.and_then(|l| l.memory_mib).map(|mib| mib << 20)),
        )
    };
    let (questions, cached) = if it.questions == 0 {
        (none(), none())
    } else {
        (whole(it.questions), whole(it.questions.saturating_sub(it.asked_model)))
    };
    vec![
        visible(&entry.name),
        visible(room),
        whole(it.calls),
        short(it.seconds),
        short(it.seconds / calls),
        fuel,
        most,
        memory,
        whole(it.traps),
        whole(it.faults),
        questions,
        cached,
        whole(it.log_lines_dropped),
    ]
}

/// What a call may use, as run.toml has it.
struct Limits {
    fuel: Option<u64>,
    memory_mib: Option<u64>,
    seconds: Option<u64>,
}

impl Limits {
    fn of(config: &RunToml) -> Self {
        let get =
            |key| config.get(&["limits", key]).and_then(toml::Value::as_integer).and_then(|n| u64::try_from(n).ok());
        Self { fuel: get("fuel"), memory_mib: get("memory_mib"), seconds: get("seconds") }
    }

    fn sentence(&self) -> Option<String> {
        Some(format!(
            "A call may use {} units of fuel (about as many instructions), {} MiB of memory and {} s; all limits are under Provenance.",
            amount(self.fuel? as f64),
            self.memory_mib?,
            self.seconds?
        ))
    }
}

/// "3 %", with a word for what rounds to nothing. Also for `udasa plan`.
pub fn share(value: u64, limit: u64) -> String {
    let percent = 100.0 * value as f64 / limit.max(1) as f64;
    match percent {
        p if p <= 0.0 => "0\u{a0}%".to_owned(),
        p if p < 1.0 => "under 1\u{a0}%".to_owned(),
        p => format!("{p:.0}\u{a0}%"),
    }
}

/// A large number in thousands, millions or billions.
fn amount(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 1e9 => (v / 1e9, "\u{a0}G"),
        v if v >= 1e6 => (v / 1e6, "\u{a0}M"),
        v if v >= 1e4 => (v / 1e3, "\u{a0}k"),
        v => (v.round(), ""),
    };
    format!("{}{unit}", number(value))
}

fn whole(n: u64) -> String {
    count(usize::try_from(n).unwrap_or(usize::MAX))
}

/// The time of one call.
fn short(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 0.1 => format!("{:.1} ms", s * 1e3),
        s => duration(s),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Used;

    fn entry(native: bool) -> PluginUsage {
        PluginUsage {
            name: "s".into(),
            plugin: "semantic".into(),
            kind: "scorer".into(),
            sha256: "ab".repeat(32),
            native,
            used: Used {
                calls: 2,
                fuel: 60_000,
                most_fuel: 300_000_000,
                peak_memory: 2 << 20,
                questions: 10,
                asked_model: 4,
                seconds: 0.004,
                ..Used::default()
            },
            ..PluginUsage::default()
        }
    }

    #[test]
    fn a_row_tells_means_peaks_and_shares_of_the_limits() {
        let limits = Limits { fuel: Some(10_000_000_000), memory_mib: Some(256), seconds: Some(10) };
        let row = row("score", &entry(false), Some(&limits));
        let cells = [
            "s",
            "score",
            "2",
            "4.0 ms",
            "2.0 ms",
            "30.0\u{a0}k",
            "300\u{a0}M (3\u{a0}%)",
            "2.00 MiB (under 1\u{a0}%)",
        ];
        assert_eq!(row[..8], cells);
        assert_eq!(row[10..12], ["10", "6"]);
    }

    #[test]
    fn nobody_counts_outside_of_the_sandbox() {
        let row = row("score", &entry(true), None);
        assert_eq!(row[5..8], ["–", "–", "–"]);
        assert_eq!(identity(&entry(true))[..3], ["semantic as s", "", "scorer, native"]);
    }

    #[test]
    fn a_share_that_rounds_to_nothing_is_not_nothing() {
        assert_eq!(share(0, 100), "0\u{a0}%");
        assert_eq!(share(1, 1000), "under 1\u{a0}%");
        assert_eq!(share(1000, 1000), "100\u{a0}%");
    }
}
