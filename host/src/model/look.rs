//! Looking at a model folder: what it is ([`inspect`], which reads no weights) and what it computes ([`logits`]), so that anyone can
//! compare it with another tool.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use tch::{Device, Kind, Tensor, no_grad};

use super::decoder::{Decoder, Input};
use super::spec::{Activation, HeadNorm, NormKind, Rope, Scaling, Spec};
use super::text::Text;
use super::weights::Weights;
use super::{check_folder, eos_ids, load_decoder, read_config};
use crate::config::ModelSection;
use crate::error::UserError;

/// What a model folder is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// transformers' class.
    pub architecture: &'static str,
    /// `model_type`.
    pub model_type: &'static str,
    /// Numbers in all tensors; a tied head counts once.
    pub parameters: i64,
    /// Bytes of the tensors, by number format.
    pub stored: BTreeMap<&'static str, usize>,
    /// Blocks.
    pub blocks: usize,
    /// Width of the residual stream.
    pub hidden: i64,
    /// Width of the feed-forward layer.
    pub feed_forward: i64,
    /// Query heads.
    pub heads: i64,
    /// Key and value heads.
    pub kv_heads: i64,
    /// Head size.
    pub head_size: i64,
    /// Vocabulary entries.
    pub vocabulary: i64,
    /// Longest sequence.
    pub positions: i64,
    /// Whether the output projection is the embedding.
    pub tied: bool,
    /// The feed-forward layer's activation.
    pub activation: &'static str,
    /// The norms, and where they stand.
    pub norms: String,
    /// Rotary frequencies, or what there is instead.
    pub rope: Vec<String>,
    /// Blocks whose queries and keys do not turn, from 0.
    pub blocks_without_rope: Vec<usize>,
    /// How far each block sees; null: to the beginning.
    pub windows: Vec<Option<i64>>,
    /// Soft cap of the attention scores.
    pub attention_cap: Option<f64>,
    /// Soft cap of the logits.
    pub logit_cap: Option<f64>,
    /// What an adapter's targets may be called.
    pub linears: Vec<&'static str>,
    /// Entries that the tokenizer needs; null where there is no tokenizer.json.
    pub tokenizer_entries: Option<usize>,
    /// Whether dialogues can be rendered.
    pub chat_template: bool,
    /// Ids that end a response.
    pub eos: Vec<u32>,
    /// What it takes in memory.
    pub memory: Memory,
}

/// Bytes in memory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Memory {
    /// Weights in f32 and in bf16.
    pub weights: [i64; 2],
    /// Sequences at once.
    pub batch: i64,
    /// Tokens of each.
    pub length: i64,
    /// Their keys and values in f32, as they are on a CPU, and in bf16.
    pub cache: [i64; 2],
}

