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

/// What there is, and what it measures.
const BENCHMARKS: [(&str, &str); 7] = [
    ("matmul", "matrix products of 1024³ on one thread: the hardware's limit"),
    ("generate", "the sampler beside transformers, on one thread: speed, memory, share of the matrix-product rate"),
    ("gpu", "sampling and LoRA training in bf16 on a CUDA device: tokens a second, share of its bandwidth, memory"),
    ("mini", "the demo's four costs on one thread: pre-training, sampling, judging, preference training"),
    (
        "plugins",
        "the sandbox: a call, WebAssembly beside native code, two threads beside one, us beside lm-polygraph, start",
    ),
    ("questions", "a model's answers: with a common beginning together and one by one; entailment and embeddings"),
    ("train", "preference training beside TRL's DPOTrainer: pairs a second and memory, 15 M and 100 M parameters"),
];

/// How a benchmark is run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// One JSON object a row instead of a table.
    pub json: bool,
    /// A Python with the peer (lm-polygraph, transformers, TRL), to be timed in the same run.
    pub peers: Option<PathBuf>,
    /// `generate`, `gpu`, `questions`, `train`: where the model folders lie that they measure.
    pub models: Option<PathBuf>,
    /// `generate`, `gpu`, `train`: measure only the cases whose names have this in them.
    pub only: Option<String>,
    /// `generate`: the task of one side, which runs in a process of its own.
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
    if options.peers.is_some() && !["plugins", "generate", "train"].contains(&name) {
        return Err(UserError::new(format!("the benchmark `{name}` runs no peers")).hint("leave --peers out").into());
    }
    if options.only.is_some() && !["generate", "gpu", "train"].contains(&name) {
        return Err(UserError::new(format!("the benchmark `{name}` runs as a whole")).hint("leave --only out").into());
    }
    if options.models.is_some() && !["generate", "gpu", "questions", "train"].contains(&name) {
        return Err(UserError::new(format!("the benchmark `{name}` takes no models"))
            .hint("leave --models out")
            .into());
    }
    if let Some(task) = options.task.as_deref().filter(|_| name == "generate") {
        return print(&generate::measure(task)?);
    }
    let mut tell = |row: Row| {
        let Row { name: of, value, unit, note } = row;
        print(&match options.json {
            true => format!("{}\n", json!({"bench": name, "name": of, "value": value, "unit": unit, "note": note})),
            false => format!("{of:<22} {:>12} {unit:<12} {note}\n", shown(value)),
        })
    };
    match name {
        "list" => print(&BENCHMARKS.map(|(name, what)| format!("{name:<10} {what}\n")).concat()),
        "matmul" => matmul(&mut tell),
        "generate" => generate::rows(options, &mut tell),
        "gpu" => gpu::rows(options, &mut tell),
        "mini" => mini::rows(&mut tell),
        "plugins" => plugins::rows(options, &mut tell),
        "questions" => questions::rows(options, &mut tell),
        "train" => train::rows(options, &mut tell),
        _ => {
            let names = BENCHMARKS.map(|(name, _)| name).join(", ");
            Err(UserError::new(format!("there is no benchmark `{name}`")).hint(format!("there are: {names}")).into())
        }
    }
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

fn matmul(tell: &mut Tell) -> Result<()> {
    [("matmul f32", Dtype::F32), ("matmul bf16", Dtype::Bf16)].into_iter().try_for_each(|(name, dtype)| {
        let value = matmul_rate(dtype) / 1e9;
        tell(Row { name: name.into(), value, unit: "GFLOP/s", note: "1024³, one thread".into() })
    })
}
