//! `udasa model inspect` and `udasa model logits`: a model folder, for people or as JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use crate::config::{DeviceChoice, Dtype, ModelSection};
use crate::model::encoder::{self, EncoderFacts};
use crate::model::{self, Facts};
use crate::progress::size;

#[derive(Debug, Subcommand)]
pub(super) enum ModelCommand {
    /// Show what a model folder holds and how much memory it takes; reads no weights
    Inspect {
        /// A Hugging Face model folder
        folder: PathBuf,
        /// Sequences at once, for the memory of keys and values
        #[arg(long, default_value_t = 1)]
        batch: u32,
        /// Tokens of each sequence; all positions where left out
        #[arg(long)]
        length: Option<u32>,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Compute the logits after each of some token ids, to compare with another tool
    Logits {
        /// A Hugging Face model folder
        folder: PathBuf,
        /// The token ids, such as 1,2,3
        #[arg(long, value_delimiter = ',', required = true)]
        ids: Vec<u32>,
        /// Keep the weights in bf16 instead of f32
        #[arg(long)]
        bf16: bool,
        /// Compute on the first CUDA device instead of the CPU
        #[arg(long)]
        cuda: bool,
        /// All logits as JSON, instead of the likeliest tokens
        #[arg(long)]
        json: bool,
    },
}

/// What the command prints.
pub(super) fn execute(command: ModelCommand) -> Result<String> {
    match command {
        ModelCommand::Inspect { folder, json, .. } if encoder::is_encoder(&folder) => {
            let facts = encoder::inspect(&folder)?;
            Ok(if json { format!("{:#}\n", json!(facts)) } else { encoder_card(&facts) })
        }
        ModelCommand::Inspect { folder, batch, length, json } => {
            let facts = model::inspect(&folder, batch, length)?;
            Ok(if json { format!("{:#}\n", json!(facts)) } else { card(&facts) })
        }
        ModelCommand::Logits { folder, ids, bf16, cuda, json } => {
            let section = ModelSection {
                device: if cuda { DeviceChoice::Cuda } else { DeviceChoice::Cpu },
                dtype: if bf16 { Dtype::Bf16 } else { Dtype::F32 },
                ..ModelSection::default()
            };
            let logits = model::logits(&folder, &ids, &section)?;
            Ok(if json { format!("{}\n", json!({"ids": ids, "logits": logits})) } else { likeliest(&ids, &logits) })
        }
    }
}

fn encoder_card(facts: &EncoderFacts) -> String {
    let rows = [
        ("encoder", facts.model_type.to_owned()),
        ("parameters", crate::sandbox::grouped(facts.parameters.unsigned_abs())),
        ("stored as", stored(&facts.stored)),
        ("blocks", format!("{} of width {}, feed-forward {}", facts.blocks, facts.hidden, facts.feed_forward)),
        ("heads", format!("{} of {}", facts.heads, facts.hidden / facts.heads)),
        ("vocabulary", facts.vocabulary.to_string()),
        ("positions", facts.positions.clone()),
        ("text", format!("up to {} tokens", facts.longest)),
        ("embedding", format!("{} numbers, {}", facts.hidden, facts.pooling.what())),
        ("outputs", facts.labels.as_ref().map_or("none: no classification head".into(), |labels| labels.join(", "))),
        ("weights", format!("{} in f32", size(facts.memory.unsigned_abs()))),
    ];
    lines(&rows)
}

fn card(facts: &Facts) -> String {
    let memory = &facts.memory;
    let both =
        |[f32, bf16]: [i64; 2]| format!("{} in f32, {} in bf16", size(f32.unsigned_abs()), size(bf16.unsigned_abs()));
    let eos: Vec<String> = facts.eos.iter().map(u32::to_string).collect();
    let caps = [("attention scores", facts.attention_cap), ("logits", facts.logit_cap)]
        .iter()
        .filter_map(|(name, cap)| cap.map(|cap| format!("{name} at {cap}")))
        .collect::<Vec<_>>();
    let mut rows = vec![
        ("architecture", format!("{} ({})", facts.architecture, facts.model_type)),
        ("parameters", crate::sandbox::grouped(facts.parameters.unsigned_abs())),
        ("stored as", stored(&facts.stored)),
        (
            "blocks",
            format!(
                "{} of width {}, feed-forward {} ({})",
                facts.blocks, facts.hidden, facts.feed_forward, facts.activation
            ),
        ),
        ("heads", format!("{} of {}, {} for keys and values", facts.heads, facts.head_size, facts.kv_heads)),
        ("norms", facts.norms.clone()),
        (
            "vocabulary",
            format!("{}{}", facts.vocabulary, if facts.tied { ", output tied to the embedding" } else { "" }),
        ),
        ("positions", facts.positions.to_string()),
        ("rope", facts.rope.join("; in windows: ")),
    ];
    if !facts.blocks_without_rope.is_empty() {
        rows.push(("no rope", format!("in blocks {}", list(&facts.blocks_without_rope))));
    }
    rows.push(("windows", windows(&facts.windows)));
    if !caps.is_empty() {
        rows.push(("soft caps", caps.join(", ")));
    }
    rows.extend([
        ("linears", facts.linears.join(", ")),
        ("tokenizer", facts.tokenizer_entries.map_or("none".into(), |n| format!("{n} entries"))),
        ("chat template", if facts.chat_template { "yes" } else { "no" }.into()),
        ("eos ids", if eos.is_empty() { "none".into() } else { eos.join(", ") }),
        ("weights", both(memory.weights)),
        ("keys, values", format!("{} on a GPU, for {} x {} tokens", both(memory.cache), memory.batch, memory.length)),
    ]);
    lines(&rows)
}

fn lines(rows: &[(&str, String)]) -> String {
    rows.iter().map(|(key, value)| format!("{key:<13}  {value}\n")).collect()
}

/// `f32 (86.6 MiB)`, for each format.
fn stored(bytes: &BTreeMap<&str, usize>) -> String {
    bytes.iter().map(|(name, bytes)| format!("{name} ({})", size(*bytes as u64))).collect::<Vec<_>>().join(", ")
}

/// `all blocks see everything`, or the width and which blocks it narrows.
fn windows(windows: &[Option<i64>]) -> String {
    let narrow: Vec<usize> = (0..windows.len()).filter(|&i| windows[i].is_some()).collect();
    match narrow.first().and_then(|&i| windows[i]) {
        None => "none".into(),
        Some(width) if narrow.len() == windows.len() => format!("{width} positions, in all blocks"),
        Some(width) => format!("{width} positions, in blocks {}", list(&narrow)),
    }
}

fn list(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// For each id the five likeliest next ones.
fn likeliest(ids: &[u32], logits: &[Vec<f32>]) -> String {
    let mut text = String::new();
    for (t, (id, row)) in ids.iter().zip(logits).enumerate() {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
        let best: Vec<String> = order.iter().take(5).map(|&v| format!("{v} ({:.5})", row[v])).collect();
        text.push_str(&format!("{t:>4}  after {id:<8}{}\n", best.join("  ")));
    }
    text
}
