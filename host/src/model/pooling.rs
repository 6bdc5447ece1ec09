//! Hidden states to one vector a text, and the decoder as an embedder.

use anyhow::Result;
use tch::{Device, Kind, Tensor, no_grad};

use super::Model;
use super::batches::{by_length, padded, real};
use super::decoder::Input;
use crate::error::UserError;

/// Tokens that go through together, padding counted.
pub fn batch_tokens(device: Device) -> usize {
    if device.is_cuda() { 65_536 } else { 4096 }
}

/// The mean of the hidden states `[B, T, C]` of what is no padding, bool `[B, T]`: `[B, C]` in f32.
pub fn mean(hidden: &Tensor, real: &Tensor) -> Tensor {
    let weight = real.unsqueeze(-1).to_kind(Kind::Float); // [B, T, 1]
    // Padding is zeroed, not multiplied by zero: it may be anything.
    let kept = hidden.to_kind(Kind::Float).masked_fill(&real.logical_not().unsqueeze(-1), 0.0);
    kept.sum_dim_intlist(1, false, Kind::Float) / weight.sum_dim_intlist(1, false, Kind::Float)
}

/// Rows `[B, C]` of length 1.
pub fn unit(rows: &Tensor) -> Tensor {
    let norm = (rows * rows).sum_dim_intlist(-1, true, Kind::Float).sqrt();
    rows / norm.clamp_min(1e-12)
}

/// The rows `[B, N]` of a batch, put at their places in `all`; none may hold what is no number.
pub fn place(rows: &Tensor, members: &[usize], all: &mut [Vec<f32>]) -> Result<()> {
    for (&at, row) in members.iter().zip(Vec::<Vec<f32>>::try_from(&rows.to_device(Device::Cpu))?) {
        if row.iter().any(|x| !x.is_finite()) {
            return Err(UserError::new("a model's outputs are not finite")
                .hint("its weights hold NaN or infinities, or overflow in this dtype: try f32, or another copy")
                .into());
        }
        all[at] = row;
    }
    Ok(())
}

impl Model {
    /// The mean of the last hidden states (normed, as the logits are made of them) of each text's tokens, scaled to length 1. The text is
    /// tokenized as a prompt would be, with the token that begins every text where there is one.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let ids: Vec<Vec<u32>> = texts.iter().map(|text| self.text.encode(text, true)).collect::<Result<_>>()?;
        for ids in &ids {
            self.check_ids(ids)?;
            if ids.is_empty() {
                return Err(UserError::new("a question asks about a text that has no token in the model's vocabulary")
                    .hint("leave empty texts out, or give an embedder as models.embed")
                    .into());
            }
        }
        let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
        let mut all = vec![Vec::new(); ids.len()];
        for members in by_length(&lengths, batch_tokens(self.device)) {
            let rows = no_grad(|| self.embed_together(&members, &ids))?;
            place(&rows, &members, &mut all)?;
        }
        Ok(all)
    }

    fn embed_together(&self, members: &[usize], texts: &[Vec<u32>]) -> Result<Tensor> {
        let texts: Vec<&[u32]> = members.iter().map(|&i| &texts[i][..]).collect();
        let ids = padded(&texts, self.device)?;
        let shape = [ids.size()[0], ids.size()[1]];
        let positions = Tensor::arange(shape[1], (Kind::Int64, self.device)).expand(shape, false).contiguous();
        let hidden = self.decoder.hidden(&Input {
            ids: &ids,
            positions: &positions,
            // Padding stands on the right, where causality hides it from every real token.
            mask: None,
            adapter: true,
        });
        Ok(unit(&mean(&hidden, &real(&texts, self.device)?)))
    }
}
