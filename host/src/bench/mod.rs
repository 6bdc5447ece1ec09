//! Benchmarks: `udasa bench NAME`, behind `cargo xtask bench`. Each prints a table, or one JSON object a row, as its parts end; those that
//! run a model on the CPU begin with the machine's measured matrix-product rate. They are commands, never timed tests.

mod generate;
mod gpu;
mod mini;
mod peers;
mod plugins;
mod questions;
mod steps;
mod train;

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use crate::config::Dtype;
use crate::error::UserError;
use crate::model::matmul_rate;
use crate::records::{Pair, PromptText};

/// One benchmark.
struct Benchmark {
    name: &'static str,
    /// What it measures.
    what: &'static str,
    /// The options that it takes.
    takes: &'static [&'static str],
    rows: fn(&Options, &mut Tell) -> Result<()>,
}

const BENCHMARKS: [Benchmark; 7] = [
    Benchmark {
        name: "matmul",
        what: "matrix products of 1024³ on one thread: the hardware's limit",
        takes: &[],
        rows: |_, tell| matmul(tell),
    },
    Benchmark {
        name: "generate",
        what: "the sampler beside transformers, on one thread: speed, memory, share of the matrix-product rate",
        takes: &["peers", "models", "only", "task"],
        rows: generate::rows,
    },
    Benchmark {
        name: "gpu",
        what: "sampling and LoRA training in bf16 on a CUDA device: tokens a second, share of its bandwidth, memory",
        takes: &["models", "only"],
        rows: gpu::rows,
    },
    Benchmark {
        name: "mini",
        what: "the demo's four costs on one thread: pre-training, sampling, judging, preference training",
        takes: &[],
        rows: |_, tell| mini::rows(tell),
    },
    Benchmark {
        name: "plugins",
        what: "the sandbox: a call, WebAssembly beside native code, two threads beside one, us beside lm-polygraph, start",
        takes: &["peers"],
        rows: plugins::rows,
    },
    Benchmark {
        name: "questions",
        what: "a model's answers: with a common beginning together and one by one; entailment and embeddings",
        takes: &["models"],
        rows: questions::rows,
    },
    Benchmark {
        name: "train",
        what: "preference training beside TRL's DPOTrainer: pairs a second and memory, 15 M and 100 M parameters",
        takes: &["peers", "models", "only"],
        rows: train::rows,
    },
];

/// How a benchmark is run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// One JSON object a row instead of a table.
    pub json: bool,
    /// A Python with the peer (lm-polygraph, transformers, TRL), to be timed in the same run.
    pub peers: Option<PathBuf>,
    /// Where the model folders lie that it measures.
    pub models: Option<PathBuf>,
    /// Measure only the cases whose names have this in them.
    pub only: Option<String>,
    /// The task of one side, which runs in a process of its own.
    pub task: Option<String>,
}

/// Where rows go.
type Tell<'a> = dyn FnMut(Row) -> Result<()> + 'a;

/// One measured number.
struct Row {
    name: Cow<'static, str>,
    value: f64,
    unit: &'static str,
    note: String,
}

/// Runs a benchmark; `print` is given its output, piece by piece.
pub fn run(name: &str, options: &Options, print: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    let benchmark = BENCHMARKS.iter().find(|benchmark| benchmark.name == name);
    if benchmark.is_none() && name != "list" {
        let names = BENCHMARKS.map(|benchmark| benchmark.name).join(", ");
        return Err(UserError::new(format!("there is no benchmark `{name}`"))
            .hint(format!("there are: {names}"))
            .into());
    }
    let takes = benchmark.map_or(&[][..], |benchmark| benchmark.takes);
    let Options { peers, models, only, task, .. } = options;
    let given =
        [("peers", peers.is_some()), ("models", models.is_some()), ("only", only.is_some()), ("task", task.is_some())];
    if let Some((option, _)) = given.iter().find(|(option, is_given)| *is_given && !takes.contains(option)) {
        return Err(UserError::new(format!("the benchmark `{name}` takes no --{option}"))
            .hint(format!("leave --{option} out"))
            .into());
    }
    let Some(benchmark) = benchmark else {
        return BENCHMARKS.iter().try_for_each(|one| print(&format!("{:<10} {}\n", one.name, one.what)));
    };
    if let Some(task) = task {
        return print(&generate::measure(task)?);
    }
    let mut tell = |row: Row| {
        let Row { name: of, value, unit, note } = row;
        print(&match options.json {
            true => format!("{}\n", json!({"bench": name, "name": of, "value": value, "unit": unit, "note": note})),
            false => format!("{of:<22} {:>12} {unit:<12} {note}\n", shown(value)),
        })
    };
    (benchmark.rows)(options, &mut tell)
}

/// Three digits at least: ratios and microseconds are small.
fn shown(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}

/// A file beside the checkout, or where `UDASA_SHARED` says; none where it is not there.
fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("UDASA_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    Some(root.join(path)).filter(|path| path.exists())
}

/// A pair of the prompt's, the chosen and the rejected response's ids, to be trained on: nothing else of it counts.
fn pair(id: String, [prompt, chosen, rejected]: [Vec<u32>; 3]) -> Pair {
    let text = || PromptText::Text(String::new());
    Pair {
        prompt_id: id.clone(),
        id,
        group: None,
        prompt: text(),
        chosen: text(),
        rejected: text(),
        chosen_rating: 1.0,
        rejected_rating: 0.0,
        gap: 1.0,
        dimensions: Default::default(),
        chosen_index: 0,
        rejected_index: 1,
        prompt_token_ids: prompt,
        chosen_token_ids: chosen,
        rejected_token_ids: rejected,
    }
}

/// Operations a second of a large matrix product, for a model of this format: in bf16 or in f32, whichever this processor multiplies faster.
fn product_rate(dtype: Dtype) -> f64 {
    let f32 = matmul_rate(Dtype::F32);
    if dtype == Dtype::F32 { f32 } else { matmul_rate(dtype).max(f32) }
}

fn matmul(tell: &mut Tell) -> Result<()> {
    [("matmul f32", Dtype::F32), ("matmul bf16", Dtype::Bf16)].into_iter().try_for_each(|(name, dtype)| {
        let value = matmul_rate(dtype) / 1e9;
        tell(Row { name: name.into(), value, unit: "GFLOP/s", note: "1024³, one thread".into() })
    })
}
