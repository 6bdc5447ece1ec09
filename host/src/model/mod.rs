//! The model: weights, forward pass, tokenizer, chat template, sampler and optimizer. The only module that touches tch.
//!
//! Comes in: a Hugging Face model folder. Goes out: token ids, log-probabilities and entropies, new model folders. It knows nothing of
//! uncertainty, pairs or plugins.

mod spec;
mod weights;
mod linear;
mod prepacking;
mod attention;
mod block;
mod decoder;
pub mod lora;
mod seams;
mod text;
mod device;
mod shim;
mod batches;
mod pooling;
pub mod encoder;
pub mod tree;
mod chains;
mod logprobs;
mod sampler;
mod memory;
mod adamw;
mod division;
mod recompute;
mod out_of_memory;
mod trainer;
mod checkpoint;
mod look;

#[cfg(test)]
pub mod golden_tests;
#[cfg(test)]
pub mod family_tests;
#[cfg(test)]
mod text_tests;

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

pub use checkpoint::{Checkpoints, Saved, checksum};
pub use decoder::Decoder;
pub use device::{copy_rate, device_memory, matmul_rate, processor_seconds, resident, take_large_pages};
pub use division::Budget;
pub use look::{Facts, Memory, inspect, logits};
pub use memory::SamplingMemory;
pub use out_of_memory::will_be_caught;

pub use sampler::{Request, Sampled, Sampling};
pub use spec::Spec;
pub use text::{PairIds, Text};
pub use trainer::Trainer;
use weights::Weights;

use crate::config::{Lora, ModelSection};
use crate::error::UserError;

/// Files that go with a model unchanged when it is saved elsewhere.
const COMPANIONS: [&str; 5] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
];

/// A causal language model with its tokenizer.
pub struct Model {
    /// Parameters and forward pass.
    pub decoder: Decoder,
    /// Tokenizer and template.
    pub text: Text,
    /// Every id that ends a response.
    pub eos: Vec<u32>,
    /// Where it lives.
    pub device: Device,
    /// Of its weights.
    pub kind: Kind,
    /// The `config.json` it is saved with.
    config: Value,
}

impl Model {
    /// Loads a model folder.
    pub fn load(dir: &Path, section: &ModelSection) -> Result<Self> {
        let (decoder, device, kind) = load_decoder(dir, section)?;
        let text = read_text(dir, section)?;
        let config = read_config(dir)?;
        let eos = eos_ids(dir, &config, text.eos_id()).ok_or_else(|| {
            UserError::new(format!("{} names no end-of-sequence token", dir.display()))
                .hint("set eos_token_id in generation_config.json")
        })?;
        Ok(Self { decoder, text, eos, device, kind, config })
    }

    /// A new model with random weights, for a tokenizer that lies in `dir`. `draw` yields standard normals.
    pub fn random(spec: Spec, dir: &Path, section: &ModelSection, draw: impl FnMut() -> f32) -> Result<Self> {
        let device = device::prepare(section.device, section.threads)?;
        let text = read_text(dir, section)?;
        let eos: Vec<u32> = text.eos_id().into_iter().collect();
        if eos.is_empty() {
            return Err(UserError::new(format!("the tokenizer in {} names no eos_token", dir.display()))
                .hint("set eos_token in tokenizer_config.json")
                .into());
        }
        let config = spec.to_config(&eos, None, "float32");
        let decoder = Decoder::random(spec, device, draw)?;
        Ok(Self { decoder, text, eos, device, kind: Kind::Float, config })
    }

    /// Writes a folder that transformers loads; the tokenizer's files are copied from `companions`.
    pub fn save(&self, dir: &Path, companions: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        for name in COMPANIONS {
            let from = companions.join(name);
            if from.exists() && companions != dir {
                std::fs::copy(&from, dir.join(name)).with_context(|| format!("copying {}", from.display()))?;
            }
        }
        let mut config = self.config.clone();
        let dtype = if self.kind == Kind::BFloat16 { "bfloat16" } else { "float32" };
        for key in ["dtype", "torch_dtype"] {
            if config.get(key).is_some() {
                config[key] = dtype.into();
            }
        }
        let path = dir.join("config.json");
        std::fs::write(&path, serde_json::to_string_pretty(&config)?)
            .with_context(|| format!("writing {}", path.display()))?;
        weights::save(&dir.join("model.safetensors"), &self.decoder.parameters())
    }

    /// Places a new, idle adapter. `draw` yields uniform numbers in [0, 1).
    pub fn attach_new(&mut self, lora: &Lora, draw: impl FnMut() -> f32) -> Result<()> {
        self.decoder.attach(&mut lora::New { lora, device: self.device, draw })?;
        let adapted = self.decoder.adapter();
        let unknown = |target: &&String| !adapted.iter().any(|(name, _)| lora::is_called(name, target));
        let missing: Vec<&str> = lora.targets.iter().filter(unknown).map(String::as_str).collect();
        if adapted.is_empty() || !missing.is_empty() {
            let layers = self.decoder.spec.family.names.linears().join(", ");
            return Err(UserError::new(format!("train.lora.targets: no layer of the model is called {missing:?}"))
                .hint(format!("the layers of this architecture are {layers}"))
                .into());
        }
        Ok(())
    }

