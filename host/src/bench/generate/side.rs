//! Our side of the benchmark: samples in this process and measures itself.

use std::time::Instant;

use anyhow::{Context, Result};

use super::super::product_rate;
use super::{Measured, PROMPTS, RESPONSES, TOKENS, Task, long_prompts};
use crate::config::{DeviceChoice, ModelSection};
use crate::model::{Model, Request, Sampling};

/// Runs of which the fastest counts.
const REPEATS: usize = 2;

/// Measures one task, given and answered in JSON.
pub fn measure(task: &str) -> Result<String> {
    let task: Task = serde_json::from_str(task).context("reading the task")?;
    let section = ModelSection { device: DeviceChoice::Cpu, dtype: task.dtype, threads: 1, ..ModelSection::default() };
    let mut model = Model::load(&task.model, &section)?;
    model.eos.clear();
    let prompts = prompts(&task)?;
    let requests: Vec<Request> = prompts
        .iter()
        .enumerate()
        .map(|(p, ids)| Request {
            prompt: ids.clone(),
            seeds: (0..RESPONSES).map(|i| [(p * RESPONSES + i) as u8; 32]).collect(),
        })
        .collect();
    let time = |max_tokens: usize| -> Result<f64> {
        let sampling = Sampling { max_tokens, ..Sampling::default() };
        let mut least = f64::INFINITY;
        for _ in 0..REPEATS {
            let started = Instant::now();
            model.sample(&requests, &sampling)?;
            least = least.min(started.elapsed().as_secs_f64());
        }
        Ok(least)
    };
    let (prefill, seconds) = (time(1)?, time(TOKENS)?);
    let peak = peak_memory()?;
    let (body, head) = model.decoder.spec.matrix_numbers();
    let prompt_tokens: usize = prompts.iter().map(Vec::len).sum();
    let rows = (PROMPTS * RESPONSES) as f64;
    let flops = [
        2.0 * (body as f64 * prompt_tokens as f64 + head as f64 * PROMPTS as f64),
        2.0 * (body + head) as f64 * rows * (TOKENS - 1) as f64,
    ];
    let measured = Measured { seconds, prefill, flops, rate: product_rate(task.dtype), peak };
    Ok(serde_json::to_string(&measured)?)
}

/// The folder's prompts, or made-up ones of a length.
fn prompts(task: &Task) -> Result<Vec<Vec<u32>>> {
    if let Some(length) = task.long {
        return Ok(long_prompts(length));
    }
    let path = task.model.join("prompts.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
}

/// The most memory that this process ever had resident, bytes.
pub fn peak_memory() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("peak memory is known on Linux alone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc/self/status")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}
