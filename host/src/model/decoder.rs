//! The decoder: parameters and forward pass, driven by a [`Spec`].
//!
//! Shape letters: `B` rows, `T` positions, `C` hidden, `H` query heads, `G` key/value heads, `D` head size, `S` cached positions,
//! `V` vocabulary. Nothing here knows of tokens' meaning, files' places or training.

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::lora::{Adapter, Low};
use super::spec::Spec;
use super::weights::Weights;

/// A causal language model.
pub struct Decoder {
    /// Its shape.
    pub spec: Spec,
    embedding: Tensor, // [V, C]
    blocks: Vec<Block>,
    norm: Tensor,         // [C]
    head: Option<Tensor>, // [V, C]; none where tied
    cos: Tensor,          // [positions, D]
    sin: Tensor,          // [positions, D]
}

struct Block {
    attention_norm: Tensor,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    mlp_norm: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// A matrix, and the low-rank change to it where there is an adapter.
pub struct Linear {
    weight: Tensor, // [out, in]
    low: Option<Low>,
}

/// Keys and values of one block: `[B, G, S, D]` each.
pub type KeyValue = (Tensor, Tensor);

/// What goes through the decoder at once.
pub struct Input<'a> {
    /// Token ids `[B, T]`.
    pub ids: &'a Tensor,
    /// Rotary positions `[B, T]`.
    pub positions: &'a Tensor,
    /// Who may see whom, bool `[B, 1, T, T]`; none: every position sees itself and those before it.
    pub mask: Option<&'a Tensor>,
    /// Whether the adapter, if there is one, takes part.
    pub adapter: bool,
}

impl Linear {
    fn load(weights: &mut Weights, name: &str, out: i64, input: i64) -> Result<Self> {
        Ok(Self { weight: weights.take(&format!("{name}.weight"), &[out, input])?, low: None })
    }

    fn forward(&self, x: &Tensor, adapter: bool) -> Tensor {
        let y = x.linear::<Tensor>(&self.weight, None);
        match &self.low {
            Some(low) if adapter => y + low.forward(x),
            _ => y,
        }
    }
}

impl Decoder {
    /// Reads every parameter by its Hugging Face name.
    pub fn load(spec: Spec, weights: &mut Weights, device: Device) -> Result<Self> {
        let (c, d) = (spec.hidden, spec.head_size);
        let (q, kv) = (spec.heads * d, spec.kv_heads * d);
        let embedding = weights.take("model.embed_tokens.weight", &[spec.vocabulary, c])?;
        // No capacity for what config.json only claims: the first missing tensor ends the loop.
        let mut blocks = Vec::new();
        for i in 0..spec.layers {
            let at = |part: &str| format!("model.layers.{i}.{part}");
            blocks.push(Block {
                attention_norm: weights.take(&at("input_layernorm.weight"), &[c])?,
                q: Linear::load(weights, &at("self_attn.q_proj"), q, c)?,
                k: Linear::load(weights, &at("self_attn.k_proj"), kv, c)?,
                v: Linear::load(weights, &at("self_attn.v_proj"), kv, c)?,
                o: Linear::load(weights, &at("self_attn.o_proj"), c, q)?,
                mlp_norm: weights.take(&at("post_attention_layernorm.weight"), &[c])?,
                gate: Linear::load(weights, &at("mlp.gate_proj"), spec.feed_forward, c)?,
                up: Linear::load(weights, &at("mlp.up_proj"), spec.feed_forward, c)?,
                down: Linear::load(weights, &at("mlp.down_proj"), c, spec.feed_forward)?,
            });
        }
        let norm = weights.take("model.norm.weight", &[c])?;
        let head = if spec.tied { None } else { Some(weights.take("lm_head.weight", &[spec.vocabulary, c])?) };
        // A tied head may be saved beside the embedding; old Llama folders carry their frequencies.
        let tied = spec.tied;
        weights.finish(|name| (tied && name == "lm_head.weight") || name.ends_with("rotary_emb.inv_freq"))?;
        let (cos, sin) = rotary_tables(&spec, device, embedding.kind());
        Ok(Self { spec, embedding, blocks, norm, head, cos, sin })
    }

