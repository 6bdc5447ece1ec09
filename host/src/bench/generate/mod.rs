//! The sampler beside transformers' `generate`: the same checkpoint, prompts, sampling settings, dtype and one thread.
//!
//! 16 prompts × 8 responses × 64 tokens, no end of sequence, pure sampling. Each side runs in a process of its own, for its peak memory,
//! and the two take turns; a time is the least of all, because other work only ever adds to it. The checkpoints are random: `small` (15 M)
//! and `base` (100 M) in the folder that `--models` names, as `../shared/peers/p6_make_bench.py` writes them.
//!
//! | row | target |
//! |---|---|
//! | `… f32`: tokens a second over transformers' | 2 × |
//! | `… bf16` | 3 × |
//! | `… 512`: the same with prompts of 512 tokens | 6 × |
//! | peak memory | below transformers' |

mod peer;
mod side;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Options, Row, Tell, matmul};
use crate::config::Dtype;
use crate::error::UserError;

pub use side::measure;

/// Prompts, and responses to each.
const PROMPTS: usize = 16;
const RESPONSES: usize = 8;
/// Tokens of a response.
const TOKENS: usize = 64;
/// Tokens of a long prompt.
const LONG: usize = 512;
/// Times that the sides take turns.
const TURNS: usize = 2;

/// One measurement: what is asked of a side.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    name: String,
    model: PathBuf,
    dtype: Dtype,
    /// Prompts of so many tokens instead of those of the folder.
    long: Option<usize>,
}

/// What a side measured of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Measured {
    /// Seconds of the whole, the least.
    seconds: f64,
    /// Seconds of the prompts and the first tokens, the least.
    prefill: f64,
    /// Operations of the prompts' and of the later tokens' matrix products.
    flops: [f64; 2],
    /// Operations a second of a large matrix product in the same process, in bf16 or f32, whichever is faster.
    rate: f64,
    /// Peak resident memory, bytes.
    peak: u64,
}

/// A row for each size, dtype and length of prompt.
pub fn rows(options: &Options, tell: &mut Tell) -> Result<()> {
    let models = options.models.as_deref().ok_or_else(|| {
        UserError::new("the benchmark `generate` needs checkpoints")
            .hint("--models DIR: a folder with small/ and base/, as peers/p6_make_bench.py writes them")
    })?;
    matmul(tell)?;
    for task in tasks(models) {
        if options.only.as_ref().is_none_or(|only| task.name.contains(only.as_str())) {
            rows_of(&task, options.peers.as_deref())?.into_iter().try_for_each(&mut *tell)?;
        }
    }
    Ok(())
}

fn tasks(models: &Path) -> Vec<Task> {
    let mut tasks = Vec::new();
    for long in [None, Some(LONG)] {
        for size in ["small", "base"] {
            for (word, dtype) in [("f32", Dtype::F32), ("bf16", Dtype::Bf16)] {
                let tail = if long.is_some() { " 512" } else { "" };
                tasks.push(Task { name: format!("{size} {word}{tail}"), model: models.join(size), dtype, long });
            }
        }
    }
    tasks
}

fn rows_of(task: &Task, python: Option<&Path>) -> Result<Vec<Row>> {
    let mut ours: Option<Measured> = None;
    let mut theirs: Option<(f64, f64)> = None; // seconds, peak bytes
    for _ in 0..TURNS {
        let next = run(task)?;
        ours = Some(match ours {
            None => next,
            Some(best) => Measured {
                seconds: best.seconds.min(next.seconds),
                prefill: best.prefill.min(next.prefill),
                rate: best.rate.max(next.rate),
                peak: best.peak.max(next.peak),
                flops: best.flops,
            },
        });
        if let Some(python) = python {
            let (seconds, peak) = peer::run(python, task)?;
            theirs = Some(theirs.map_or((seconds, peak), |(s, p)| (s.min(seconds), p.max(peak))));
        }
    }
    let ours = ours.context("a side ran at least once")?;
    let tokens = (PROMPTS * RESPONSES * TOKENS) as f64;
    let share = |flops: f64, seconds: f64| 100.0 * flops / seconds / ours.rate;
    let [prefill, decode] = ours.flops;
    let row = |what: &str, value: f64, unit: &'static str, note: String| Row {
        name: format!("{} {what}", task.name).into(),
        value,
        unit,
        note,
    };
    let mut rows = vec![
        row(
            "us",
            tokens / ours.seconds,
            "tokens/s",
            format!(
                "{:.2} s; of {:.0} GFLOP/s: prompts {:.0} %, tokens {:.0} %",
                ours.seconds,
                ours.rate / 1e9,
                share(prefill, ours.prefill),
                share(decode, ours.seconds - ours.prefill)
            ),
        ),
        row("memory", ours.peak as f64 / MIB, "MiB", "peak, resident".into()),
    ];
    if let Some((seconds, peak)) = theirs {
        rows[1].note = format!("peak, resident; transformers {:.1} MiB", peak / MIB);
        let note = format!("transformers {:.1} tokens/s, {seconds:.2} s", tokens / seconds);
        rows.push(row("us / theirs", seconds / ours.seconds, "×", note));
    }
    Ok(rows)
}

const MIB: f64 = 1048576.0;

/// Made-up prompts of so many tokens, of ids that both models have.
fn long_prompts(length: usize) -> Vec<Vec<u32>> {
    (0..PROMPTS).map(|p| (0..length).map(|t| (3 + (p * 7919 + t * 1047) % 4000) as u32).collect()).collect()
}

/// Our side, in a process of its own.
fn run(task: &Task) -> Result<Measured> {
    let output = Command::new(std::env::current_exe()?)
        .args(["bench", "generate", "--task"])
        .arg(serde_json::to_string(task)?)
        .env("OMP_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("starting a side of the benchmark")?;
    if !output.status.success() {
        return Err(UserError::new(format!("{}: our side failed", task.name)).hint("its message stands above").into());
    }
    serde_json::from_slice(&output.stdout).context("reading what a side measured")
}
