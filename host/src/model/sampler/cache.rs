//! Keys and values of the prompts and responses that grow, in buffers of fixed size, and the attention of one new token over both.
//!
//! A *place* holds a prompt, computed once, and `N` slots for its responses. The queries of a prompt's responses lie below each other, so
//! that its keys are read once for all of them; each response's own keys are read for it alone. Both lots of scores go into one softmax,
//! which weighs the two parts as merging them by their log-sum-exp does. Our own kernel does that on the CPU, where every response is
//! computed as long as it is; elsewhere libtorch's operations do, as far as the longest, and masked.
//!
//! Shape letters: `P` places in use, `N` slots of a place, `R` growing rows, `H` query heads, `G` key heads, `D` head size, `T` longest
//! prompt, `S` longest response.

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::super::decoder::KeyValue;
use super::super::shim::{self, Scores};
use super::super::spec::Spec;
use super::round::{Masked, Round, View};

/// The buffers.
pub struct Cache {
    /// N.
    pub slots: usize,
    prompts: Vec<KeyValue>,   // of each block, [places, G, longest prompt, D]
    responses: Vec<KeyValue>, // [places · N, G, longest response, D]
    filled: [i64; 2],         // columns in use of both; where rounds are masked, finite numbers in the places in use
    masked: bool,
}

/// Sizes of the buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Places.
    pub places: usize,
    /// Slots of a place.
    pub slots: usize,
    /// Tokens of a prompt at the most.
    pub prompt: usize,
    /// Tokens of a response at the most.
    pub response: usize,
}

/// Columns that are cleared at a time, as responses grow.
const STRIDE: i64 = 16;

impl Cache {
    /// Empty buffers, for rounds that are masked or not. An error of libtorch's where there is no memory for them.
    pub fn new(spec: &Spec, sizes: Sizes, kind: Kind, device: Device, masked: bool) -> Result<Self> {
        let (g, d) = (spec.kv_heads, spec.head_size);
        let pair = |rows: usize, length: usize| -> Result<KeyValue> {
            let empty = || Tensor::f_empty([rows as i64, g, length as i64, d], (kind, device));
            Ok((empty()?, empty()?))
        };
        let of_blocks =
            |rows, length| spec.blocks.iter().map(|_| pair(rows, length)).collect::<Result<Vec<KeyValue>>>();
        Ok(Self {
            slots: sizes.slots,
            prompts: of_blocks(sizes.places, sizes.prompt)?,
            responses: of_blocks(sizes.places * sizes.slots, sizes.response)?,
            filled: [0, 0],
            masked,
        })
    }

    /// Whether its rounds are.
    pub fn is_masked(&self) -> bool {
        self.masked
    }

    /// Columns of the prompts' and of the responses' buffers.
    pub fn widths(&self) -> [i64; 2] {
        [&self.prompts, &self.responses].map(|buffers| buffers.first().map_or(0, |(k, _)| k.size()[2]))
    }

    /// Makes the places from `first` on ready for `count` prompts of up to `length` tokens, and those before it as wide. Where rounds
    /// are masked, what a shorter prompt leaves must be finite, and is cleared.
    pub fn make_room(&mut self, first: usize, count: usize, length: i64) {
        self.widen(first, [length, 0]);
        if self.masked {
            let (first, count, n) = (first as i64, count as i64, self.slots as i64);
            for (buffers, rows, filled) in [(&self.prompts, 1, self.filled[0]), (&self.responses, n, self.filled[1])] {
                clear(buffers, first * rows..(first + count) * rows, 0..filled);
            }
        }
    }

    /// Takes so many columns of both buffers into use, in the first `places`; where rounds are masked, cleared.
    pub fn widen(&mut self, places: usize, lengths: [i64; 2]) {
        let widths = self.widths();
        for (i, buffers, rows) in [(0, &self.prompts, 1), (1, &self.responses, self.slots)] {
            let to = ((lengths[i] + STRIDE - 1) / STRIDE * STRIDE).min(widths[i]);
            if to > self.filled[i] {
                if self.masked {
                    clear(buffers, 0..(places * rows) as i64, self.filled[i]..to);
                }
                self.filled[i] = to;
            }
        }
    }

    /// Writes prompts' keys and values `[A, G, T, D]` of a block into the places from `first` on.
    pub fn write_prompts(&self, block: usize, first: usize, keys: &Tensor, values: &Tensor) {
        let (a, t) = (keys.size()[0], keys.size()[2]);
        let (k, v) = &self.prompts[block];
        k.narrow(0, first as i64, a).narrow(2, 0, t).copy_(keys);
        v.narrow(0, first as i64, a).narrow(2, 0, t).copy_(values);
    }

