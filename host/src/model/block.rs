//! One block of the decoder: its parameters, and what is computed before and after its attention.

use anyhow::Result;
use tch::Tensor;

use super::linear::{Linear, Norm, Source};
use super::shim;
use super::spec::{Activation, HeadNorm, Spec};

/// A block's parameters.
pub struct Block {
    before_attention: Option<Norm>,
    qkv: Linear, // in three parts, or one that holds all
    head_norms: Option<[Norm; 2]>,
    output: Linear,
    after_attention: Option<Norm>,
    before_mlp: Option<Norm>,
    up: Linear, // gate and up, or one part that holds both or has no gate
    down: Linear,
    after_mlp: Option<Norm>,
}

impl Block {
    /// Reads it; `at` is what stands before its parameters' names.
    pub fn read(source: &mut dyn Source, spec: &Spec, at: &str) -> Result<Self> {
        let (names, c) = (spec.family.names, spec.hidden);
        let (q, kv) = (spec.heads * spec.head_size, spec.kv_heads * spec.head_size);
        let norm = |source: &mut dyn Source, i: usize| {
            names.norms[i].map(|name| Norm::read(source, spec, at, name, c)).transpose()
        };
        let before_attention = norm(source, 0)?;
        let widths = if names.attention.len() == 1 { vec![q.saturating_add(2 * kv)] } else { vec![q, kv, kv] };
        let qkv = Linear::read(source, spec, at, &named(names.attention, &widths), c, spec.biases.qkv)?;
        let sizes = match spec.family.head_norm {
            HeadNorm::None => None,
            HeadNorm::EachHead => Some([spec.head_size; 2]),
            HeadNorm::Whole => Some([q, kv]),
        };
        let output = Linear::read(source, spec, at, &[(names.output, c)], q, spec.biases.output)?;
        let gates = if spec.family.gated { 2 } else { 1 };
        let widths = vec![gates / names.up.len() as i64 * spec.feed_forward; names.up.len()];
        let up = Linear::read(source, spec, at, &named(names.up, &widths), c, spec.biases.mlp)?;
        let down = Linear::read(source, spec, at, &[(names.down, c)], spec.feed_forward, spec.biases.mlp)?;
        let head_norms = match sizes {
            None => None,
            Some([of_q, of_k]) => {
                let [q_name, k_name] = names.head_norms;
                Some([Norm::read(source, spec, at, q_name, of_q)?, Norm::read(source, spec, at, k_name, of_k)?])
            }
        };
        let (after_attention, before_mlp, after_mlp) = (norm(source, 1)?, norm(source, 2)?, norm(source, 3)?);
        Ok(Self { before_attention, qkv, head_norms, output, after_attention, before_mlp, up, down, after_mlp })
    }

    /// Queries, keys and values, one above the other, `[B, T, H + 2 G, D]`, of the residual stream `[B, T, C]`, not turned yet.
    pub fn project(&self, x: &Tensor, spec: &Spec, adapter: bool) -> Tensor {
        let (b, t) = (x.size()[0], x.size()[1]);
        let (h, g, d) = (spec.heads, spec.kv_heads, spec.head_size);
        let y = normed(self.before_attention.as_ref(), x);
        if self.head_norms.is_none() && !self.qkv.is_changed(adapter) {
            return self.qkv.product(&y).view([b, t, h + 2 * g, d]);
        }
        let parts = self.qkv.forward_parts(&y, adapter);
        let [mut q, mut k, v] = <[Tensor; 3]>::try_from(parts).unwrap_or_else(|parts| {
            let all = parts.first().expect("a family names one or three projections");
            [(0, h), (h, g), (h + g, g)].map(|(from, heads)| all.narrow(-1, from * d, heads * d))
        });
        let norms = self.head_norms.as_ref();
        if let (HeadNorm::Whole, Some([of_q, of_k])) = (spec.family.head_norm, norms) {
            (q, k) = (of_q.forward(&q), of_k.forward(&k));
        }
        (q, k) = (q.view([b, t, h, d]), k.view([b, t, g, d]));
        if let (HeadNorm::EachHead, Some([of_q, of_k])) = (spec.family.head_norm, norms) {
            (q, k) = (of_q.forward(&q), of_k.forward(&k));
        }
        Tensor::cat(&[q, k, v.view([b, t, g, d])], 2)
    }

    /// The residual stream after attention gave `context` `[B, H, T, D]`, and after the feed-forward layer.
    pub fn finish(&self, x: Tensor, context: &Tensor, spec: &Spec, adapter: bool) -> Tensor {
        let (b, t) = (x.size()[0], x.size()[1]);
        let times = spec.multipliers.residual;
        let context = context.transpose(1, 2).reshape([b, t, spec.heads * spec.head_size]);
        let y = self.output.forward(&context, adapter);
        let x = add(x, normed(self.after_attention.as_ref(), &y), times);
        let y = normed(self.before_mlp.as_ref(), &x);
        let y = self.feed_forward(&y, spec, adapter);
        add(x, normed(self.after_mlp.as_ref(), &y), times)
    }

    fn feed_forward(&self, y: &Tensor, spec: &Spec, adapter: bool) -> Tensor {
        let activate = |x: &Tensor| spec.activation.of(x);
        let f = spec.feed_forward;
        let fused = spec.family.gated && spec.activation == Activation::Silu && shim::fits(y);
        if fused && !self.up.is_changed(adapter) {
            return self.down.forward(&shim::swiglu(&self.up.product(y)), adapter);
        }
        let inner = match &self.up.forward_parts(y, adapter)[..] {
            [gate, up] => activate(gate) * up,
            [both] if spec.family.gated => activate(&both.narrow(-1, 0, f)) * both.narrow(-1, f, f),
            [up] => activate(up),
            _ => unreachable!("a family names one or two projections"),
        };
        self.down.forward(&inner, adapter)
    }

    /// Its matrices, in the order of their parameters.
    pub fn linears(&self) -> impl Iterator<Item = &Linear> {
        [&self.qkv, &self.output, &self.up, &self.down].into_iter()
    }

    /// The same, to be changed.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        [&mut self.qkv, &mut self.output, &mut self.up, &mut self.down].into_iter()
    }

    /// Its parameters by name.
    pub fn parameters(&self, at: &str, all: &mut Vec<(String, Tensor)>) {
        self.linears().for_each(|linear| linear.parameters(at, all));
        self.norms().for_each(|norm| norm.parameters(at, all));
    }

    /// Its parameters as they are stored.
    pub fn leaves(&self, all: &mut Vec<Tensor>) {
        self.linears().for_each(|linear| linear.leaves(all));
        self.norms().for_each(|norm| norm.leaves(all));
    }

    fn norms(&self) -> impl Iterator<Item = &Norm> {
        let around = [&self.before_attention, &self.after_attention, &self.before_mlp, &self.after_mlp];
        around.into_iter().flatten().chain(self.head_norms.iter().flatten())
    }
}

/// Parts of a matrix: their names, and the rows of each.
fn named(names: &[&'static str], widths: &[i64]) -> Vec<(&'static str, i64)> {
    names.iter().copied().zip(widths.iter().copied()).collect()
}

fn normed(norm: Option<&Norm>, x: &Tensor) -> Tensor {
    norm.map_or_else(|| x.shallow_clone(), |norm| norm.forward(x))
}

fn add(x: Tensor, y: Tensor, times: f64) -> Tensor {
    if times == 1.0 { x + y } else { x + y * times }
}
