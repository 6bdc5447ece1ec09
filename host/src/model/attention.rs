//! Attention: who sees whom, rotary positions, and the softmax, with and without a soft cap.

use tch::{Device, Kind, Tensor};

use super::decoder::Input;
use super::shim;
use super::spec::{Rope, Spec};

/// The masks of one pass: one for full blocks and one for each width of window.
pub struct Masks<'a> {
    input: &'a Input<'a>,
    keys: i64,
    made: Vec<(Option<i64>, Tensor)>,
}

impl<'a> Masks<'a> {
    /// For a pass over `input` whose queries meet so many keys.
    pub fn new(input: &'a Input<'a>, keys: i64) -> Self {
        Self { input, keys, made: Vec::new() }
    }

    /// Bool, `[B, 1, T, S]` or `[1, 1, T, T]`; none where plain causality says all, which torch does without a mask.
    pub fn of(&mut self, window: Option<i64>) -> Option<&Tensor> {
        match window.filter(|w| *w < self.keys) {
            None => self.input.mask,
            Some(window) => Some(self.windowed(Some(window))),
        }
    }

    /// The same, with causality written out.
    pub fn written(&mut self, window: Option<i64>) -> &Tensor {
        let window = window.filter(|w| *w < self.keys);
        match (window, self.input.mask) {
            (None, Some(mask)) => mask,
            _ => self.windowed(window),
        }
    }

    fn windowed(&mut self, window: Option<i64>) -> &Tensor {
        let at = self.made.iter().position(|(of, _)| *of == window).unwrap_or_else(|| {
            self.made.push((window, self.make(window)));
            self.made.len() - 1
        });
        &self.made[at].1
    }

    /// A key is seen from positions less than a window after its own, as transformers' `sliding_window_overlay` has it.
    fn make(&self, window: Option<i64>) -> Tensor {
        let Input { positions, mask, .. } = self.input;
        match (mask, window) {
            (Some(mask), Some(window)) => {
                let distance = positions.unsqueeze(-1) - positions.unsqueeze(1); // [B, T, T]
                mask.logical_and(&distance.lt(window).unsqueeze(1))
            }
            (Some(mask), None) => mask.shallow_clone(),
            (None, window) => {
                // Without a mask the columns are the positions.
                let t = self.keys;
                let all = Tensor::ones([1, 1, t, t], (Kind::Bool, positions.device())).tril(0);
                window.map_or_else(|| all.shallow_clone(), |window| all.triu(1 - window))
            }
        }
    }
}

/// Softmax attention; each key head serves H / G query heads. `q` is `[B, H, T, D]`, `k` and `v` are `[B, G, S, D]`.
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, masks: &mut Masks, spec: &Spec, block: usize) -> Tensor {
    let block = &spec.blocks[block];
    if let Some(cap) = spec.caps.attention {
        return capped(q, k, v, masks.written(block.window), block.scale, cap);
    }
    let mask = masks.of(block.window);
    let grouped = spec.heads != spec.kv_heads;
    if grouped && mask.is_some() && q.device().is_cuda() {
        // A GPU has no kernel for both, and libtorch would fall back on one that writes all scores out.
        let [k, v] = [k, v].map(|x| x.repeat_interleave_self_int(spec.heads / spec.kv_heads, 1, None));
        return Tensor::scaled_dot_product_attention(q, &k, &v, mask, 0.0, false, block.scale, false);
    }
    Tensor::scaled_dot_product_attention(q, k, v, mask, 0.0, mask.is_none(), block.scale, grouped)
}

/// softmax(cap · tanh(q kᵀ · scale / cap)) v: libtorch's own attention has no place for the cap.
fn capped(q: &Tensor, k: &Tensor, v: &Tensor, mask: &Tensor, scale: f64, cap: f64) -> Tensor {
    let (b, h, t, d) = (q.size()[0], q.size()[1], q.size()[2], q.size()[3]);
    let (g, s) = (k.size()[1], k.size()[2]);
    // The queries of one key head below each other: keys need not be repeated.
    let scores = q.reshape([b, g, h / g * t, d]).matmul(&k.transpose(2, 3));
    let scores = ((scores * (scale / cap)).tanh() * cap).view([b, g, h / g, t, s]);
    let scores = scores.masked_fill(&mask.logical_not().unsqueeze(1), f64::NEG_INFINITY);
    let weights = scores.softmax(-1, Kind::Float).to_kind(v.kind());
    weights.view([b, g, h / g * t, s]).matmul(v).view([b, h, t, d])
}

