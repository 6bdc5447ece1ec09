//! Training steps: token trees through the decoder with gradients, any loss that is a function of sequences' log-probabilities.
//!
//! The caller's loss is plain arithmetic: it is given the summed log-probability of every sequence and returns its derivative by each of
//! them. That keeps losses free of tensors, and exact in f64. A batch is divided to keep to a memory budget (`division`); a step that runs
//! out of memory all the same begins again from zero gradients with half the budget, which changes rounding and nothing else.

use std::ops::Range;

use anyhow::{Result, bail};
use tch::{Tensor, no_grad};

use super::adamw::AdamW;
use super::chains::Chains;
use super::division::{Budget, Division};
use super::logprobs::Layout;
use super::tree::{Row, Sequence, join, pack, trees};
use super::{Model, out_of_memory};
use crate::error::UserError;
use crate::progress::say;

/// The optimizer of one model, between [`Trainer::new`] and [`Trainer::finish`].
pub struct Trainer {
    optimizer: AdamW,
    budget: Budget,
    /// Of what the adapter drops; none where it drops nothing.
    seed: Option<u64>,
    /// Tests: passes of more tokens than this run out of memory.
    #[cfg(test)]
    pub room_for: Option<usize>,
}

/// Derivatives of the loss by the log p of sequences, given those, flat over the groups in order.
pub trait Derivative: Fn(Range<usize>, &[f64]) -> Vec<f64> {}
impl<F: Fn(Range<usize>, &[f64]) -> Vec<f64>> Derivative for F {}

impl Trainer {
    /// Trains whatever [`Model::trainable`] says, from zero moments.
    pub fn new(model: &Model, betas: [f64; 2], weight_decay: f64, budget: Budget) -> Result<Self> {
        Ok(Self {
            optimizer: AdamW::new(model.trainable(), betas, weight_decay)?,
            budget,
            seed: None,
            #[cfg(test)]
            room_for: None,
        })
    }

    /// Lets the adapter drop this share of its inputs until [`Self::finish`]. What is dropped depends on the seed, the step and the division.
    pub fn with_dropout(mut self, model: &Model, share: f64, seed: u64) -> Self {
        if share > 0.0 {
            self.seed = Some(seed);
            model.decoder.adapter().iter().for_each(|(_, low)| low.dropout.set(share));
        }
        self
    }

    /// Gathers the gradients of a batch and returns log p of every sequence, flat over the groups. Sequences of a group share what they can
    /// (a prompt, say).
    ///
    /// `derivative` is given a range of groups and log p of their sequences, and returns d loss / d log p of each. It is asked for every
    /// group once, or again after a shortage of memory.
    pub fn accumulate(
        &mut self,
        model: &Model,
        groups: &[Vec<Sequence>],
        derivative: impl Derivative,
    ) -> Result<Vec<f64>> {
        let sizes: Vec<usize> = trees(groups).iter().map(|tree| tree.tokens.len()).collect();
        let mut division = self.budget.divide(&model.decoder.spec, &sizes);
        loop {
            let all = out_of_memory::attempt(|| {
                let mut logps = Vec::new();
                for part in &division.parts {
                    logps.extend(self.part(model, &groups[part.clone()], part, &division, &derivative)?);
                }
                Ok(logps)
            })?;
            if let Some(logps) = all {
                return Ok(logps);
            }
            self.optimizer.clear()?;
            let before = division.clone();
            while division == before {
                if self.budget.bytes == 0 {
                    bail!(
                        UserError::new("a single pair does not fit into memory, even divided as far as it goes").hint(
                            "train a low-rank adapter (train.lora), shorten the responses, or take a smaller model"
                        )
                    );
                }
                self.budget.bytes /= 2;
                division = self.budget.divide(&model.decoder.spec, &sizes);
            }
            say("train", &format!("out of memory: the step is taken again in {} parts", division.parts.len()));
        }
    }

    fn part(
        &self,
        model: &Model,
        groups: &[Vec<Sequence>],
        part: &Range<usize>,
        division: &Division,
        derivative: &impl Derivative,
    ) -> Result<Vec<f64>> {
        let sequences: Vec<Sequence> = groups.iter().flatten().cloned().collect();
        let layout = model.lay_out(&model.rows(trees(groups)), &sequences)?;
        let derivative = |logps: &[f64]| derivative(part.clone(), logps);
        // A stream for every step, place in the batch, and (in the decoder) block.
        let seed = self.seed.map(|seed| {
            let step = self.optimizer.steps() as u64;
            seed.wrapping_add(step << 32).wrapping_add((part.start as u64) << 12).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        });
        let (input, aim, decoder) = (layout.input(true), layout.aim(seed), &model.decoder);
        let logps = if division.recompute {
            let kept = decoder.keep(&input, &aim);
            let (hidden, leaf) = decoder.top(&kept);
            let logps = head(model, &layout, &hidden, sequences.len(), division.places, derivative)?;
            decoder.backward(&input, &aim, kept, leaf.grad(), decoder.adapter().is_empty())?;
            logps
        } else {
            let hidden = decoder.hidden_at(&input, &aim);
            head(model, &layout, &hidden, sequences.len(), division.places, derivative)?
        };
        #[cfg(test)]
        if self.room_for.is_some_and(|room| sequences.iter().map(|s| s.ids.len()).sum::<usize>() > room) {
            bail!("out of memory, as a test has it");
        }
        Ok(logps)
    }

