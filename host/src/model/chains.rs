//! Attention over the chains of one row: a prompt causally, then each response over its prompt and itself. Nothing is computed that a mask
//! would hide, and rows need no padding.

use tch::{Device, Kind, Tensor};

use super::spec::Spec;
use super::tree::{Chain, Row};

/// The chains of a row, ready to attend.
pub struct Chains {
    lengths: Vec<i64>,
    before: Vec<Vec<(usize, i64)>>,
    masks: Vec<Option<Tensor>>, // [1, 1, length, before + length]; none where plain causality says all
}

/// Tokens a chain on average, from which on one attention for each costs less than one with a mask for all.
const WORTH: usize = 32;

impl Chains {
    /// Whether a row is attended to by chains: where they are long enough, on the CPU, by a model without windows and caps. Rows that are so
    /// each are so joined.
    pub fn fit(row: &Row, spec: &Spec, device: Device) -> bool {
        let plain = spec.caps.attention.is_none() && spec.blocks.iter().all(|block| block.window.is_none());
        plain && device == Device::Cpu && row.tokens.len() >= WORTH * row.chains().len().max(1)
    }

    /// Of a row that [fits](Self::fit).
    pub fn of(row: &Row, spec: &Spec, device: Device) -> Option<Self> {
        if !Self::fit(row, spec, device) {
            return None;
        }
        let chains = row.chains();
        let mask = |chain: &Chain| {
            let before: usize = chain.before.iter().map(|(_, n)| n).sum();
            let size = [1, 1, chain.length as i64, (before + chain.length) as i64];
            (before > 0).then(|| Tensor::ones(size, (Kind::Bool, device)).tril(before as i64))
        };
        Some(Self {
            lengths: chains.iter().map(|chain| chain.length as i64).collect(),
            before: chains.iter().map(|chain| chain.before.iter().map(|&(c, n)| (c, n as i64)).collect()).collect(),
            masks: chains.iter().map(mask).collect(),
        })
    }

    /// Softmax attention; `q` is `[1, H, T, D]`, `k` and `v` are `[1, G, T, D]`.
    pub fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, spec: &Spec, block: usize) -> Tensor {
        let scale = spec.blocks[block].scale;
        let grouped = spec.heads != spec.kv_heads;
        let [q, k, v] = [q, k, v].map(|x| x.split_with_sizes(&self.lengths[..], 2));
        let parts: Vec<Tensor> = (0..self.lengths.len())
            .map(|i| {
                let [keys, values] = [&k, &v].map(|x| self.seen(i, x));
                let mask = self.masks[i].as_ref();
                Tensor::scaled_dot_product_attention(&q[i], &keys, &values, mask, 0.0, mask.is_none(), scale, grouped)
            })
            .collect();
        Tensor::cat(&parts, 2)
    }

    /// What a chain sees: its ancestors, then itself.
    fn seen(&self, i: usize, x: &[Tensor]) -> Tensor {
        let before = self.before[i].iter().map(|&(chain, length)| match length == self.lengths[chain] {
            true => x[chain].shallow_clone(),
            false => x[chain].narrow(2, 0, length),
        });
        let mut all: Vec<Tensor> = before.collect();
        if all.is_empty() {
            return x[i].shallow_clone();
        }
        all.push(x[i].shallow_clone());
        Tensor::cat(&all, 2)
    }
}
