//! What a decoder looks like, as data: `config.json` → [`Spec`]. A family is a row of a table (`families`), a model a description of its
//! blocks; there is no code per family in the decoder.
//!
//! Comes in: a Hugging Face `config.json`, in transformers 5's form (`rope_parameters`, `dtype`) or the older one (`rope_theta`,
//! `rope_scaling`). Goes out: [`Spec`], or an error that names the field. A field that may change the mathematics and is not
//! understood is an error, never ignored.

pub(in crate::model) mod fields;
mod family;
mod families;
mod rope;
mod blocks;
mod scalars;
mod new;

#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use tch::Tensor;

pub use blocks::BlockSpec;
pub use family::{Biases, Family, HeadNorm, NormKind};
pub use rope::{Rope, Scaling};
pub use scalars::{Caps, Multipliers};

use crate::error::UserError;
use families::FAMILIES;
use family::Place;
use fields::{Fields, SAVED, harmless};

/// A decoder's shape and switches. Sizes in elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// What it is saved as, what its tensors are called, and its kinds of norm.
    pub family: &'static Family,
    /// V: vocabulary entries.
    pub vocabulary: i64,
    /// Width of the residual stream.
    pub hidden: i64,
    /// H: query heads.
    pub heads: i64,
    /// G: key and value heads; divides `heads`.
    pub kv_heads: i64,
    /// D: head size.
    pub head_size: i64,
    /// Width of the feed-forward layer.
    pub feed_forward: i64,
    /// Longest sequence.
    pub positions: i64,
    /// ε of the norms.
    pub norm_eps: f64,
    /// Which matrices have a bias.
    pub biases: BiasSwitches,
    /// The feed-forward layer's activation.
    pub activation: Activation,
    /// Sets of rotary frequencies; blocks say which is theirs.
    pub ropes: Vec<Rope>,
    /// In what they differ from each other.
    pub blocks: Vec<BlockSpec>,
    /// The output projection is the embedding.
    pub tied: bool,
    /// Scalars that are multiplied in; 1 in Llama.
    pub multipliers: Multipliers,
    /// Soft caps, c · tanh(x / c).
    pub caps: Caps,
}

/// Which matrices have a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BiasSwitches {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The attention's output.
    pub output: bool,
    /// The feed-forward layer.
    pub mlp: bool,
}

/// Activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x · σ(x).
    Silu,
    /// x · Φ(x).
    Gelu,
    /// Its approximation by tanh.
    GeluTanh,
}

/// Of the rotary tables (positions × head size): a gigabyte each for sine and cosine, two million positions of 128.
const LARGEST_TABLE: i64 = 1 << 28;

/// Each layer has a description: a count that no model has must not fill the memory with them.
const MOST_LAYERS: i64 = 1 << 16;