    /// A new model: matrices from N(0, 0.6² / fan-in), the embedding from N(0, 0.02²), norms at 1. `draw` yields standard normals.
    pub fn random(spec: Spec, device: Device, mut draw: impl FnMut() -> f32) -> Self {
        let mut normal = |shape: &[i64], deviation: f64| {
            let n = shape.iter().product::<i64>() as usize;
            let values: Vec<f32> = (0..n).map(|_| draw() * deviation as f32).collect();
            Tensor::from_slice(&values).view(shape).to_device(device)
        };
        let c = spec.hidden;
        let (q, kv, f) = (spec.heads * spec.head_size, spec.kv_heads * spec.head_size, spec.feed_forward);
        let ones = || Tensor::ones([c], (Kind::Float, device));
        let embedding = normal(&[spec.vocabulary, c], 0.02);
        let mut linear =
            |out: i64, input: i64| Linear { weight: normal(&[out, input], 0.6 / (input as f64).sqrt()), low: None };
        let blocks = (0..spec.layers)
            .map(|_| Block {
                attention_norm: ones(),
                q: linear(q, c),
                k: linear(kv, c),
                v: linear(kv, c),
                o: linear(c, q),
                mlp_norm: ones(),
                gate: linear(f, c),
                up: linear(f, c),
                down: linear(c, f),
            })
            .collect();
        let head = (!spec.tied).then(|| linear(spec.vocabulary, c).weight);
        let (cos, sin) = rotary_tables(&spec, device, Kind::Float);
        Self { norm: ones(), embedding, blocks, head, cos, sin, spec }
    }

    /// Every parameter of the model itself, with its Hugging Face name.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        let mut all = vec![("model.embed_tokens.weight".to_owned(), self.embedding.shallow_clone())];
        for (i, block) in self.blocks.iter().enumerate() {
            let at = |part: &str| format!("model.layers.{i}.{part}.weight");
            all.push((at("input_layernorm"), block.attention_norm.shallow_clone()));
            for (part, linear) in block.linears() {
                all.push((at(part), linear.weight.shallow_clone()));
            }
            all.push((at("post_attention_layernorm"), block.mlp_norm.shallow_clone()));
        }
        all.push(("model.norm.weight".to_owned(), self.norm.shallow_clone()));
        if let Some(head) = &self.head {
            all.push(("lm_head.weight".to_owned(), head.shallow_clone()));
        }
        all
    }

    /// Places an adapter on the layers that `adapter` names, replacing any that is there.
    pub fn attach(&mut self, adapter: &mut dyn Adapter) -> Result<()> {
        for (i, block) in self.blocks.iter_mut().enumerate() {
            for (part, linear) in block.linears_mut() {
                let (out, input) = linear.weight.size2()?;
                linear.low = adapter.low(&format!("model.layers.{i}.{part}"), out, input)?;
            }
        }
        Ok(())
    }

    /// The adapter's matrices, with the name of the layer they change.
    pub fn adapter(&self) -> Vec<(String, &Low)> {
        let mut all = Vec::new();
        for (i, block) in self.blocks.iter().enumerate() {
            for (part, linear) in block.linears() {
                if let Some(low) = &linear.low {
                    all.push((format!("model.layers.{i}.{part}"), low));
                }
            }
        }
        all
    }

    /// Final hidden states `[B, T, C]`, normed and ready for [`Self::logits`].
    pub fn hidden(&self, input: &Input) -> Tensor {
        self.run(input.ids, input.positions, input.adapter, |_, q, k, v| {
            self.attend(&q, &k, &v, input.mask, input.mask.is_none())
        })
    }

    /// As [`Self::hidden`], and every block's keys and values for decoding on.
    pub fn prefill(&self, input: &Input) -> (Tensor, Vec<KeyValue>) {
        let mut cache = Vec::with_capacity(self.blocks.len());
        let hidden = self.run(input.ids, input.positions, input.adapter, |_, q, k, v| {
            let context = self.attend(&q, &k, &v, input.mask, input.mask.is_none());
            cache.push((k, v));
            context
        });
        (hidden, cache)
    }

    /// One more position for every row: writes its keys and values at `slot` of the cache and returns the hidden states `[B, 1, C]`.
    ///
    /// `mask` is bool `[B, 1, 1, slot + 1]`.
    pub fn step(&self, input: &Input, cache: &[KeyValue], slot: i64) -> Tensor {
        self.run(input.ids, input.positions, input.adapter, |block, q, k, v| {
            let (keys, values) = &cache[block];
            keys.narrow(2, slot, 1).copy_(&k);
            values.narrow(2, slot, 1).copy_(&v);
            self.attend(&q, &keys.narrow(2, 0, slot + 1), &values.narrow(2, 0, slot + 1), input.mask, false)
        })
    }

    /// Logits `[…, V]` of hidden states `[…, C]`, in f32.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        let logits = hidden.linear::<Tensor>(head, None).to_kind(Kind::Float);
        if self.spec.multipliers.logits == 1.0 { logits } else { logits / self.spec.multipliers.logits }
    }

    fn run(
        &self,
        ids: &Tensor,
        positions: &Tensor,
        adapter: bool,
        mut attend: impl FnMut(usize, Tensor, Tensor, Tensor) -> Tensor,
    ) -> Tensor {
        let spec = &self.spec;
        let times = &spec.multipliers;
        let (b, t) = (ids.size()[0], ids.size()[1]);
        let (h, g, d) = (spec.heads, spec.kv_heads, spec.head_size);
        let cos = self.cos.index_select(0, &positions.reshape(-1)).view([b, t, 1, d]);
        let sin = self.sin.index_select(0, &positions.reshape(-1)).view([b, t, 1, d]);
        let mut x = Tensor::embedding(&self.embedding, ids, -1, false, false); // [B, T, C]
        if times.embedding != 1.0 {
            x *= times.embedding;
        }
        for (i, block) in self.blocks.iter().enumerate() {
            let y = self.rms_norm(&x, &block.attention_norm);
            let q = block.q.forward(&y, adapter).view([b, t, h, d]);
            let k = block.k.forward(&y, adapter).view([b, t, g, d]);
            let v = block.v.forward(&y, adapter).view([b, t, g, d]).transpose(1, 2);
            // Queries and keys turn together: half as many small operations.
            let qk = rotate(&Tensor::cat(&[q, k], 2), &cos, &sin).transpose(1, 2); // [B, H + G, T, D]
            let context = attend(i, qk.narrow(1, 0, h), qk.narrow(1, h, g), v); // [B, H, T, D]
            let context = context.transpose(1, 2).reshape([b, t, h * d]);
            x = add(x, block.o.forward(&context, adapter), times.residual);
            let y = self.rms_norm(&x, &block.mlp_norm);
            let y = block.gate.forward(&y, adapter).silu() * block.up.forward(&y, adapter);
            x = add(x, block.down.forward(&y, adapter), times.residual);
        }
        self.rms_norm(&x, &self.norm)
    }

    /// Softmax attention; each key head serves H / G query heads.
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
        let grouped = self.spec.heads != self.spec.kv_heads;
        Tensor::scaled_dot_product_attention(q, k, v, mask, 0.0, causal, self.spec.multipliers.attention, grouped)
    }

    fn rms_norm(&self, x: &Tensor, weight: &Tensor) -> Tensor {
        x.rms_norm(self.spec.hidden, Some(weight), self.spec.norm_eps)
    }
}

