//! Benchmarks: `udasa bench NAME`, behind `cargo xtask bench`. Each prints a table, or one JSON object a row; those of a model
//! with the machine's measured matrix-product rate beside it. They are commands, never timed tests.

mod mini;
mod plugins;
mod train;

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use crate::config::Dtype;
use crate::error::UserError;
use crate::model::matmul_rate;

/// What there is, and what it measures.
const BENCHMARKS: [(&str, &str); 4] = [
    ("matmul", "matrix products of 1024³ on one thread: the hardware's limit"),
    ("mini", "the demo's four costs on one thread: pre-training, sampling, judging, preference training"),
    (
        "plugins",
        "the sandbox: a call, WebAssembly beside native code, two threads beside one, us beside lm-polygraph, start",
    ),
    ("train", "preference training beside TRL's DPOTrainer: pairs a second and memory, 15 M and 100 M parameters"),
];

/// How a benchmark is run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// One JSON object a row instead of a table.
    pub json: bool,
    /// A Python with the peer (lm-polygraph, TRL), to be timed now beside its recorded time.
    pub peers: Option<PathBuf>,
    /// Only the cases whose names begin so.
    pub only: Option<String>,
}

/// One measured number.
struct Row {
    name: &'static str,
    value: f64,
    unit: &'static str,
    note: String,
}

/// Runs a benchmark and returns what to print.
pub fn run(name: &str, options: &Options) -> Result<String> {
    if options.peers.is_some() && !["plugins", "train"].contains(&name) {
        return Err(UserError::new(format!("the benchmark `{name}` runs no peers")).hint("leave --peers out").into());
    }
    if options.only.is_some() && name != "train" {
        return Err(UserError::new(format!("the benchmark `{name}` runs as a whole")).hint("leave --only out").into());
    }
    let rows = match name {
        "list" => return Ok(BENCHMARKS.map(|(name, what)| format!("{name:<8} {what}\n")).concat()),
        "matmul" => Vec::new(),
        "mini" => mini::rows()?,
        "plugins" => plugins::rows(options.peers.as_deref())?,
        "train" => train::rows(options.peers.as_deref(), options.only.as_deref().unwrap_or_default())?,
        _ => {
            let names = BENCHMARKS.map(|(name, _)| name).join(", ");
            return Err(UserError::new(format!("there is no benchmark `{name}`"))
                .hint(format!("there are: {names}"))
                .into());
        }
    };
    // What the plugins' rows are ratios of is in them.
    let mut all = if name == "plugins" { Vec::new() } else { matmul() };
    all.extend(rows);
    let line = |row: &Row| match options.json {
        true => format!(
            "{}\n",
            json!({"bench": name, "name": row.name, "value": row.value, "unit": row.unit, "note": row.note})
        ),
        false => format!("{:<22} {:>12} {:<12} {}\n", row.name, shown(row.value), row.unit, row.note),
    };
    Ok(all.iter().map(line).collect())
}

/// Three digits at least: ratios and microseconds are small.
fn shown(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}

fn matmul() -> Vec<Row> {
    [("matmul f32", Dtype::F32), ("matmul bf16", Dtype::Bf16)]
        .into_iter()
        .map(|(name, dtype)| Row {
            name,
            value: matmul_rate(dtype) / 1e9,
            unit: "GFLOP/s",
            note: "1024³, one thread".into(),
        })
        .collect()
}