/// Looks at a folder. Every tensor is looked for and its shape compared; the cache is that of `batch` sequences of `length` tokens, all
/// positions where it is left out.
pub fn inspect(dir: &Path, batch: u32, length: Option<u32>) -> Result<Facts> {
    check_folder(dir)?;
    let spec = Spec::read(dir)?;
    let mut weights = Weights::open(dir, Device::Cpu, Kind::Float)?;
    let census =
        Decoder::census(spec.clone(), &mut weights).with_context(|| format!("looking at {}", dir.display()))?;
    let (parameters, stored) = (census.parameters, census.stored);
    let length = length.map_or(spec.positions, i64::from);
    if length > spec.positions {
        return Err(UserError::new(format!("--length {length} exceeds the model's {} positions", spec.positions))
            .hint("give a shorter one")
            .into());
    }
    let text = if dir.join("tokenizer.json").exists() { Some(Text::load(dir)?) } else { None };
    let in_both = |numbers: i64| [numbers.saturating_mul(4), numbers.saturating_mul(2)];
    let cached = spec.cached_per_position().saturating_mul(length).saturating_mul(i64::from(batch));
    let memory = Memory { weights: in_both(parameters), batch: batch.into(), length, cache: in_both(cached) };
    Ok(Facts {
        architecture: spec.family.architecture,
        model_type: spec.family.model_type,
        parameters,
        stored,
        blocks: spec.blocks.len(),
        hidden: spec.hidden,
        feed_forward: spec.feed_forward,
        heads: spec.heads,
        kv_heads: spec.kv_heads,
        head_size: spec.head_size,
        vocabulary: spec.vocabulary,
        positions: spec.positions,
        tied: spec.tied,
        activation: match spec.activation {
            Activation::Silu => "silu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu, by tanh",
        },
        norms: norms(&spec),
        rope: if spec.ropes.is_empty() {
            vec!["learned positions".into()]
        } else {
            spec.ropes.iter().map(rope).collect()
        },
        blocks_without_rope: match spec.ropes.is_empty() {
            true => Vec::new(),
            false => (0..spec.blocks.len()).filter(|&i| spec.blocks[i].rope.is_none()).collect(),
        },
        windows: spec.blocks.iter().map(|block| block.window).collect(),
        attention_cap: spec.caps.attention,
        logit_cap: spec.caps.logits,
        linears: spec.family.names.linears(),
        tokenizer_entries: text.as_ref().map(Text::vocabulary),
        chat_template: text.as_ref().is_some_and(Text::has_template),
        eos: eos_ids(dir, &read_config(dir)?, text.and_then(|text| text.eos_id())).unwrap_or_default(),
        memory,
    })
}

/// Logits `[T][V]` in f32 of a folder's model after each of the ids.
pub fn logits(dir: &Path, ids: &[u32], section: &ModelSection) -> Result<Vec<Vec<f32>>> {
    if ids.is_empty() {
        return Err(UserError::new("there are no token ids").hint("give some, such as --ids 1,2,3").into());
    }
    let (decoder, device, _) = load_decoder(dir, section)?;
    decoder.spec.check_ids(ids)?;
    let t = ids.len() as i64;
    let all: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    let all = Tensor::f_from_slice(&all)?.f_view([1, t])?.f_to_device(device)?;
    let positions = Tensor::arange(t, (Kind::Int64, device)).f_view([1, t])?;
    let input = Input { ids: &all, positions: &positions, mask: None, adapter: false };
    let logits = no_grad(|| decoder.logits(&decoder.hidden(&input))).squeeze_dim(0);
    Ok(Vec::<Vec<f32>>::try_from(&logits)?)
}

fn norms(spec: &Spec) -> String {
    let kind = match spec.family.norm {
        NormKind::Rms => "RMS, w",
        NormKind::RmsPlusOne => "RMS, 1 + w",
        NormKind::Layer => "LayerNorm",
    };
    let [before, after, ..] = spec.family.names.norms;
    let place = match (before, after) {
        (Some(_), Some(_)) => "before and after",
        (Some(_), None) => "before",
        _ => "after",
    };
    let heads = match spec.family.head_norm {
        HeadNorm::None => "",
        HeadNorm::EachHead => "; of queries and keys, each head",
        HeadNorm::Whole => "; of queries and keys, over all heads",
    };
    format!("{kind}, {place} each part of a block, epsilon {}{heads}", spec.norm_eps)
}

fn rope(rope: &Rope) -> String {
    let scaling = match &rope.scaling {
        Scaling::None => String::new(),
        Scaling::Linear(factor) => format!(", linear scaling by {factor}"),
        Scaling::Llama3 { factor, original, .. } => format!(", llama3 scaling by {factor} from {original} positions"),
        Scaling::Yarn { factor, .. } => format!(", yarn scaling by {factor}"),
        Scaling::Short { original, .. } => format!(", longrope's short factors, up to {original} positions"),
    };
    format!("theta {}, {} numbers of a head{scaling}", rope.theta, rope.size)
}
