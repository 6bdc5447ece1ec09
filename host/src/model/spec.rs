//! What a decoder looks like, as data: `config.json` → [`Spec`]. Every family is a set of switches; there is no class per family.
//!
//! Comes in: a Hugging Face `config.json`, in transformers 5's form (`rope_parameters`, `dtype`) or the older one (`rope_theta`,
//! `rope_scaling`). Goes out: [`Spec`], or an error that names the field. A field that changes the mathematics and is not
//! understood is an error, never ignored.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::config::NewModel;
use crate::error::UserError;

/// A decoder's shape and switches. Sizes in elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// `model_type` it is saved under.
    pub family: Family,
    /// V: vocabulary entries.
    pub vocabulary: i64,
    /// Width of the residual stream.
    pub hidden: i64,
    /// Blocks.
    pub layers: usize,
    /// H: query heads.
    pub heads: i64,
    /// Key and value heads; divides `heads`.
    pub kv_heads: i64,
    /// D: head size.
    pub head_size: i64,
    /// Width of the feed-forward layer.
    pub feed_forward: i64,
    /// Longest sequence.
    pub positions: i64,
    /// ε of the RMS norms.
    pub norm_eps: f64,
    /// Rotary positions.
    pub rope: Rope,
    /// The output projection is the embedding.
    pub tied: bool,
    /// Granite's four multipliers; 1, 1/√D, 1 and 1 in Llama.
    pub multipliers: Multipliers,
}

/// Families that load today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Llama 2 and 3 and what shares their shape.
    Llama,
    /// Llama with four scalar multipliers.
    Granite,
}

/// Rotary position embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// Llama 3's stretching of low frequencies.
    pub llama3: Option<Llama3Scaling>,
    /// All frequencies divided by this (`linear`); 1 for none.
    pub linear: f64,
}

/// `rope_type = "llama3"`.
#[derive(Debug, Clone, PartialEq)]
pub struct Llama3Scaling {
    /// How much low frequencies are slowed.
    pub factor: f64,
    /// Wavelengths above original / this are slowed fully.
    pub low: f64,
    /// Wavelengths below original / this are untouched.
    pub high: f64,
    /// Positions the model was first trained on.
    pub original: f64,
}

/// Scalars that Granite multiplies in.
#[derive(Debug, Clone, PartialEq)]
pub struct Multipliers {
    /// Of the embedding.
    pub embedding: f64,
    /// Of the attention scores, before the softmax.
    pub attention: f64,
    /// Of each block's two contributions to the residual stream.
    pub residual: f64,
    /// The logits are divided by this.
    pub logits: f64,
}