impl Block {
    fn linears(&self) -> [(&'static str, &Linear); 7] {
        [
            ("self_attn.q_proj", &self.q),
            ("self_attn.k_proj", &self.k),
            ("self_attn.v_proj", &self.v),
            ("self_attn.o_proj", &self.o),
            ("mlp.gate_proj", &self.gate),
            ("mlp.up_proj", &self.up),
            ("mlp.down_proj", &self.down),
        ]
    }

    fn linears_mut(&mut self) -> [(&'static str, &mut Linear); 7] {
        [
            ("self_attn.q_proj", &mut self.q),
            ("self_attn.k_proj", &mut self.k),
            ("self_attn.v_proj", &mut self.v),
            ("self_attn.o_proj", &mut self.o),
            ("mlp.gate_proj", &mut self.gate),
            ("mlp.up_proj", &mut self.up),
            ("mlp.down_proj", &mut self.down),
        ]
    }
}

fn add(x: Tensor, y: Tensor, times: f64) -> Tensor {
    if times == 1.0 { x + y } else { x + y * times }
}

/// Rotary embedding in transformers' half-split layout: pairs are (i, i + D/2). `x` is `[B, T, heads, D]`.
fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Tensor {
    let half = x.size()[3] / 2;
    let turned = Tensor::cat(&[x.narrow(3, half, half).neg(), x.narrow(3, 0, half)], 3);
    x * cos + turned * sin
}

fn rotary_tables(spec: &Spec, device: Device, kind: Kind) -> (Tensor, Tensor) {
    let frequencies: Vec<f32> = spec.rope.frequencies(spec.head_size).iter().map(|&f| f as f32).collect();
    let frequencies = Tensor::from_slice(&frequencies).view([1, -1]);
    let positions = Tensor::arange(spec.positions, (Kind::Float, Device::Cpu)).view([-1, 1]);
    let angles = positions * frequencies; // [positions, D / 2]
    let angles = Tensor::cat(&[&angles, &angles], 1);
    (angles.cos().to_device(device).to_kind(kind), angles.sin().to_device(device).to_kind(kind))
}
