//! Sampling: N responses to each prompt, with every token's untempered log-probability and entropy from the same pass.
//!
//! Comes in: prompts' ids and one seed a response. Goes out: ids, log-probabilities, entropies, and why each response ended. A token depends
//! on the logits and on one uniform number of the response's own generator, never on which other sequences share the batch.

mod batch;
mod cache;
mod draw;
mod recorder;
mod round;
#[cfg(test)]
mod tests;

use anyhow::Result;
use tch::no_grad;

use super::Model;
use super::device;
use super::memory::cache_bytes;
use super::out_of_memory::attempt;
use crate::error::UserError;
use crate::progress;
use crate::records::Finish;
use batch::Batch;
pub use batch::Pieces;
pub use cache::Sizes;

/// Tokens of responses from which on prepacking saves more than it costs, which is as much as products with some hundred rows.
const WORTH_PREPACKING: usize = 1024;

/// How tokens are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f64,
    /// 0 keeps all.
    pub top_k: usize,
    /// 1 keeps all.
    pub top_p: f64,
    /// Keeps what is at least this much as probable as the likeliest; 0 keeps all.
    pub min_p: f64,
    /// Above 1 makes tokens that were there less likely; 1 does nothing.
    pub repetition_penalty: f64,
    /// Token limit of a response.
    pub max_tokens: usize,
    /// Texts that end a response, which keeps them.
    pub stop: Vec<String>,
    /// Bytes that keys and values may take, and prepacked matrices what these leave.
    pub memory: usize,
}

/// The model's own distribution.
impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            max_tokens: 256,
            stop: Vec::new(),
            memory: 2 << 30,
        }
    }
}

/// A prompt and one seed per response wanted.
pub struct Request {
    /// The prompt's ids.
    pub prompt: Vec<u32>,
    /// One per response.
    pub seeds: Vec<[u8; 32]>,
}

/// One sampled response.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sampled {
    /// Ids, end of sequence included.
    pub ids: Vec<u32>,
    /// log p of each, nats, temperature 1.
    pub logprobs: Vec<f32>,
    /// Entropy of each distribution, nats, temperature 1.
    pub entropies: Vec<f32>,
    /// Why it ended.
    pub finish: Finish,
}

impl Model {
    /// Samples every response of every request.
    pub fn sample(&self, requests: &[Request], sampling: &Sampling) -> Result<Vec<Vec<Sampled>>> {
        for request in requests {
            self.check_prompt(&request.prompt, sampling.max_tokens)?;
        }
        let slots = requests.iter().map(|r| r.seeds.len()).max().unwrap_or(0);
        if slots == 0 {
            return Ok(requests.iter().map(|_| Vec::new()).collect());
        }
        let prompt = requests.iter().map(|r| r.prompt.len()).max().unwrap_or(0);
        let mut sizes = Sizes { places: 1, slots, prompt, response: sampling.max_tokens };
        sizes.places = (sampling.memory / self.cache_bytes(sizes).max(1)).clamp(1, requests.len());
        self.sample_in(requests, sampling, sizes)
    }

    /// Bytes for prepacked matrices: what keys and values leave, where prepacking saves more than it costs. On a GPU, and where bf16 is
    /// multiplied as such, nothing is prepacked, and a single row is multiplied as fast without.
    fn room_to_prepack(&self, requests: &[Request], sampling: &Sampling, sizes: Sizes) -> usize {
        let rows: usize = requests.iter().map(|r| r.seeds.len()).sum();
        let is_worth = rows > 1 && rows * sampling.max_tokens >= WORTH_PREPACKING;
        if is_worth && device::multiplies_in_f32(self.kind) && !self.device.is_cuda() {
            sampling.memory.saturating_sub(self.cache_bytes(sizes))
        } else {
            0
        }
    }

    fn cache_bytes(&self, sizes: Sizes) -> usize {
        cache_bytes(&self.decoder.spec, self.activation_kind(), sizes)
    }

    /// The same in buffers of these sizes; where there is no memory for them, in half as many places.
    fn sample_in(&self, requests: &[Request], sampling: &Sampling, mut sizes: Sizes) -> Result<Vec<Vec<Sampled>>> {
        let mut room = self.room_to_prepack(requests, sampling, sizes);
        loop {
            let sampled = attempt(|| {
                no_grad(|| {
                    let batch = Batch::new(self, requests, sampling, sizes)?;
                    let _prepacked = self.decoder.prepacked(room);
                    batch.run()
                })
            })?;
            if let Some(sampled) = sampled {
                return Ok(sampled);
            }
            if room > 0 {
                progress::say("generate", "out of memory: once more without prepacked matrices");
                room = 0;
                continue;
            }
            if sizes.places == 1 {
                return Err(UserError::new(
                    "out of memory: not even one prompt and its responses can be sampled at a time",
                )
                .hint(
                    "lower generate.responses or generate.max_tokens, take model.dtype = \"bf16\", or a smaller model",
                )
                .into());
            }
            let places = sizes.places / 2;
            progress::say("generate", &format!("out of memory: {places} prompts at once instead of {}", sizes.places));
            sizes.places = places;
        }
    }

    /// Refuses a prompt that the model cannot continue by so many tokens.
    pub fn check_prompt(&self, prompt: &[u32], max_tokens: usize) -> Result<()> {
        if prompt.is_empty() {
            return Err(UserError::new("a prompt has no tokens").hint("remove empty prompts").into());
        }
        let positions = self.decoder.spec.positions;
        if (prompt.len() + max_tokens) as i64 > positions {
            return Err(UserError::new(format!(
                "a prompt of {} tokens and max_tokens = {max_tokens} exceed the model's {positions} positions",
                prompt.len()
            ))
            .hint("lower generate.max_tokens or shorten the prompt")
            .into());
        }
        self.check_ids(prompt)
    }
}
