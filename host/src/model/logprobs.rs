//! Rows of token trees through the decoder: log-probabilities of the scored tokens, and nothing else.
//!
//! Logits are made only at the positions that predict a scored token. With gradients or without: the caller decides by `no_grad`.

use anyhow::Result;
use tch::{Kind, Tensor};

use super::Model;
use super::decoder::Input;
use super::tree::{Row, Sequence};

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

impl Model {
    /// Runs a batch of rows. `sequences` are those that the rows' members index.
    pub fn score_rows(&self, rows: &[Row], sequences: &[Sequence], adapter: bool) -> Result<Scored> {
        for sequence in rows.iter().flat_map(|row| &row.members).map(|(s, _)| &sequences[*s]) {
            self.check_ids(&sequence.ids)?;
        }
        let width = rows.iter().map(|row| row.tokens.len()).max().unwrap_or(0);
        let count = rows.len();
        let mut ids = vec![PAD; count * width];
        let mut positions = vec![0_i64; count * width];
        // Padding stands on the right, where causality hides it: only branching rows need a mask.
        let chains = rows.iter().all(Row::is_chain);
        let mut mask = vec![false; if chains { 0 } else { count * width * width }];
        // (node that predicts, token predicted, owner)
        let (mut predicts, mut tokens, mut owner) = (Vec::new(), Vec::new(), Vec::new());
        for (r, row) in rows.iter().enumerate() {
            let base = r * width;
            for (node, (&token, &depth)) in row.tokens.iter().zip(&row.depths).enumerate() {
                ids[base + node] = i64::from(token);
                positions[base + node] = depth as i64;
            }
            if !chains {
                row.visibility(width, &mut mask[base * width..(base + width) * width]);
            }
            for (s, path) in &row.members {
                let ids = &sequences[*s].ids;
                for j in sequences[*s].from.max(1)..ids.len() {
                    predicts.push((base + path[j - 1]) as i64);
                    tokens.push(i64::from(ids[j]));
                    owner.push(*s as i64);
                }
            }
        }
        let (b, t) = (count as i64, width as i64);
        let device = self.device;
        let mask = match chains {
            true => None,
            false => Some(Tensor::f_from_slice(&mask)?.f_view([b, 1, t, t])?.f_to_device(device)?),
        };
        let hidden = self.decoder.hidden(&Input {
            ids: &Tensor::f_from_slice(&ids)?.f_view([b, t])?.f_to_device(device)?,
            positions: &Tensor::f_from_slice(&positions)?.f_view([b, t])?.f_to_device(device)?,
            key_positions: None,
            mask: mask.as_ref(),
            adapter,
        });
        // A node may predict several tokens (its children): its logits are made once. Where nearly all predict something, picking them
        // out costs more than it saves.
        let (unique, which) = distinct(&predicts);
        let hidden = hidden.reshape([b * t, -1]);
        let (hidden, which) = if unique.len() * 4 >= count * width * 3 {
            (hidden, predicts)
        } else {
            (hidden.index_select(0, &Tensor::f_from_slice(&unique)?.f_to_device(device)?), which)
        };
        let logits = self.decoder.logits(&hidden); // [U, V]
        let which = Tensor::f_from_slice(&which)?.f_to_device(device)?;
        let tokens = Tensor::f_from_slice(&tokens)?.f_to_device(device)?;
        let all = logits.log_softmax(-1, Kind::Float);
        let flat = which * self.decoder.spec.vocabulary + tokens;
        Ok(Scored { logprobs: all.view(-1).index_select(0, &flat), owner })
    }
}

/// The distinct values in order of first appearance, and for every value its index among them.
fn distinct(values: &[i64]) -> (Vec<i64>, Vec<i64>) {
    let mut seen = std::collections::HashMap::new();
    let mut unique = Vec::new();
    let which = values
        .iter()
        .map(|&v| {
            *seen.entry(v).or_insert_with(|| {
                unique.push(v);
                unique.len() as i64 - 1
            })
        })
        .collect();
    (unique, which)
}
