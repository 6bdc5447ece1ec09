//! Preference training beside TRL's `DPOTrainer`, on the same checkpoint, data, dtype and one thread: 64 pairs in steps of 8.
//!
//! | case | what a pair costs |
//! |---|---|
//! | `small`, `base` | 15 M and 100 M parameters, prompts of 128 tokens, responses of 64: reference and step, as TRL does by default |
//! | `… steps` | the same with the reference known: the steps only (`precompute_ref_log_probs`) |
//! | `small long` | prompts of 512 tokens |
//! | `small bf16 steps` | bf16 weights over f32 masters |
//! | `small lora` | rank 8 on every linear layer |
//!
//! A step's time is the median over the steps, in seconds that the thread had a processor: other work on the machine does not count. TRL's
//! is by the wall's clock: give it a quiet machine. With `--peers` the two sides take turns, two each, and the faster turn of each counts.
//! Memory is the process's greatest resident set during the first turn, weights included. The models are those of
//! `../shared/peers/p6_make_bench.py`, in the folder that `--models` names, else in `target/bench-models`; with `--peers` they are made
//! where they are missing.

mod models;
mod peer;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::steps::{self, BATCH, Steps};
use super::{Options, Row, Tell, matmul, product_rate};
use crate::config::{DeviceChoice, Dtype, Lora, ModelSection, Train};
use crate::model::{Model, processor_seconds, resident};
use crate::records::Pair;
use peer::Peer;

/// One line of the table.
struct Case {
    name: &'static str,
    folder: &'static str,
    /// The reference is known before: only steps are timed.
    steps_only: bool,
    dtype: Dtype,
    lora: bool,
    /// TRL's recorded numbers.
    recorded: Option<&'static str>,
}

const F32: Case =
    Case { name: "small", folder: "small", steps_only: false, dtype: Dtype::F32, lora: false, recorded: None };
const CASES: [Case; 7] = [
    Case { recorded: Some("dpo_small_t1.json"), ..F32 },
    Case { name: "small steps", steps_only: true, recorded: Some("dpo_small_pre_t1.json"), ..F32 },
    Case { name: "small long", folder: "small-long", ..F32 },
    Case { name: "small bf16 steps", steps_only: true, dtype: Dtype::Bf16, ..F32 },
    Case { name: "small lora", lora: true, recorded: Some("dpo_small_lora_t1.json"), ..F32 },
    Case { name: "base", folder: "base", recorded: Some("dpo_base_t1.json"), ..F32 },
    Case { name: "base steps", folder: "base", steps_only: true, recorded: Some("dpo_base_pre_t1.json"), ..F32 },
];

/// Tells of every case whose name has `only` in it.
pub fn rows(options: &Options, tell: &mut Tell) -> Result<()> {
    let (peers, only) = (options.peers.as_deref(), options.only.as_deref().unwrap_or_default());
    let root = match &options.models {
        Some(root) => root.clone(),
        None => std::env::current_dir()?.join("target/bench-models"),
    };
    let cases = CASES.iter().filter(|case| case.name.contains(only));
    let cases: Vec<(&Case, PathBuf)> =
        cases.map(|case| Ok((case, models::folder(&root, case.folder, peers)?))).collect::<Result<_>>()?;
    matmul(tell)?;
    for (case, folder) in cases {
        let turn = || -> Result<_> {
            Ok((measure(case, &folder)?, peers.map(|python| peer::run(python, case, &folder)).transpose()?))
        };
        let (mut ours, theirs) = turn()?;
        let beside = match theirs {
            Some(first) => {
                let (next, their_next) = turn()?;
                ours.rate = ours.rate.max(next.rate);
                let rate = their_next.map_or(first.rate, |next| next.rate.max(first.rate));
                Some(("the faster of two turns", Peer { rate, ..first }))
            }
            None => case.recorded.and_then(peer::recorded).map(|recorded| ("recorded", recorded)),
        };
        let share = 100.0 * ours.flops * ours.rate / product_rate(case.dtype);
        let [first, last] = ours.losses;
        let note =
            format!("{:.0} MiB; {share:.0} % of the matrix-product rate; loss {first:.4} … {last:.4}", ours.memory);
        tell(Row { name: case.name.into(), value: ours.rate, unit: "pairs/s", note })?;
        if let Some((when, peer)) = beside {
            let memory = ours.memory / peer.memory;
            let note = format!("TRL, {when}: {:.3} pairs/s, {:.0} MiB; memory {memory:.2} ×", peer.rate, peer.memory);
            tell(Row { name: "  us / TRL".into(), value: ours.rate / peer.rate, unit: "×", note })?;
        }
    }
    Ok(())
}

struct Measured {
    /// Pairs a second.
    rate: f64,
    /// Operations a pair.
    flops: f64,
    /// MiB.
    memory: f64,
    /// The first step's and the last one's.
    losses: [f64; 2],
}

fn measure(case: &Case, folder: &Path) -> Result<Measured> {
    let pairs = models::pairs(folder)?;
    reset_peak();
    let section = ModelSection { device: DeviceChoice::Cpu, dtype: case.dtype, threads: 1, ..ModelSection::default() };
    let mut model = Model::load(folder, &section)?;
    let lora = case.lora.then(|| Lora { rank: 8, alpha: 16.0, ..Lora::default() });
    let config = steps::settings(lora, Train::default().activation_memory);
    let Steps { reference, step, losses } = steps::timed(case.name, &mut model, &pairs, &config, &processor_seconds)?;
    let memory = resident().context("reading /proc/self/status")?;
    let steps = pairs.len().div_ceil(BATCH) as f64;
    let a_step = if case.steps_only { step } else { step + reference / steps };
    let rate = BATCH as f64 / a_step;
    Ok(Measured { rate, flops: flops(&model, &pairs, case), memory, losses })
}

/// Operations that a pair needs: two for each weight and token forward, four backward (two where the weights are frozen); the prompt
/// once, the head at responses only. Attention itself is left out.
fn flops(model: &Model, pairs: &[Pair], case: &Case) -> f64 {
    let spec = &model.decoder.spec;
    let head = (spec.vocabulary * spec.hidden) as f64;
    let all: usize = model.decoder.parameters().iter().map(|(_, p)| p.numel()).sum();
    let tables = if spec.tied { head } else { 2.0 * head };
    let body = all as f64 - tables;
    let mut sum = 0.0;
    for pair in pairs {
        let responses = (pair.chosen_token_ids.len() + pair.rejected_token_ids.len()) as f64;
        sum += body * (pair.prompt_token_ids.len() as f64 + responses) + head * responses;
    }
    let passes = if case.lora { 4.0 } else { 6.0 } + if case.steps_only { 0.0 } else { 2.0 };
    passes * sum / pairs.len() as f64
}

/// Forgets the greatest resident set so far (Linux).
fn reset_peak() {
    // Where it cannot be written, the number is that of the whole process, which is no smaller.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
