//! Sampling and preference training in bf16 on a CUDA device, of every model folder that `--models` holds.
//!
//! Sampling: 32 prompts of 128 tokens × 8 responses of 256 tokens, all 256 at once, no end of sequence. The share of the device's bandwidth
//! counts what a token cannot do without: the weights once a round, and the keys and values that each query sees, a prompt's once for all
//! its responses; the rate it is a share of is that of a large copy, bytes read and written. Training: DPO with LoRA of rank 16 on every
//! linear layer, 32 pairs of prompts of 256 and responses of 256 tokens in steps of 8, the reference known before. Its tokens are counted
//! as trainers do that compute a prompt with each response; its time is the median step's.

use std::time::Instant;

use super::steps::{self, BATCH, Steps};
use super::{Options, Row, Tell};
use crate::config::{DeviceChoice, Dtype, Lora, ModelSection};
use crate::error::UserError;
use crate::model::{Model, Request, Sampling, copy_rate, device_memory};
use crate::records::Pair;
use anyhow::Result;

const PROMPTS: usize = 32;
const RESPONSES: usize = 8;
const PROMPT: usize = 128;
const TOKENS: usize = 256;
const PAIRS: usize = 32;
/// Tokens of a prompt and of each response that is trained on.
const TRAINED: usize = 256;

/// Rows of every model whose folder's name has `only` in it.
pub fn rows(options: &Options, tell: &mut Tell) -> Result<()> {
    let only = options.only.as_deref().unwrap_or_default();
    let models = options.models.as_deref().ok_or_else(|| {
        UserError::new("the benchmark `gpu` needs checkpoints")
            .hint("--models DIR: a folder of model folders, as tests/gpu_models.py writes them")
    })?;
    let mut folders: Vec<_> = std::fs::read_dir(models)?.collect::<Result<_, _>>()?;
    folders.retain(|entry| entry.path().join("config.json").exists());
    folders.sort_by_key(std::fs::DirEntry::file_name);
    let section = ModelSection { device: DeviceChoice::Cuda, dtype: Dtype::Bf16, ..ModelSection::default() };
    for folder in folders {
        let name = folder.file_name().to_string_lossy().into_owned();
        if name.contains(only) {
            let started = Instant::now();
            let mut model = Model::load(&folder.path(), &section)?;
            let note = format!("loaded in {:.1} s", started.elapsed().as_secs_f64());
            tell(Row { name: name.into(), value: weights(&model) / GIB, unit: "GiB", note })?;
            tell(sampling(&mut model)?)?;
            tell(training(&mut model)?)?;
        }
    }
    Ok(())
}

const GIB: f64 = (1 << 30) as f64;

fn sampling(model: &mut Model) -> Result<Row> {
    model.eos.clear();
    let requests: Vec<Request> = (0..PROMPTS)
        .map(|p| Request {
            prompt: ids(PROMPT, p),
            seeds: (0..RESPONSES).map(|i| [(p * RESPONSES + i) as u8; 32]).collect(),
        })
        .collect();
    let time = |max_tokens: usize| -> Result<f64> {
        let sampling = Sampling { max_tokens, memory: 24 << 30, ..Sampling::default() };
        let started = Instant::now();
        model.sample(&requests, &sampling)?;
        Ok(started.elapsed().as_secs_f64())
    };
    time(4)?;
    let (prefill, whole) = (time(1)?, time(TOKENS)?);
    let rounds = (TOKENS - 1) as f64;
    let round = (whole - prefill) / rounds;
    let cached = model.decoder.spec.cached_per_position() as f64 * model.activation_kind().elt_size_in_bytes() as f64;
    let (p, n) = (PROMPTS as f64, (PROMPTS * RESPONSES) as f64);
    let copied = copy_rate(model.device);
    let bytes = weights(model) + cached * (p * PROMPT as f64 + n * (TOKENS as f64 + 1.0) / 2.0);
    Ok(Row {
        name: "  sampling".into(),
        value: n * TOKENS as f64 / whole,
        unit: "tokens/s",
        note: format!(
            "prompts {:.0} ms, then {:.2} ms a round, {:.0} % of {:.2} TB/s; {:.1} GiB in use",
            prefill * 1e3,
            round * 1e3,
            100.0 * bytes / round / copied,
            copied / 1e12,
            in_use()
        ),
    })
}

fn training(model: &mut Model) -> Result<Row> {
    let pairs: Vec<Pair> =
        (0..PAIRS).map(|i| super::pair(i.to_string(), [0, 1, 2].map(|part| ids(TRAINED, 3 * i + part)))).collect();
    let config = steps::settings(Some(Lora { rank: 16, alpha: 32.0, ..Lora::default() }), 40 << 10);
    let start = Instant::now();
    let clock = || start.elapsed().as_secs_f64();
    let Steps { reference, step, losses } = steps::timed("gpu", model, &pairs, &config, &clock)?;
    let tokens = (BATCH * 4 * TRAINED) as f64;
    Ok(Row {
        name: "  training".into(),
        value: tokens / step,
        unit: "tokens/s",
        note: format!(
            "{:.0} ms a step of {BATCH} pairs; with the reference {:.0} tokens/s; {:.1} GiB in use; loss {:.4} … {:.4}",
            step * 1e3,
            tokens / (step + reference * BATCH as f64 / PAIRS as f64),
            in_use(),
            losses[0],
            losses[1]
        ),
    })
}

/// Bytes of the weights.
fn weights(model: &Model) -> f64 {
    let numbers: usize = model.decoder.parameters().iter().map(|(_, parameter)| parameter.numel()).sum();
    (numbers * model.kind.elt_size_in_bytes()) as f64
}

/// GiB of the device's memory that is taken, what libtorch keeps for later included.
fn in_use() -> f64 {
    device_memory().map_or(f64::NAN, |bytes| bytes as f64 / GIB)
}

/// Made-up text that every vocabulary has.
fn ids(length: usize, salt: usize) -> Vec<u32> {
    (0..length).map(|t| (3 + (salt * 7919 + t * 1047) % 200) as u32).collect()
}
