//! The shape of a model that is trained from nothing, and the `config.json` it is saved with.

use anyhow::Result;
use serde_json::{Value, json};

use super::families::{GRANITE, LLAMA};
use super::family::Scalars;
use super::rope::{Rope, Scaling};
use super::scalars::{Caps, Multipliers};
use super::{Activation, BiasSwitches, BlockSpec, Spec};
use crate::config::NewModel;

impl Spec {
    /// The shape of a new model, as `[sft.model]` describes it.
    pub fn new_model(new: &NewModel, vocabulary: usize) -> Result<Self> {
        let hidden = i64::try_from(new.hidden)?;
        let heads = i64::try_from(new.heads)?;
        let head_size = hidden / heads;
        let embedding = if new.scale_embedding { (hidden as f64).sqrt() } else { 1.0 };
        let block = BlockSpec { window: None, rope: Some(0), scale: (head_size as f64).powf(-0.5) };
        Ok(Self {
            family: if new.scale_embedding { &GRANITE } else { &LLAMA },
            vocabulary: i64::try_from(vocabulary)?,
            hidden,
            heads,
            kv_heads: heads,
            head_size,
            feed_forward: i64::try_from(new.feed_forward)?,
            positions: i64::try_from(new.positions)?,
            norm_eps: 1e-6,
            biases: BiasSwitches { qkv: false, output: false, mlp: false },
            activation: Activation::Silu,
            ropes: vec![Rope { theta: 10_000.0, size: head_size, scaling: Scaling::None, factor: 1.0 }],
            blocks: vec![block; new.layers],
            tied: true,
            multipliers: Multipliers { embedding, ..Multipliers::ONE },
            caps: Caps { attention: None, logits: None },
        })
    }

    /// The `config.json` of a [`Self::new_model`], loadable by transformers 4 and 5.
    pub fn to_config(&self, eos: &[u32], pad: Option<u32>, dtype: &str) -> Value {
        let mut config = json!({
            "architectures": [self.family.architecture],
            "model_type": self.family.model_type,
            "attention_bias": false,
            "mlp_bias": false,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.feed_forward,
            "max_position_embeddings": self.positions,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.blocks.len(),
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_size,
            "rms_norm_eps": self.norm_eps,
            "rope_theta": self.ropes.first().map(|rope| rope.theta),
            "rope_scaling": null,
            "tie_word_embeddings": self.tied,
            "torch_dtype": dtype,
            "vocab_size": self.vocabulary,
            "bos_token_id": null,
            "eos_token_id": eos.first(),
            "pad_token_id": pad,
        });
        if self.family.scalars == Scalars::Multipliers {
            config["embedding_multiplier"] = json!(self.multipliers.embedding);
            config["attention_multiplier"] = json!(self.blocks.first().map(|block| block.scale));
            config["residual_multiplier"] = json!(self.multipliers.residual);
            config["logits_scaling"] = json!(self.multipliers.logits);
        }
        config
    }
}