impl Spec {
    /// Reads `<dir>/config.json`.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|e| {
            UserError::new(format!("cannot read {}: {e}", path.display()))
                .hint("a model folder holds config.json, model.safetensors and tokenizer.json, as transformers' save_pretrained writes them")
        })?;
        let config: Value = serde_json::from_str(&text)
            .map_err(|e| UserError::new(format!("{} is not JSON: {e}", path.display())).hint(SAVED))?;
        Self::from_config(&config).with_context(|| format!("reading {}", path.display()))
    }

    /// Interprets a `config.json`.
    pub fn from_config(config: &Value) -> Result<Self> {
        let fields = Fields(config);
        let family = match fields.text("model_type")? {
            "llama" => Family::Llama,
            "granite" => Family::Granite,
            other => {
                return Err(UserError::new(format!("the architecture `{other}` (model_type) is not supported"))
                    .hint("supported: llama, granite")
                    .into());
            }
        };
        fields.only("hidden_act", &["silu"])?;
        fields.off("attention_bias")?;
        fields.off("mlp_bias")?;
        if config.get("quantization_config").is_some_and(|v| !v.is_null()) {
            return Err(UserError::new("quantization_config: quantised weights are not supported")
                .hint("save the model in f32 or bf16")
                .into());
        }
        let hidden = fields.size("hidden_size")?;
        let heads = fields.size("num_attention_heads")?;
        let kv_heads = fields.size_or("num_key_value_heads", heads)?;
        if kv_heads == 0 || heads % kv_heads != 0 {
            return Err(UserError::new(format!(
                "num_key_value_heads = {kv_heads} does not divide num_attention_heads = {heads}"
            ))
            .hint(SAVED)
            .into());
        }
        let head_size = fields.size_or("head_dim", hidden / heads)?;
        if head_size % 2 != 0 {
            return Err(UserError::new(format!("head_dim = {head_size} is odd; rotary positions need pairs"))
                .hint(SAVED)
                .into());
        }
        let multipliers = match family {
            Family::Llama => Multipliers::llama(head_size),
            Family::Granite => Multipliers {
                embedding: fields.number_or("embedding_multiplier", 1.0)?,
                attention: fields.number_or("attention_multiplier", 1.0)?,
                residual: fields.number_or("residual_multiplier", 1.0)?,
                logits: fields.number_or("logits_scaling", 1.0)?,
            },
        };
        let spec = Self {
            family,
            vocabulary: fields.size("vocab_size")?,
            hidden,
            layers: usize::try_from(fields.size("num_hidden_layers")?)?,
            heads,
            kv_heads,
            head_size,
            feed_forward: fields.size("intermediate_size")?,
            positions: fields.size_or("max_position_embeddings", 2048)?,
            norm_eps: fields.number_or("rms_norm_eps", 1e-6)?,
            rope: Rope::read(&fields)?,
            tied: config.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(false),
            multipliers,
        };
        if spec.positions * head_size > LARGEST_TABLE {
            return Err(UserError::new(format!(
                "max_position_embeddings = {} needs tables of more than {} numbers",
                spec.positions, LARGEST_TABLE
            ))
            .hint("lower it in config.json to the longest text that you need")
            .into());
        }
        if spec.norm_eps < 0.0 {
            return Err(UserError::new(format!("rms_norm_eps = {} is negative", spec.norm_eps)).hint(SAVED).into());
        }
        if spec.rope.frequencies(head_size).iter().any(|f| !f.is_finite() || *f <= 0.0) {
            return Err(UserError::new("the rope parameters give frequencies that are no positive numbers")
                .hint(SAVED)
                .into());
        }
        Ok(spec)
    }

    /// The shape of a new model, as `[sft.model]` describes it.
    pub fn new_model(new: &NewModel, vocabulary: usize) -> Result<Self> {
        let hidden = i64::try_from(new.hidden)?;
        let heads = i64::try_from(new.heads)?;
        let head_size = hidden / heads;
        let mut multipliers = Multipliers::llama(head_size);
        if new.scale_embedding {
            multipliers.embedding = (hidden as f64).sqrt();
        }
        Ok(Self {
            family: if new.scale_embedding { Family::Granite } else { Family::Llama },
            vocabulary: i64::try_from(vocabulary)?,
            hidden,
            layers: new.layers,
            heads,
            kv_heads: heads,
            head_size,
            feed_forward: i64::try_from(new.feed_forward)?,
            positions: i64::try_from(new.positions)?,
            norm_eps: 1e-6,
            rope: Rope { theta: 10_000.0, llama3: None, linear: 1.0 },
            tied: true,
            multipliers,
        })
    }

    /// The `config.json` of a new model, loadable by transformers 4 and 5.
    pub fn to_config(&self, eos: &[u32], pad: Option<u32>, dtype: &str) -> Value {
        let (architecture, model_type) = match self.family {
            Family::Llama => ("LlamaForCausalLM", "llama"),
            Family::Granite => ("GraniteForCausalLM", "granite"),
        };
        let mut config = json!({
            "architectures": [architecture],
            "model_type": model_type,
            "attention_bias": false,
            "mlp_bias": false,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.feed_forward,
            "max_position_embeddings": self.positions,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_size,
            "rms_norm_eps": self.norm_eps,
            "rope_theta": self.rope.theta,
            "rope_scaling": null,
            "tie_word_embeddings": self.tied,
            "torch_dtype": dtype,
            "vocab_size": self.vocabulary,
            "bos_token_id": null,
            "eos_token_id": eos.first(),
            "pad_token_id": pad,
        });
        if self.family == Family::Granite {
            config["embedding_multiplier"] = json!(self.multipliers.embedding);
            config["attention_multiplier"] = json!(self.multipliers.attention);
            config["residual_multiplier"] = json!(self.multipliers.residual);
            config["logits_scaling"] = json!(self.multipliers.logits);
        }
        config
    }
}

impl Multipliers {
    fn llama(head_size: i64) -> Self {
        Self { embedding: 1.0, attention: (head_size as f64).powf(-0.5), residual: 1.0, logits: 1.0 }
    }
}

