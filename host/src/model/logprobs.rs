//! Rows of token trees as tensors, and the log-probabilities of their scored tokens.
//!
//! Logits are made only at the positions that predict a scored token. With gradients or without: the caller decides by `no_grad`.

use std::ops::Range;

use anyhow::Result;
use tch::{Kind, Tensor};

use super::Model;
use super::chains::Chains;
use super::decoder::{Aim, Input};
use super::shim;
use super::tree::{Row, Sequence};

/// Numbers of the logits that are made at once.
const LOGITS: usize = 1 << 24;
/// Padding of rows: any id will do, nothing sees it.
const PAD: i64 = 0;

/// Log-probabilities of a batch of rows, flat, with the sequence each belongs to.
pub struct Scored {
    /// log p of every scored token `[M]`, in f32.
    pub logprobs: Tensor,
    /// For each of them, the index of its sequence.
    pub owner: Vec<i64>,
}

impl Scored {
    /// Sum over each of `n` sequences `[n]`.
    pub fn sums(&self, n: usize) -> Tensor {
        let owner = Tensor::from_slice(&self.owner).to_device(self.logprobs.device());
        Tensor::zeros([n as i64], (Kind::Float, self.logprobs.device())).index_add(0, &owner, &self.logprobs)
    }
}

/// A batch of rows as the decoder takes them, `B` rows of `T` tokens, and what is predicted where.
pub struct Layout {
    ids: Tensor,          // [B, T]
    positions: Tensor,    // [B, T]
    mask: Option<Tensor>, // [B, 1, T, T]
    chains: Option<Chains>,
    wanted: Tensor, // [U], places in the flattened [B · T] that predict something, each once
    /// For every scored token: which of those places predicts it, the token, and its sequence.
    targets: Vec<(i64, i64, i64)>,
}

impl Layout {
    /// How many places predict something.
    pub fn places(&self) -> usize {
        self.wanted.numel()
    }

    /// What is wanted of the pass. `seed` draws what an adapter in training drops.
    pub fn aim(&self, seed: Option<u64>) -> Aim<'_> {
        Aim { wanted: &self.wanted, chains: self.chains.as_ref(), seed }
    }

    /// What goes through the decoder.
    pub fn input(&self, adapter: bool) -> Input<'_> {
        let Self { ids, positions, mask, .. } = self;
        Input { ids, positions, mask: mask.as_ref(), adapter }
    }
}

impl Model {
    /// Runs a batch of rows. `sequences` are those that the rows' members index.
    pub fn score_rows(&self, rows: &[Row], sequences: &[Sequence], adapter: bool) -> Result<Scored> {
        let layout = self.lay_out(rows, sequences)?;
        let hidden = self.decoder.hidden_at(&layout.input(adapter), &layout.aim(None));
        let places = layout.places();
        let at_once = (LOGITS / self.decoder.spec.vocabulary as usize).max(1);
        let mut parts = Vec::new();
        let mut owner = Vec::new();
        for from in (0..places).step_by(at_once) {
            let n = at_once.min(places - from);
            let part = self.score_places(&layout, &hidden.f_narrow(0, from as i64, n as i64)?, from..from + n)?;
            parts.push(part.logprobs);
            owner.extend(part.owner);
        }
        let none = || Tensor::f_zeros([0], (Kind::Float, self.device));
        Ok(Scored { logprobs: if parts.is_empty() { none()? } else { Tensor::f_cat(&parts, 0)? }, owner })
    }

    /// The rows as tensors on the model's device.
    pub fn lay_out(&self, rows: &[Row], sequences: &[Sequence]) -> Result<Layout> {
        for sequence in rows.iter().flat_map(|row| &row.members).map(|(s, _)| &sequences[*s]) {
            self.check_ids(&sequence.ids)?;
        }
        let width = rows.iter().map(|row| row.tokens.len()).max().unwrap_or(0);
        let count = rows.len();
        let mut ids = vec![PAD; count * width];
        let mut positions = vec![0_i64; count * width];
        // Padding stands on the right, where causality hides it: only branching rows need a mask.
        let chains = match rows {
            [row] => Chains::of(row, &self.decoder.spec, self.device),
            _ => None,
        };
        let unmasked = chains.is_some() || rows.iter().all(Row::is_chain);
        let mut mask = vec![false; if unmasked { 0 } else { count * width * width }];
        // A node may predict several tokens (its children): its logits are made once.
        let (mut wanted, mut targets) = (Vec::new(), Vec::new());
        for (r, row) in rows.iter().enumerate() {
            let base = r * width;
            for (node, (&token, &depth)) in row.tokens.iter().zip(&row.depths).enumerate() {
                ids[base + node] = i64::from(token);
                positions[base + node] = depth as i64;
            }
            if !unmasked {
                row.visibility(width, &mut mask[base * width..(base + width) * width]);
            }
            let mut place = vec![None; row.tokens.len()];
            for (s, path) in &row.members {
                let ids = &sequences[*s].ids;
                for j in sequences[*s].from.max(1)..ids.len() {
                    let node = path[j - 1];
                    let at = *place[node].get_or_insert_with(|| {
                        wanted.push((base + node) as i64);
                        wanted.len() as i64 - 1
                    });
                    targets.push((at, i64::from(ids[j]), *s as i64));
                }
            }
        }
        let (b, t) = (count as i64, width as i64);
        let device = self.device;
        let there = |values: &[i64]| Tensor::f_from_slice(values)?.f_to_device(device);
        let mask = match unmasked {
            true => None,
            false => Some(Tensor::f_from_slice(&mask)?.f_view([b, 1, t, t])?.f_to_device(device)?),
        };
        Ok(Layout {
            ids: there(&ids)?.f_view([b, t])?,
            positions: there(&positions)?.f_view([b, t])?,
            mask,
            chains,
            wanted: there(&wanted)?,
            targets,
        })
    }

    /// Log-probabilities of what the `places` predict, given their hidden states `[places, C]`.
    pub fn score_places(&self, layout: &Layout, hidden: &Tensor, places: Range<usize>) -> Result<Scored> {
        let (from, to) = (places.start as i64, places.end as i64);
        let here = layout.targets.iter().filter(|(at, ..)| (from..to).contains(at));
        let (mut rows, mut tokens, mut owner) = (Vec::new(), Vec::new(), Vec::new());
        for &(at, token, sequence) in here {
            rows.push(at - from);
            tokens.push(token);
            owner.push(sequence);
        }
        let there = |values: &[i64]| Tensor::f_from_slice(values)?.f_to_device(self.device);
        let (rows, tokens) = (there(&rows)?, there(&tokens)?);
        let logits = self.decoder.logits(hidden); // [places, V]
        let logprobs = match shim::fits(&logits) {
            true => shim::token_logprobs(logits, &rows, &tokens),
            false => {
                let flat = rows * self.decoder.spec.vocabulary + tokens;
                logits.log_softmax(-1, Kind::Float).view(-1).index_select(0, &flat)
            }
        };
        Ok(Scored { logprobs, owner })
    }
}