impl Spec {
    /// Reads `<dir>/config.json`.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let config = crate::model::read_json(&path)?;
        Self::from_config(&config).with_context(|| format!("reading {}", path.display()))
    }

    /// Interprets a `config.json`.
    pub fn from_config(config: &Value) -> Result<Self> {
        let fields = Fields::new(config);
        let model_type = fields.text("model_type")?;
        let family = FAMILIES.into_iter().find(|f| f.model_type == model_type).ok_or_else(|| {
            let known: Vec<&str> = FAMILIES.iter().map(|f| f.model_type).collect();
            UserError::new(format!("the architecture `{model_type}` (model_type) is not supported"))
                .hint(format!("supported: {}", known.join(", ")))
        })?;
        if fields.get("quantization_config").is_some() {
            return Err(UserError::new("quantization_config: quantised weights are not supported")
                .hint("save the model in f32 or bf16")
                .into());
        }
        let keys = family.keys;
        let layers = fields.size(keys.layers)?;
        if layers > MOST_LAYERS {
            return Err(UserError::new(format!("`{}` = {layers} is more than {MOST_LAYERS}", keys.layers))
                .hint(SAVED)
                .into());
        }
        let hidden = fields.size(keys.hidden)?;
        let heads = fields.size(keys.heads)?;
        let kv_heads = if family.place == Place::Learned { heads } else { kv_heads(&fields, family, heads)? };
        let head_size = head_size(&fields, family, hidden, heads)?;
        let mut positions = fields.size_or(keys.positions, family.positions)?;
        let ropes = blocks::ropes(&fields, family, head_size, positions)?;
        for rope in &ropes {
            if let Scaling::Short { original, .. } = rope.scaling {
                positions = positions.min(original as i64);
            }
        }
        let blocks = blocks::read(&fields, family, layers as usize, head_size)?;
        let (multipliers, caps) = scalars::read(&fields, family, hidden)?;
        let feed_forward = match family.gated {
            true => fields.size(keys.feed_forward)?,
            false => fields.size_or(keys.feed_forward, 4 * hidden)?,
        };
        let spec = Self {
            family,
            vocabulary: fields.size("vocab_size")?,
            hidden,
            heads,
            kv_heads,
            head_size,
            feed_forward,
            positions,
            norm_eps: fields.number_or(keys.norm_eps, family.norm_eps)?,
            biases: biases(&fields, family.biases)?,
            activation: Activation::read(&fields, keys.activation, family.activation)?,
            ropes,
            blocks,
            tied: fields.flag_or("tie_word_embeddings", family.tied)?,
            multipliers,
            caps,
        };
        fields.finish(harmless)?;
        if spec.positions * head_size > LARGEST_TABLE {
            return Err(UserError::new(format!(
                "{} = {} needs tables of more than {} numbers",
                keys.positions, spec.positions, LARGEST_TABLE
            ))
            .hint("lower it in config.json to the longest text that you need")
            .into());
        }
        if spec.norm_eps < 0.0 {
            return Err(UserError::new(format!("{} = {} is negative", keys.norm_eps, spec.norm_eps))
                .hint(SAVED)
                .into());
        }
        Ok(spec)
    }

    /// Refuses ids and lengths for which the decoder has no place: its tensors would be indexed out of range.
    pub fn check_ids(&self, ids: &[u32]) -> Result<()> {
        if let Some(id) = ids.iter().find(|id| i64::from(**id) >= self.vocabulary) {
            return Err(UserError::new(format!(
                "there is a token id {id}, but the model's vocabulary has {} entries",
                self.vocabulary
            ))
            .hint("the tokenizer, or the token ids of responses made elsewhere, belong to another model")
            .into());
        }
        if ids.len() as i64 > self.positions {
            return Err(UserError::new(format!(
                "a text of {} tokens exceeds the model's {} positions",
                ids.len(),
                self.positions
            ))
            .hint("lower sft.max_tokens or generate.max_tokens, or leave the text out")
            .into());
        }
        Ok(())
    }

    /// Numbers in the matrices of all blocks, and in the output projection: a token takes two operations for each.
    pub fn matrix_numbers(&self) -> (i64, i64) {
        let attention = self.hidden * self.head_size * (2 * self.heads + 2 * self.kv_heads);
        let mlp = self.hidden * self.feed_forward * if self.family.gated { 3 } else { 2 };
        (self.blocks.len() as i64 * (attention + mlp), self.hidden * self.vocabulary)
    }

    /// Numbers that the keys and values of one position take in all blocks.
    pub fn cached_per_position(&self) -> i64 {
        2 * self.kv_heads * self.head_size * self.blocks.len() as i64
    }
}

impl Activation {
    /// Of `x`.
    pub fn of(self, x: &Tensor) -> Tensor {
        match self {
            Self::Silu => x.silu(),
            Self::Gelu => x.gelu("none"),
            Self::GeluTanh => x.gelu("tanh"),
        }
    }

    /// Reads the field `key`.
    pub(in crate::model) fn read(fields: &Fields, key: &str, default: &'static str) -> Result<Self> {
        // Gemma's folders carry both names; the older one is not read.
        let _ = fields.get("hidden_act");
        match fields.text_or(key, default)? {
            "silu" | "swish" => Ok(Self::Silu),
            "gelu" => Ok(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Self::GeluTanh),
            other => Err(UserError::new(format!("`{key}` = \"{other}\" is not supported"))
                .hint("supported: silu, gelu, gelu_new, gelu_pytorch_tanh")
                .into()),
        }
    }
}

fn kv_heads(fields: &Fields, family: &Family, heads: i64) -> Result<i64> {
    // Null means as many as query heads, whatever the class's default.
    let given = fields.switched_size("num_key_value_heads", family.kv_heads)?.unwrap_or(heads);
    if heads % given != 0 {
        return Err(UserError::new(format!(
            "num_key_value_heads = {given} does not divide num_attention_heads = {heads}"
        ))
        .hint(SAVED)
        .into());
    }
    Ok(given)
}

fn head_size(fields: &Fields, family: &Family, hidden: i64, heads: i64) -> Result<i64> {
    if family.place == Place::Learned {
        if hidden % heads != 0 {
            let keys = family.keys;
            let message = format!("{} = {heads} does not divide {} = {hidden}", keys.heads, keys.hidden);
            return Err(UserError::new(message).hint(SAVED).into());
        }
        return Ok(hidden / heads);
    }
    let size = fields.switched_size("head_dim", family.head_size)?.unwrap_or(hidden / heads);
    if size < 1 {
        return Err(UserError::new(format!("{heads} heads do not fit into {} = {hidden}", family.keys.hidden))
            .hint(SAVED)
            .into());
    }
    Ok(size)
}

fn biases(fields: &Fields, rule: Biases) -> Result<BiasSwitches> {
    let attention = || fields.flag_or("attention_bias", false);
    let switches = |qkv, output, mlp| BiasSwitches { qkv, output, mlp };
    Ok(match rule {
        Biases::None => switches(false, false, false),
        Biases::Attention => switches(attention()?, attention()?, false),
        Biases::Config => switches(attention()?, attention()?, fields.flag_or("mlp_bias", false)?),
        Biases::Qkv => switches(true, false, false),
        Biases::All => switches(true, true, true),
    })
}
