//! Keys and values of the prompts and responses that grow, in buffers of fixed size, and the attention of one new token over both.
//!
//! A *place* holds a prompt, computed once, and `N` slots for its responses. The queries of a prompt's responses lie below each other, so
//! that its keys are read once for all of them; each response's own keys are read for it alone. Both lots of scores go into one softmax,
//! which weighs the two parts as merging them by their log-sum-exp does.
//!
//! Shape letters: `P` places in use, `N` slots of a place, `R` growing rows, `H` query heads, `G` key heads, `D` head size, `T` longest
//! prompt, `S` longest response.

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::super::decoder::KeyValue;
use super::super::spec::Spec;

/// The buffers.
pub struct Cache {
    /// N.
    pub slots: usize,
    prompts: Vec<KeyValue>,   // of each block, [places, G, longest prompt, D]
    responses: Vec<KeyValue>, // [places · N, G, longest response, D]
    filled: [i64; 2],         // columns of both that hold finite numbers in the places in use
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
/// Columns by which steady rounds grow.
const STEADY: i64 = 32;

impl Cache {
    /// Empty buffers. An error of libtorch's where there is no memory for them.
    pub fn new(spec: &Spec, sizes: Sizes, kind: Kind, device: Device) -> Result<Self> {
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
        })
    }

    /// Makes the places from `first` on ready for `count` prompts of up to `length` tokens, and those before it as wide: what a shorter
    /// prompt leaves is masked, and must be finite for that.
    pub fn make_room(&mut self, first: usize, count: usize, length: i64) {
        let (first, count, n) = (first as i64, count as i64, self.slots as i64);
        grow(&self.prompts, &mut self.filled[0], first, length);
        for (buffers, rows, filled) in [(&self.prompts, 1, self.filled[0]), (&self.responses, n, self.filled[1])] {
            clear(buffers, first * rows..(first + count) * rows, 0..filled);
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
        let (g, n, p) = (spec.kv_heads, self.slots as i64, round.places);
        let heads = h / g;
        let (keys, values) = &self.responses[block];
        for (buffer, new) in [(keys, k), (values, v)] {
            let _ = buffer.view([-1, d]).index_copy_(0, &round.write, &new.reshape([-1, d]));
        }
        // The rows in the order of the slots; those of ended responses are zero.
        let q = q.reshape([r, h, d]).contiguous();
        let q = match &round.rows {
            None => q,
            Some(rows) => Tensor::zeros([p * n, h, d], (q.kind(), q.device())).index_copy(0, rows, &q),
        };
        let own = q.view([p * n * g, heads, d]);
        let shared = q.view([p, n, g, heads, d]).transpose(1, 2).reshape([p * g, n * heads, d]);
        let of_prompts = |x: &Tensor| x.narrow(0, 0, p).narrow(2, 0, round.prompt).view([p * g, round.prompt, d]);
        let of_responses =
            |x: &Tensor| x.narrow(0, 0, p * n).narrow(2, 0, round.response).view([p * n * g, round.response, d]);
        let (prompt_keys, prompt_values) = &self.prompts[block];

        let over_prompts = shared.bmm(&of_prompts(prompt_keys).transpose(1, 2)).view([p, g, n, heads, round.prompt]);
        let over_own = own.bmm(&of_responses(keys).transpose(1, 2)).view([p, n, g, heads, round.response]);
        let mut scores = Tensor::cat(&[over_prompts, over_own.transpose(1, 2)], -1); // [P, G, N, H / G, T + S]
        let (scale, window) = (spec.blocks[block].scale, spec.blocks[block].window);
        scores = match spec.caps.attention {
            Some(cap) => (scores * (scale / cap)).tanh() * cap,
            None => scores * scale,
        };
        if let Some(mask) = round.mask(window) {
            scores += mask;
        }
        let weights = scores.softmax(-1, q.kind());
        let of_prompt = weights.narrow(4, 0, round.prompt).reshape([p * g, n * heads, round.prompt]);
        let of_own = weights.narrow(4, round.prompt, round.response).transpose(1, 2);
        let of_own = of_own.reshape([p * n * g, heads, round.response]);
        let from_prompts = of_prompt.bmm(&of_prompts(prompt_values)).view([p, g, n, heads, d]).transpose(1, 2);
        let from_own = of_own.bmm(&of_responses(values)).view([p, n, g, heads, d]);
        let context = (from_own + from_prompts).reshape([p * n, h, 1, d]);
        match &round.rows {
            None => context,
            Some(rows) => context.index_select(0, rows),
        }
    }
}

/// Zeroes the first `rows` rows from the columns that are filled up to `length`, in whole strides.
fn grow(buffers: &[KeyValue], filled: &mut i64, rows: i64, length: i64) {
    let all = buffers.first().map_or(length, |(k, _)| k.size()[2]);
    let to = ((length + STRIDE - 1) / STRIDE * STRIDE).min(all);
    if to > *filled {
        clear(buffers, 0..rows, *filled..to);
        *filled = to;
    }
}

fn clear(buffers: &[KeyValue], rows: std::ops::Range<i64>, columns: std::ops::Range<i64>) {
    for tensor in buffers.iter().flat_map(|(k, v)| [k, v]) {
        let part = tensor.narrow(0, rows.start, rows.end - rows.start);
        let _ = part.narrow(2, columns.start, columns.end - columns.start).zero_();
    }
}

/// One growing response, as a round sees it.
#[derive(Debug, Clone, Copy)]
pub struct Growing {
    /// Its slot: place · N + response.
    pub slot: usize,
    /// Its tokens, the new one included.
    pub tokens: usize,
}

