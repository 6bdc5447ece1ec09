//! Training steps: token trees through the decoder with gradients, any loss that is a function of sequences' log-probabilities.
//!
//! The caller's loss is plain arithmetic: it is given the summed log-probability of every sequence and returns its derivative by each of
//! them. That keeps losses free of tensors, and exact in f64.

use anyhow::Result;
use tch::{Tensor, no_grad};

use super::tree::{Row, Sequence, pack, pack_groups};
use super::{AdamW, Model};

/// The optimizer of one model, between [`Trainer::new`] and [`Trainer::finish`].
pub struct Trainer {
    optimizer: AdamW,
}

impl Trainer {
    /// Trains whatever [`Model::trainable`] says, from zero moments.
    pub fn new(model: &Model, betas: [f64; 2], weight_decay: f64) -> Self {
        Self { optimizer: AdamW::new(model.trainable(), betas, weight_decay) }
    }

    /// Adds the gradients of one micro-batch. Sequences of a group share what they can (a prompt, say).
    ///
    /// `derivative` is given log p of every sequence (flat over the groups, in order) and returns d loss / d log p of each.
    pub fn accumulate(
        &mut self,
        model: &Model,
        groups: &[Vec<Sequence>],
        derivative: impl FnOnce(&[f64]) -> Vec<f64>,
    ) -> Result<Vec<f64>> {
        let sequences: Vec<Sequence> = groups.iter().flatten().cloned().collect();
        let scored = model.score_rows(&pack_groups(groups), &sequences, true)?;
        let sums = scored.sums(sequences.len());
        let logps: Vec<f64> = Vec::<f32>::try_from(&sums)?.into_iter().map(f64::from).collect();
        let weights: Vec<f32> = derivative(&logps).into_iter().map(|d| d as f32).collect();
        (sums * Tensor::f_from_slice(&weights)?.f_to_device(model.device)?).sum(None).f_backward()?;
        Ok(logps)
    }

    /// One optimizer step; returns the gradient norm before clipping. Where it is not finite, nothing was changed.
    pub fn step(&mut self, rate: f64, max_norm: f64) -> Result<f64> {
        self.optimizer.step(rate, max_norm)
    }

    /// Ends training.
    pub fn finish(self) {
        self.optimizer.release();
    }
}

/// Tokens of a row of question trees on the CPU: long enough to fill a matrix product, short enough that its square mask stays small.
const ROW_TOKENS: usize = 384;
/// Rows at once on a GPU.
const GPU_ROWS: usize = 32;

impl Model {
    /// Summed log-probability of each sequence's scored tokens, in nats, without gradients. `adapter` off gives the model under it.
    pub fn log_probabilities(
        &self,
        sequences: &[Sequence],
        adapter: bool,
        mut done: impl FnMut(usize),
    ) -> Result<Vec<f64>> {
        let mut sums = vec![0.0; sequences.len()];
        let rows = pack(sequences, ROW_TOKENS);
        let at_once = if self.device.is_cuda() { GPU_ROWS } else { 1 };
        for batch in rows.chunks(at_once) {
            let values = no_grad(|| self.batch_values(batch, sequences, adapter))?;
            for (owner, value) in values {
                sums[owner] += value;
            }
            done(batch.iter().map(|row| row.members.len()).sum());
        }
        Ok(sums)
    }

    fn batch_values(&self, batch: &[Row], sequences: &[Sequence], adapter: bool) -> Result<Vec<(usize, f64)>> {
        let scored = self.score_rows(batch, sequences, adapter)?;
        let values = Vec::<f32>::try_from(&scored.logprobs)?;
        Ok(scored.owner.into_iter().map(|o| o as usize).zip(values.into_iter().map(f64::from)).collect())
    }
}