    /// Copies a place with its slots.
    pub fn move_place(&self, from: usize, to: usize) {
        let n = self.slots as i64;
        for (buffers, rows, used) in [(&self.prompts, 1, self.filled[0]), (&self.responses, n, self.filled[1])] {
            for tensor in buffers.iter().flat_map(|(k, v)| [k, v]) {
                let part = |place: usize| tensor.narrow(0, place as i64 * rows, rows).narrow(2, 0, used);
                part(to).copy_(&part(from));
            }
        }
    }

    /// The attention of one block in one round: writes the rows' new keys and values `[R, G, 1, D]` and lets their queries `[R, H, 1, D]`
    /// see what the round says. Returns `[R, H, 1, D]`.
    pub fn attend(&self, round: &Round, spec: &Spec, block: usize, q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
        let (r, h, d) = (q.size()[0], spec.heads, spec.head_size);
        let [prompts, responses] = [&self.prompts[block], &self.responses[block]];
        for (buffer, new) in [(&responses.0, k), (&responses.1, v)] {
            let _ = buffer.view([-1, d]).index_copy_(0, &round.write, &new.reshape([-1, d]));
        }
        let q = q.reshape([r, h, d]).contiguous();
        let (scale, window) = (spec.blocks[block].scale, spec.blocks[block].window);
        let scores = Scores { scale, cap: spec.caps.attention, window };
        match &round.view {
            View::Exact(growth) => {
                let [prompts, responses] = [prompts, responses].map(|(k, v)| [k, v]);
                shim::attend_growing(&q, prompts, responses, growth, scores).view([r, h, 1, d])
            }
            View::Masked(masked) => attend_masked(&q, prompts, responses, masked, self.slots as i64, scores),
        }
    }
}

/// The same of every slot, `[P · N, H, 1, D]`, by libtorch's operations.
fn attend_masked(
    q: &Tensor,
    prompts: &KeyValue,
    responses: &KeyValue,
    round: &Masked,
    n: i64,
    scores: Scores,
) -> Tensor {
    let (h, d, g) = (q.size()[1], q.size()[2], prompts.0.size()[1]);
    let Masked { places: p, prompt, response, .. } = *round;
    let heads = h / g;
    let own = q.view([p * n * g, heads, d]);
    let shared = q.view([p, n, g, heads, d]).transpose(1, 2).reshape([p * g, n * heads, d]);
    let of_prompts = |x: &Tensor| x.narrow(0, 0, p).narrow(2, 0, prompt).view([p * g, prompt, d]);
    let of_responses = |x: &Tensor| x.narrow(0, 0, p * n).narrow(2, 0, response).view([p * n * g, response, d]);

    let over_prompts = shared.bmm(&of_prompts(&prompts.0).transpose(1, 2)).view([p, g, n, heads, prompt]);
    let over_own = own.bmm(&of_responses(&responses.0).transpose(1, 2)).view([p, n, g, heads, response]);
    let both = Tensor::cat(&[over_prompts, over_own.transpose(1, 2)], -1); // [P, G, N, H / G, T + S]
    let mut both = match scores.cap {
        Some(cap) => (both * (scores.scale / cap)).tanh() * cap,
        None => both * scores.scale,
    };
    both += round.mask(scores.window);
    let weights = both.softmax(-1, q.kind());
    let of_prompt = weights.narrow(4, 0, prompt).reshape([p * g, n * heads, prompt]);
    let of_own = weights.narrow(4, prompt, response).transpose(1, 2);
    let of_own = of_own.reshape([p * n * g, heads, response]);
    let from_prompts = of_prompt.bmm(&of_prompts(&prompts.1)).view([p, g, n, heads, d]).transpose(1, 2);
    let from_own = of_own.bmm(&of_responses(&responses.1)).view([p, n, g, heads, d]);
    (from_own + from_prompts).reshape([p * n, h, 1, d])
}

fn clear(buffers: &[KeyValue], rows: std::ops::Range<i64>, columns: std::ops::Range<i64>) {
    for tensor in buffers.iter().flat_map(|(k, v)| [k, v]) {
        let part = tensor.narrow(0, rows.start, rows.end - rows.start);
        let _ = part.narrow(2, columns.start, columns.end - columns.start).zero_();
    }
}