impl Rope {
    fn read(fields: &Fields) -> Result<Self> {
        let none = Value::Null;
        let modern = fields.0.get("rope_parameters").filter(|v| v.is_object());
        let scaling = modern.or_else(|| fields.0.get("rope_scaling")).unwrap_or(&none);
        let inner = Fields(scaling);
        let theta = if modern.is_some() {
            inner.number_or("rope_theta", 10_000.0)?
        } else {
            fields.number_or("rope_theta", 10_000.0)?
        };
        let kind =
            scaling.get("rope_type").or_else(|| scaling.get("type")).and_then(Value::as_str).unwrap_or("default");
        let mut rope = Self { theta, llama3: None, linear: 1.0 };
        match kind {
            "default" => {}
            "linear" => rope.linear = inner.number("factor")?,
            "llama3" => {
                rope.llama3 = Some(Llama3Scaling {
                    factor: inner.number("factor")?,
                    low: inner.number("low_freq_factor")?,
                    high: inner.number("high_freq_factor")?,
                    original: inner.number("original_max_position_embeddings")?,
                });
            }
            other => {
                return Err(UserError::new(format!("rope_type = \"{other}\" is not supported"))
                    .hint("supported: default, linear, llama3")
                    .into());
            }
        }
        Ok(rope)
    }

    /// Angular frequency of each of the D/2 pairs, in radians per position.
    pub fn frequencies(&self, head_size: i64) -> Vec<f64> {
        (0..head_size / 2)
            .map(|i| {
                let f = self.theta.powf(-2.0 * i as f64 / head_size as f64) / self.linear;
                self.llama3.as_ref().map_or(f, |s| s.scale(f))
            })
            .collect()
    }
}

impl Llama3Scaling {
    /// transformers' `_compute_llama3_parameters`: long wavelengths are slowed by `factor`, short ones kept, those between blended.
    fn scale(&self, f: f64) -> f64 {
        let wavelength = 2.0 * std::f64::consts::PI / f;
        if wavelength > self.original / self.low {
            f / self.factor
        } else if wavelength < self.original / self.high {
            f
        } else {
            let smooth = (self.original / wavelength - self.low) / (self.high - self.low);
            (1.0 - smooth) * f / self.factor + smooth * f
        }
    }
}

/// Of the rotary tables (positions × head size): a gigabyte each for sine and cosine, two million positions of 128.
const LARGEST_TABLE: i64 = 1 << 28;

/// The cure for a `config.json` that cannot be right.
const SAVED: &str = "take config.json from the model's original folder, as transformers' save_pretrained wrote it";

/// Typed access with errors that name the field.
struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    fn text(&self, key: &str) -> Result<&'a str> {
        self.0
            .get(key)
            .and_then(Value::as_str)
            .ok_or_else(|| UserError::new(format!("`{key}` is missing or not a string")).hint(SAVED).into())
    }

    fn number(&self, key: &str) -> Result<f64> {
        self.0
            .get(key)
            .and_then(Value::as_f64)
            .filter(|v| v.is_finite())
            .ok_or_else(|| UserError::new(format!("`{key}` is missing or not a number")).hint(SAVED).into())
    }

    fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        if self.0.get(key).is_none_or(Value::is_null) { Ok(default) } else { self.number(key) }
    }

    fn size(&self, key: &str) -> Result<i64> {
        // Above 2³¹ no real size lies, and products of two stay within i64.
        self.0.get(key).and_then(Value::as_i64).filter(|v| (1..1 << 31).contains(v)).ok_or_else(|| {
            UserError::new(format!("`{key}` is missing or not a positive whole number")).hint(SAVED).into()
        })
    }

    fn size_or(&self, key: &str, default: i64) -> Result<i64> {
        if self.0.get(key).is_none_or(Value::is_null) { Ok(default) } else { self.size(key) }
    }

    fn off(&self, key: &str) -> Result<()> {
        match self.0.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => Ok(()),
            Some(v) => Err(UserError::new(format!("`{key}` = {v} is not supported"))
                .hint("of this family, models without it can be loaded")
                .into()),
        }
    }

    fn only(&self, key: &str, allowed: &[&str]) -> Result<()> {
        match self.0.get(key).and_then(Value::as_str) {
            Some(v) if !allowed.contains(&v) => Err(UserError::new(format!("`{key}` = \"{v}\" is not supported"))
                .hint(format!("supported: {}", allowed.join(", ")))
                .into()),
            _ => Ok(()),
        }
    }
}