/// What one round of new tokens shares between blocks: who writes where and who sees what.
pub struct Round {
    places: i64,
    prompt: i64,                               // T
    response: i64,                             // S
    write: Tensor,                             // [R · G], rows of the responses' buffers seen as [·, D]
    rows: Option<Tensor>,                      // [R], slots of the rows; none where every slot grows
    masks: Vec<(Option<i64>, Option<Tensor>)>, // of each window, [P, 1, N, 1, T + S], 0 or −∞
}

impl Round {
    /// `prompts` are the lengths of those in use; `rows` stand in the order of their slots. A steady round reads more columns than it
    /// needs and masks them, so that the rounds after it have its shape; its rows are all slots.
    pub fn new(
        cache: &mut Cache,
        spec: &Spec,
        prompts: &[usize],
        rows: &[Growing],
        steady: bool,
        device: Device,
    ) -> Result<Self> {
        let n = cache.slots;
        let width = |buffers: &[KeyValue]| buffers.first().map_or(0, |(k, _)| k.size()[2]);
        let widths = [width(&cache.prompts), width(&cache.responses)];
        let longest = [prompts.iter().copied().max(), rows.iter().map(|row| row.tokens).max()];
        let mut read = longest.map(|length| length.unwrap_or(0) as i64);
        if steady {
            read = [0, 1].map(|i| ((read[i] + STEADY - 1) / STEADY * STEADY).min(widths[i]));
            grow(&cache.prompts, &mut cache.filled[0], prompts.len() as i64, read[0]);
        }
        let [prompt, response] = read;
        grow(&cache.responses, &mut cache.filled[1], (prompts.len() * n) as i64, response);
        let (g, length) = (spec.kv_heads as usize, widths[1] as usize);
        let write: Vec<i64> = rows
            .iter()
            .flat_map(|row| (0..g).map(move |head| ((row.slot * g + head) * length + row.tokens - 1) as i64))
            .collect();
        let slots: Vec<i64> = rows.iter().map(|row| row.slot as i64).collect();
        let dense = rows.len() == prompts.len() * n;
        let mut windows: Vec<Option<i64>> = spec.blocks.iter().map(|block| block.window).collect();
        windows.sort_unstable();
        windows.dedup();
        let mask = |window: Option<i64>| -> Result<(Option<i64>, Option<Tensor>)> {
            let values = mask(window, prompts, rows, n, prompt as usize, response as usize);
            if !steady && values.iter().all(|value| *value == 0.0) {
                return Ok((window, None));
            }
            let shape = [prompts.len() as i64, 1, n as i64, 1, prompt + response];
            Ok((window, Some(Tensor::f_from_slice(&values)?.f_view(shape)?.f_to_device(device)?)))
        };
        Ok(Self {
            places: prompts.len() as i64,
            prompt,
            response,
            write: Tensor::f_from_slice(&write)?.f_to_device(device)?,
            rows: if dense { None } else { Some(Tensor::f_from_slice(&slots)?.f_to_device(device)?) },
            masks: windows.into_iter().map(mask).collect::<Result<_>>()?,
        })
    }

    /// What its tensors' shapes follow from, in steady rounds.
    pub fn shape(&self) -> [i64; 3] {
        [self.places, self.prompt, self.response]
    }

    /// Its tensors, those of two steady rounds of one shape in the same order.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.masks.iter().filter_map(|(_, mask)| mask.as_ref()).chain([&self.write])
    }

    fn mask(&self, window: Option<i64>) -> Option<&Tensor> {
        self.masks.iter().find(|(of, _)| *of == window).and_then(|(_, mask)| mask.as_ref())
    }
}

/// 0 where a slot's new token sees a key, −∞ where not: `[P, N, T + S]`. A key is seen from less than a window after it. The slots of ended
/// responses see their prompt, for a softmax must see something.
fn mask(
    window: Option<i64>,
    prompts: &[usize],
    rows: &[Growing],
    slots: usize,
    prompt: usize,
    response: usize,
) -> Vec<f32> {
    let width = prompt + response;
    let mut values = vec![f32::NEG_INFINITY; prompts.len() * slots * width];
    let mut tokens = vec![0; prompts.len() * slots];
    for row in rows {
        tokens[row.slot] = row.tokens;
    }
    for (slot, values) in values.chunks_mut(width.max(1)).enumerate() {
        let (length, own) = (prompts[slot / slots], tokens[slot]);
        // The first position that is seen.
        let first = match window {
            Some(window) if own > 0 => (length + own).saturating_sub(window as usize),
            _ => 0,
        };
        values[first.min(length)..length].fill(0.0);
        values[prompt + first.saturating_sub(length).min(own)..prompt + own].fill(0.0);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_sees_its_prompt_and_its_own_response_within_the_window_and_no_other() {
        const NO: f32 = f32::NEG_INFINITY;
        let rows = [Growing { slot: 0, tokens: 2 }, Growing { slot: 3, tokens: 1 }];
        // Two places of two slots; prompts of 2 and 3 tokens.
        let all = mask(None, &[2, 3], &rows, 2, 3, 2);
        assert_eq!(all[..5], [0.0, 0.0, NO, 0.0, 0.0]);
        assert_eq!(all[5..10], [0.0, 0.0, NO, NO, NO], "an ended response");
        assert_eq!(all[15..], [0.0, 0.0, 0.0, 0.0, NO]);
        let near = mask(Some(2), &[2, 3], &rows, 2, 3, 2);
        assert_eq!(near[..5], [NO, NO, NO, 0.0, 0.0]);
        assert_eq!(near[15..], [NO, NO, 0.0, 0.0, NO]);
        assert_eq!(mask(Some(1), &[2, 3], &rows, 2, 3, 2)[..5], [NO, NO, NO, NO, 0.0]);
    }
}