/// Queries `[B, H, T, D]`, keys and values `[B, G, T, D]` of all of them, `[B, T, H + 2 G, D]`; queries and keys turned, where they are.
pub fn apart(all: &Tensor, turns: Option<&Turns>, heads: i64, kv_heads: i64) -> [Tensor; 3] {
    let turned = heads + kv_heads;
    let parts = |x: &Tensor, sizes: &[i64], dim: i64| x.split_with_sizes(sizes, dim);
    let three = match turns {
        Some(turns) if shim::fits(all) => {
            parts(&shim::turn(all, &turns.cos, &turns.sin, turned), &[heads, kv_heads, kv_heads], 1)
        }
        _ => {
            // Queries and keys turn together: half as many small operations.
            let two = parts(all, &[turned, kv_heads], 2);
            let qk = turns.map_or_else(|| two[0].shallow_clone(), |turns| turns.turn(&two[0]));
            let mut three = parts(&qk.transpose(1, 2), &[heads, kv_heads], 1);
            three.push(two[1].transpose(1, 2));
            three
        }
    };
    <[Tensor; 3]>::try_from(three).unwrap_or_else(|_| unreachable!("split in three"))
}

/// Sine and cosine of every position, for one set of frequencies.
pub struct Turns {
    cos: Tensor, // [positions, R], R numbers of a head turn
    sin: Tensor, // the same; the first half negative
}

impl Turns {
    /// All positions of the model.
    pub fn new(rope: &Rope, positions: i64, device: Device, kind: Kind) -> Self {
        let frequencies: Vec<f32> = rope.frequencies().iter().map(|&f| f as f32).collect();
        let frequencies = Tensor::from_slice(&frequencies).view([1, -1]);
        let positions = Tensor::arange(positions, (Kind::Float, Device::Cpu)).view([-1, 1]);
        let angles = positions * frequencies; // [positions, R / 2]
        let angles = Tensor::cat(&[&angles, &angles], 1);
        let table = |x: Tensor| {
            let x = if rope.factor == 1.0 { x } else { x * rope.factor };
            x.to_device(device).to_kind(kind)
        };
        let half = angles.size()[1] / 2;
        let sin = angles.sin();
        let sin = Tensor::cat(&[sin.narrow(1, 0, half).neg(), sin.narrow(1, half, half)], 1);
        Self { cos: table(angles.cos()), sin: table(sin) }
    }

    /// Of the positions `[B, T]`, to turn `[B, T, heads, D]`.
    pub fn at(&self, positions: &Tensor) -> Self {
        let (b, t) = (positions.size()[0], positions.size()[1]);
        let rows = |table: &Tensor| table.index_select(0, &positions.reshape(-1)).view([b, t, 1, -1]);
        Self { cos: rows(&self.cos), sin: rows(&self.sin) }
    }

    /// Rotary embedding in transformers' half-split layout: pairs are (i, i + R/2). `x` is `[B, T, heads, D]`; numbers from R on stay.
    pub fn turn(&self, x: &Tensor) -> Tensor {
        let (all, size) = (x.size()[3], self.cos.size()[3]);
        if size < all {
            return Tensor::cat(&[self.turn(&x.narrow(3, 0, size)), x.narrow(3, size, all - size)], 3);
        }
        let half = size / 2;
        let swapped = Tensor::cat(&[x.narrow(3, half, half), x.narrow(3, 0, half)], 3);
        x * &self.cos + swapped * &self.sin
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::Scaling;
    use super::*;

    fn rope(size: i64, factor: f64) -> Rope {
        Rope { theta: 10_000.0, size, scaling: Scaling::None, factor }
    }

    fn turned(rope: &Rope, x: &Tensor) -> Tensor {
        let positions = Tensor::from_slice(&[0_i64, 1, 5]).view([1, 3]);
        Turns::new(rope, 8, Device::Cpu, Kind::Float).at(&positions).turn(x)
    }

    #[test]
    fn a_head_that_turns_in_part_keeps_its_other_numbers() {
        let x = Tensor::arange(3 * 2 * 8, (Kind::Float, Device::Cpu)).view([1, 3, 2, 8]);
        let part = turned(&rope(6, 1.0), &x);
        assert_eq!(part.narrow(3, 0, 6), turned(&rope(6, 1.0), &x.narrow(3, 0, 6)));
        assert_eq!(part.narrow(3, 6, 2), x.narrow(3, 6, 2));
        assert_ne!(part.narrow(1, 2, 1), x.narrow(1, 2, 1));
    }

    #[test]
    fn the_first_position_turns_by_nothing_and_a_factor_stretches_all() {
        let x = Tensor::arange(3 * 2 * 8, (Kind::Float, Device::Cpu)).view([1, 3, 2, 8]);
        let plain = turned(&rope(8, 1.0), &x);
        assert_eq!(plain.narrow(1, 0, 1), x.narrow(1, 0, 1));
        let stretched = turned(&rope(8, 2.0), &x);
        assert!((stretched - plain * 2.0).abs().max().double_value(&[]) < 1e-5);
    }
}
