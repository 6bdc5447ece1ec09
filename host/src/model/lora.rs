//! Low-rank adapters (LoRA, Hu et al. 2021) in PEFT's layout: `W x + (alpha / r) B (A x)`, or alpha / √r with rsLoRA.
//!
//! Read from and written to `adapter_config.json` and `adapter_model.safetensors`, so that PEFT loads ours and we load PEFT's.

use std::cell::Cell;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::weights::{self, Weights};
use crate::config::Lora;
use crate::error::UserError;

/// The change to one layer.
pub struct Low {
    /// A `[r, in]`.
    pub a: Tensor,
    /// B `[out, r]`.
    pub b: Tensor,
    scale: f64,
    /// Share of the inputs dropped: above 0 only while a trainer holds the adapter.
    pub dropout: Cell<f64>,
}

impl Low {
    /// The scaled `B A x`, in the format of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let dropped = match self.dropout.get() {
            0.0 => x.shallow_clone(),
            share => x.dropout(share, true),
        };
        let kind = x.kind();
        let inner = dropped.linear::<Tensor>(&self.a.to_kind(kind), None) * self.scale;
        inner.linear::<Tensor>(&self.b.to_kind(kind), None)
    }

    /// The same as a matrix `[out, in]`, in f32.
    pub fn matrix(&self) -> Tensor {
        self.b.matmul(&self.a) * self.scale
    }
}

/// alpha / r, or alpha / √r with rsLoRA.
fn scale(alpha: f64, rank: f64, rslora: bool) -> f64 {
    alpha / if rslora { rank.sqrt() } else { rank }
}

/// Where the matrices of a layer come from.
pub trait Adapter {
    /// The change to the layer `name` (`model.layers.0.self_attn.q_proj`) of shape `[out, input]`; none where it is not adapted.
    fn low(&mut self, name: &str, out: i64, input: i64) -> Result<Option<Low>>;
}

/// Whether a layer is meant by a target, as PEFT has it: by the end of its name, from a dot on.
pub fn is_called(layer: &str, target: &str) -> bool {
    layer.strip_suffix(target).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// A new adapter, in f32 whatever the model's format: A uniform in ±1/√in (PEFT's Kaiming with a = √5), B zero, so that it changes nothing at first.
pub struct New<'a, F> {
    /// Rank, alpha and targets.
    pub lora: &'a Lora,
    /// Where it lives.
    pub device: Device,
    /// Uniform numbers in [0, 1).
    pub draw: F,
}

impl<F: FnMut() -> f32> Adapter for New<'_, F> {
    fn low(&mut self, name: &str, out: i64, input: i64) -> Result<Option<Low>> {
        if !self.lora.targets.iter().any(|target| is_called(name, target)) {
            return Ok(None);
        }
        let rank = i64::try_from(self.lora.rank)?;
        let bound = (1.0 / (input as f64).sqrt()) as f32;
        let values: Vec<f32> = (0..rank * input).map(|_| ((self.draw)() * 2.0 - 1.0) * bound).collect();
        Ok(Some(Low {
            a: Tensor::from_slice(&values).view([rank, input]).to_device(self.device),
            b: Tensor::zeros([out, rank], (Kind::Float, self.device)),
            scale: scale(self.lora.alpha, self.lora.rank as f64, self.lora.rslora),
            dropout: Cell::new(0.0),
        }))
    }
}

/// An adapter folder that PEFT or we wrote.
pub struct Saved {
    weights: Weights,
    rank: i64,
    scale: f64,
}

impl Saved {
    /// Opens the folder; features that change the mathematics beyond rank, alpha, rsLoRA and targets are refused by name.
    pub fn open(dir: &Path, device: Device) -> Result<Self> {
        let path = dir.join("adapter_config.json");
        let text = std::fs::read_to_string(&path)
            .map_err(|e| UserError::new(format!("cannot read {}: {e}", path.display())))?;
        let config: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| UserError::new(format!("{} is not JSON: {e}", path.display())))?;
        // `fan_in_fan_out` says how PEFT would merge into GPT-2's transposed matrices; A and B are the same with it and without.
        for field in ["use_dora", "lora_bias"] {
            if config.get(field).and_then(serde_json::Value::as_bool) == Some(true) {
                return Err(UserError::new(format!("{}: `{field}` is not supported", path.display())).into());
            }
        }
        for field in ["alpha_pattern", "rank_pattern"] {
            if config.get(field).and_then(serde_json::Value::as_object).is_some_and(|map| !map.is_empty()) {
                return Err(UserError::new(format!("{}: `{field}` is not supported", path.display())).into());
            }
        }
        let number = |key: &str| {
            config.get(key).and_then(serde_json::Value::as_f64).filter(|v| *v > 0.0).ok_or_else(|| {
                UserError::new(format!("{}: `{key}` is missing or not a positive number", path.display()))
            })
        };
        let rslora = config.get("use_rslora").and_then(serde_json::Value::as_bool) == Some(true);
        let (rank, alpha) = (number("r")?, number("lora_alpha")?);
        let weights = Weights::open_files(vec![dir.join("adapter_model.safetensors")], device, Kind::Float)?;
        Ok(Self { weights, rank: rank as i64, scale: scale(alpha, rank, rslora) })
    }

    /// An error where the file held matrices of layers that the model does not have.
    pub fn finish(&self) -> Result<()> {
        self.weights.finish(|_| false)
    }
}

impl Adapter for Saved {
    fn low(&mut self, name: &str, out: i64, input: i64) -> Result<Option<Low>> {
        let (a, b) = (peft_name(name, "A"), peft_name(name, "B"));
        if !self.weights.has(&a) {
            return Ok(None);
        }
        Ok(Some(Low {
            a: self.weights.take(&a, &[self.rank, input])?,
            b: self.weights.take(&b, &[out, self.rank])?,
            scale: self.scale,
            dropout: Cell::new(0.0),
        }))
    }
}

/// Writes the adapter of a decoder.
pub fn save(dir: &Path, lora: &Lora, base: &str, layers: &[(String, &Low)]) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let config = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": lora.targets,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "modules_to_save": null,
        "use_dora": false,
        "use_rslora": lora.rslora,
    });
    let path = dir.join("adapter_config.json");
    std::fs::write(&path, serde_json::to_string_pretty(&config)?)
        .with_context(|| format!("writing {}", path.display()))?;
    let mut tensors = Vec::new();
    for (name, low) in layers {
        tensors.push((peft_name(name, "A"), low.a.shallow_clone()));
        tensors.push((peft_name(name, "B"), low.b.shallow_clone()));
    }
    weights::save(&dir.join("adapter_model.safetensors"), &tensors)
}

fn peft_name(layer: &str, which: &str) -> String {
    format!("base_model.model.{layer}.lora_{which}.weight")
}