    /// One optimizer step; returns the gradient norm before clipping. Where it is not finite, nothing was changed.
    pub fn step(&mut self, rate: f64, max_norm: f64) -> Result<f64> {
        self.optimizer.step(rate, max_norm)
    }

    /// The optimizer, for a checkpoint.
    pub(super) fn optimizer(&mut self) -> &mut AdamW {
        &mut self.optimizer
    }

    /// Ends training.
    pub fn finish(self, model: &Model) {
        model.decoder.adapter().iter().for_each(|(_, low)| low.dropout.set(0.0));
        self.optimizer.release();
    }
}

/// Log p of `n` sequences from the hidden states `[U, C]`, and backward from there. Where not all logits can be made at once, they are made
/// twice: for the log-probabilities, and, their derivatives known, for the gradients.
fn head(
    model: &Model,
    layout: &Layout,
    hidden: &Tensor,
    n: usize,
    places: usize,
    derivative: impl FnOnce(&[f64]) -> Vec<f64>,
) -> Result<Vec<f64>> {
    let all = layout.places();
    let numbers =
        |sums: &Tensor| -> Result<Vec<f64>> { Ok(Vec::<f32>::try_from(sums)?.into_iter().map(f64::from).collect()) };
    let weights = |logps: &[f64]| -> Result<Tensor> {
        let weights: Vec<f32> = derivative(logps).into_iter().map(|d| d as f32).collect();
        Ok(Tensor::f_from_slice(&weights)?.f_to_device(model.device)?)
    };
    if all <= places {
        let sums = model.score_places(layout, hidden, 0..all)?.sums(n);
        let logps = numbers(&sums)?;
        (sums * weights(&logps)?).sum(None).f_backward()?;
        return Ok(logps);
    }
    let cut = hidden.detach().set_requires_grad(true);
    let chunks: Vec<Range<usize>> = (0..all).step_by(places).map(|from| from..(from + places).min(all)).collect();
    let score = |chunk: &Range<usize>| {
        let here = cut.narrow(0, chunk.start as i64, chunk.len() as i64);
        model.score_places(layout, &here, chunk.clone())
    };
    let sums = no_grad(|| {
        chunks.iter().try_fold(Tensor::zeros([n as i64], (tch::Kind::Float, model.device)), |sums, chunk| {
            anyhow::Ok(sums + score(chunk)?.sums(n))
        })
    })?;
    let logps = numbers(&sums)?;
    let weights = weights(&logps)?;
    for chunk in &chunks {
        (score(chunk)?.sums(n) * &weights).sum(None).f_backward()?;
    }
    // The derivative of Σ h·g by h is g.
    (hidden * cut.grad()).sum(None).f_backward()?;
    Ok(logps)
}

/// Tokens of a row under a mask on the CPU: long enough to fill a matrix product, short enough that its square mask stays small.
const ROW_TOKENS: usize = 384;
/// Tokens of a row that is attended to by chains.
const LONG_ROW_TOKENS: usize = 2048;
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
        let mut rows: Vec<Row> = Vec::new();
        for row in pack(sequences, ROW_TOKENS) {
            let fit = |row: &Row| Chains::fit(row, &self.decoder.spec, self.device);
            match rows.last_mut() {
                Some(last) if last.tokens.len() + row.tokens.len() <= LONG_ROW_TOKENS && fit(last) && fit(&row) => {
                    last.join(row);
                }
                _ => rows.push(row),
            }
        }
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

    /// All trees in one row where that is attended to chain by chain, else rows as wide as the largest.
    fn rows(&self, trees: Vec<Row>) -> Vec<Row> {
        let mut one = Row::default();
        trees.iter().cloned().for_each(|tree| one.join(tree));
        match Chains::of(&one, &self.decoder.spec, self.device) {
            Some(_) => vec![one],
            None => join(trees),
        }
    }

    fn batch_values(&self, batch: &[Row], sequences: &[Sequence], adapter: bool) -> Result<Vec<(usize, f64)>> {
        let scored = self.score_rows(batch, sequences, adapter)?;
        let values = Vec::<f32>::try_from(&scored.logprobs)?;
        Ok(scored.owner.into_iter().map(|o| o as usize).zip(values.into_iter().map(f64::from)).collect())
    }
}
