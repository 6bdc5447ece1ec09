//! What one round of new tokens shares between blocks: who writes where and who sees what.

use anyhow::Result;
use tch::{Device, Tensor};

use super::super::shim::Growth;
use super::super::spec::Spec;
use super::cache::Cache;

/// Columns by which masked rounds grow.
const STEADY: i64 = 32;

/// One growing response, as a round sees it.
#[derive(Debug, Clone, Copy)]
pub struct Growing {
    /// Its slot: place · N + response.
    pub slot: usize,
    /// Its tokens, the new one included.
    pub tokens: usize,
}

/// A round.
pub struct Round {
    /// `[R · G]`, rows of the responses' buffers seen as `[·, D]`.
    pub write: Tensor,
    /// Who sees what.
    pub view: View,
}

/// Who sees what.
pub enum View {
    /// Each row what there is of its prompt and of itself.
    Exact(Growth),
    /// Each slot as much as the longest, and masked.
    Masked(Masked),
}

/// A round that reads more columns than it needs and masks them, so that the rounds after it have its shape.
pub struct Masked {
    /// P.
    pub places: i64,
    /// T.
    pub prompt: i64,
    /// S.
    pub response: i64,
    masks: Vec<(Option<i64>, Tensor)>, // of each window, [P, 1, N, 1, T + S], 0 or −∞
}

impl Round {
    /// `prompts` are the lengths of those in use; `rows` stand in the order of their slots, and are all slots where rounds are masked.
    pub fn new(cache: &mut Cache, spec: &Spec, prompts: &[usize], rows: &[Growing], device: Device) -> Result<Self> {
        let [width, length] = cache.widths();
        let longest = [prompts.iter().copied().max(), rows.iter().map(|row| row.tokens).max()];
        let mut read = longest.map(|length| length.unwrap_or(0) as i64);
        if cache.is_masked() {
            read = read.map(|n| (n + STEADY - 1) / STEADY * STEADY);
            read = [read[0].min(width), read[1].min(length)];
        }
        cache.widen(prompts.len(), read);
        let view = match cache.is_masked() {
            true => View::Masked(Masked::new(cache.slots, spec, prompts, rows, read, device)?),
            false => View::Exact(Growth {
                in_place: cache.slots as i64,
                lengths: prompts.iter().map(|&n| n as i64).collect(),
                slots: rows.iter().map(|row| row.slot as i64).collect(),
                tokens: rows.iter().map(|row| row.tokens as i64).collect(),
            }),
        };
        let (g, length) = (spec.kv_heads as usize, length as usize);
        let write: Vec<i64> = rows
            .iter()
            .flat_map(|row| (0..g).map(move |head| ((row.slot * g + head) * length + row.tokens - 1) as i64))
            .collect();
        Ok(Self { write: Tensor::f_from_slice(&write)?.f_to_device(device)?, view })
    }

    /// What its tensors' shapes follow from, where it is masked.
    pub fn shape(&self) -> Option<[i64; 3]> {
        match &self.view {
            View::Exact(_) => None,
            View::Masked(masked) => Some([masked.places, masked.prompt, masked.response]),
        }
    }

    /// Its tensors, those of two rounds of one shape in the same order.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let masks = match &self.view {
            View::Exact(_) => &[][..],
            View::Masked(masked) => &masked.masks,
        };
        masks.iter().map(|(_, mask)| mask).chain([&self.write])
    }
}

impl Masked {
    fn new(
        slots: usize,
        spec: &Spec,
        prompts: &[usize],
        rows: &[Growing],
        [prompt, response]: [i64; 2],
        device: Device,
    ) -> Result<Self> {
        let mut windows: Vec<Option<i64>> = spec.blocks.iter().map(|block| block.window).collect();
        windows.sort_unstable();
        windows.dedup();
        let shape = [prompts.len() as i64, 1, slots as i64, 1, prompt + response];
        let mask = |window: Option<i64>| -> Result<(Option<i64>, Tensor)> {
            let values = mask(window, prompts, rows, slots, prompt as usize, response as usize);
            Ok((window, Tensor::f_from_slice(&values)?.f_view(shape)?.f_to_device(device)?))
        };
        let masks = windows.into_iter().map(mask).collect::<Result<_>>()?;
        Ok(Self { places: prompts.len() as i64, prompt, response, masks })
    }

    /// 0 or −∞, `[P, 1, N, 1, T + S]`, for blocks of this window.
    pub fn mask(&self, window: Option<i64>) -> &Tensor {
        let found = self.masks.iter().find(|(of, _)| *of == window);
        found.map(|(_, mask)| mask).unwrap_or_else(|| unreachable!("each block's window has a mask"))
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