    /// Places an adapter that PEFT or we wrote.
    pub fn attach_saved(&mut self, dir: &Path) -> Result<()> {
        let mut saved = lora::Saved::open(dir, self.device)?;
        self.decoder.attach(&mut saved)?;
        saved.finish().with_context(|| format!("reading {}", dir.display()))
    }

    /// Adds the adapter to the weights; it is gone afterwards.
    pub fn merge(&mut self) {
        self.decoder.merge();
    }

    /// Refuses ids and lengths for which the decoder has no place: its tensors would be indexed out of range.
    pub fn check_ids(&self, ids: &[u32]) -> Result<()> {
        self.decoder.spec.check_ids(ids)
    }

    /// How far one token's log-probability may move with the order of summation beyond what it may in f32, nats. By bf16 weights a GPU,
    /// and a CPU with units for their tiles, multiplies in bf16, of which a product keeps 8 bits; what one made may be read on another. On a GPU
    /// the largest of 16 responses of 256 tokens moved by 0.12 √256 in a random model of 8B.
    pub fn rounding(&self) -> f64 {
        if self.kind == Kind::BFloat16 { 0.25 } else { 0.0 }
    }

    /// The format of what goes through it, keys and values among it.
    pub fn activation_kind(&self) -> Kind {
        device::activation_kind(self.kind, self.device)
    }

    /// What training changes: the adapter where there is one, else every parameter.
    pub fn trainable(&self) -> Vec<Tensor> {
        let adapter = self.decoder.adapter();
        if adapter.is_empty() {
            return self.decoder.leaves();
        }
        adapter.iter().flat_map(|(_, low)| [low.a.shallow_clone(), low.b.shallow_clone()]).collect()
    }

    /// Bytes of the weights, and of the gradients, moments and masters of what is trained.
    pub fn training_bytes(&self) -> usize {
        let format = |x: &Tensor| x.kind().elt_size_in_bytes();
        let held: usize = self.decoder.leaves().iter().map(|x| x.numel() * format(x)).sum();
        let trained = |x: &Tensor| x.numel() * (format(x) + if x.kind() == Kind::Float { 8 } else { 12 });
        held + self.trainable().iter().map(trained).sum::<usize>()
    }
}

/// A folder's decoder, and where and as what it was loaded.
fn load_decoder(dir: &Path, section: &ModelSection) -> Result<(Decoder, Device, Kind)> {
    check_folder(dir)?;
    let device = device::prepare(section.device, section.threads)?;
    let kind = device::kind(section.dtype);
    let spec = Spec::read(dir)?;
    let mut weights = Weights::open(dir, device, kind)?;
    let decoder = Decoder::load(spec, &mut weights, device).with_context(|| format!("loading {}", dir.display()))?;
    Ok((decoder, device, kind))
}

/// A folder's tokenizer and chat template, without its weights.
pub fn read_text(dir: &Path, section: &ModelSection) -> Result<Text> {
    let text = Text::load(dir)?;
    Ok(if section.special_tokens_in_messages { text.with_special_tokens_in_messages() } else { text })
}

fn check_folder(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    Err(UserError::new(format!("the model folder {} does not exist", dir.display()))
        .hint("a model folder holds config.json, model.safetensors and tokenizer.json")
        .into())
}

fn read_config(dir: &Path) -> Result<Value> {
    Ok(serde_json::from_str(&std::fs::read_to_string(dir.join("config.json"))?)?)
}

/// A JSON file of a model folder.
fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        UserError::new(format!("cannot read {}: {e}", path.display()))
            .hint("a model folder holds config.json, model.safetensors and tokenizer.json, as transformers' save_pretrained writes them")
    })?;
    Ok(serde_json::from_str(&text).map_err(|e| {
        UserError::new(format!("{} is not JSON: {e}", path.display())).hint("take it from the model's original folder")
    })?)
}

/// All ids that end a response: generation_config.json's, else config.json's, else the tokenizer's.
fn eos_ids(dir: &Path, config: &Value, tokenizers: Option<u32>) -> Option<Vec<u32>> {
    let generation: Value = std::fs::read_to_string(dir.join("generation_config.json"))
        .ok()
        .and_then(|t| serde_json::from_str(&t).ok())
        .unwrap_or(Value::Null);
    let ids = |value: &Value| -> Vec<u32> {
        let one = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
        match value.get("eos_token_id") {
            Some(Value::Array(list)) => list.iter().filter_map(one).collect(),
            Some(v) => one(v).into_iter().collect(),
            None => Vec::new(),
        }
    };
    let found = [ids(&generation), ids(config), tokenizers.into_iter().collect()];
    found.into_iter().find(|list| !list.is_empty())
}
