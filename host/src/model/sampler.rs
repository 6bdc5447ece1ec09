//! Sampling: N responses to each prompt, with every token's untempered log-probability and entropy from the same pass.
//!
//! A prompt is computed once for all its responses. A token depends on the logits and on one uniform number drawn from a generator
//! seeded per response, never on which other sequences share the batch. Finished rows leave the batch.

use anyhow::Result;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tch::{Kind, Tensor, no_grad};

use super::Model;
use super::decoder::{Input, KeyValue};
use crate::error::UserError;
use crate::records::Finish;

/// How tokens are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f64,
    /// 0 keeps all.
    pub top_k: usize,
    /// 1 keeps all.
    pub top_p: f64,
    /// Token limit of a response.
    pub max_tokens: usize,
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

/// Keys and values held at once, in bytes: more prompts than fit are sampled one part after another.
const CACHE_BYTES: usize = 2 << 30;

impl Model {
    /// Samples every response of every request.
    pub fn sample(&self, requests: &[Request], sampling: &Sampling) -> Result<Vec<Vec<Sampled>>> {
        let spec = &self.decoder.spec;
        for request in requests {
            self.check_prompt(&request.prompt, sampling.max_tokens)?;
        }
        let width = if self.kind == Kind::BFloat16 { 2 } else { 4 };
        let longest = requests.iter().map(|r| r.prompt.len()).max().unwrap_or(0) + sampling.max_tokens;
        let row = longest * spec.cached_per_position() as usize * width;
        let rows = (CACHE_BYTES / row.max(1)).max(1);
        let mut all = Vec::with_capacity(requests.len());
        let mut start = 0;
        while start < requests.len() {
            let mut end = start;
            let mut used = 0;
            while end < requests.len() && (end == start || used + requests[end].seeds.len() <= rows) {
                used += requests[end].seeds.len();
                end += 1;
            }
            all.extend(no_grad(|| self.sample_together(&requests[start..end], sampling))?);
            start = end;
        }
        Ok(all)
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

    fn sample_together(&self, requests: &[Request], sampling: &Sampling) -> Result<Vec<Vec<Sampled>>> {
        let prompt_width = requests.iter().map(|r| r.prompt.len()).max().unwrap_or(0);
        let lengths: Vec<usize> = requests.iter().map(|r| r.prompt.len()).collect();
        // (request, response) of every row that is still growing.
        let mut rows: Vec<(usize, usize)> =
            requests.iter().enumerate().flat_map(|(r, q)| (0..q.seeds.len()).map(move |i| (r, i))).collect();
        let mut results: Vec<Vec<Sampled>> = requests.iter().map(|r| vec![Sampled::default(); r.seeds.len()]).collect();
        let mut random: Vec<Vec<ChaCha8Rng>> =
            requests.iter().map(|r| r.seeds.iter().map(|s| ChaCha8Rng::from_seed(*s)).collect()).collect();
        let (mut logits, mut cache) = self.prompts(requests, prompt_width, &rows, sampling.max_tokens)?;
        for t in 0..sampling.max_tokens {
            let uniform: Vec<f32> = rows.iter().map(|&(r, i)| unit(&mut random[r][i])).collect();
            let drawn = self.draw(&logits, &uniform, sampling)?;
            for (row, &(r, i)) in rows.iter().enumerate() {
                let result = &mut results[r][i];
                if result.finish == Finish::Eos && !result.ids.is_empty() {
                    continue;
                }
                result.ids.push(drawn.ids[row] as u32);
                result.logprobs.push(drawn.logprobs[row]);
                result.entropies.push(drawn.entropies[row]);
                let ended = self.eos.contains(&(drawn.ids[row] as u32));
                result.finish = if ended { Finish::Eos } else { Finish::Length };
            }
            let alive: Vec<i64> = (0..rows.len())
                .filter(|&row| results[rows[row].0][rows[row].1].finish != Finish::Eos)
                .map(|row| row as i64)
                .collect();
            if alive.is_empty() || t + 1 == sampling.max_tokens {
                break;
            }
            let mut ids = drawn.ids;
            // Taking ended rows out copies the whole cache: it is done when they are many enough to pay for it.
            if alive.len() * 4 <= rows.len() * 3 {
                let keep = Tensor::f_from_slice(&alive)?.f_to_device(self.device)?;
                let used = (prompt_width + t) as i64;
                for (keys, values) in &mut cache {
                    *keys = take_rows(keys, &keep, used)?;
                    *values = take_rows(values, &keep, used)?;
                }
                rows = alive.iter().map(|&row| rows[row as usize]).collect();
                ids = alive.iter().map(|&row| ids[row as usize]).collect();
            }
            logits = self.grow(&ids, &rows, &lengths, &cache, prompt_width, t)?;
        }
        Ok(results)
    }

    /// Computes the prompts once each: the logits `[R, V]` after them and a cache with room for the responses, a row per response.
    fn prompts(
        &self,
        requests: &[Request],
        width: usize,
        rows: &[(usize, usize)],
        max_tokens: usize,
    ) -> Result<(Tensor, Vec<KeyValue>)> {
        let (p, w) = (requests.len() as i64, width as i64);
        let mut ids = vec![0_i64; requests.len() * width];
        for (r, request) in requests.iter().enumerate() {
            for (t, &id) in request.prompt.iter().enumerate() {
                ids[r * width + t] = i64::from(id);
            }
        }
        let positions = Tensor::arange(w, (Kind::Int64, self.device)).expand([p, w], false).contiguous();
        let (hidden, cache) = self.decoder.prefill(&Input {
            ids: &Tensor::f_from_slice(&ids)?.f_view([p, w])?.f_to_device(self.device)?,
            positions: &positions,
            key_positions: None,
            // Padding stands on the right, where causality hides it from every real token.
            mask: None,
            adapter: true,
        });
        let last: Vec<i64> =
            requests.iter().enumerate().map(|(r, q)| (r * width + q.prompt.len()) as i64 - 1).collect();
        let last = Tensor::f_from_slice(&last)?.f_to_device(self.device)?;
        let hidden = hidden.view([p * w, -1]).index_select(0, &last);
        let owner: Vec<i64> = rows.iter().map(|&(r, _)| r as i64).collect();
        let owner = Tensor::f_from_slice(&owner)?.f_to_device(self.device)?;
        let grown = cache
            .into_iter()
            .map(|(keys, values)| Ok((widen(&keys, &owner, max_tokens)?, widen(&values, &owner, max_tokens)?)))
            .collect::<Result<_>>()?;
        Ok((self.decoder.logits(&hidden).index_select(0, &owner), grown))
    }

    /// The logits `[R, V]` after one more token of every row, the `t`-th of its response.
    fn grow(
        &self,
        ids: &[i64],
        rows: &[(usize, usize)],
        lengths: &[usize],
        cache: &[KeyValue],
        prompt_width: usize,
        t: usize,
    ) -> Result<Tensor> {
        let r = rows.len() as i64;
        let slot = prompt_width + t;
        let mut mask = vec![true; rows.len() * (slot + 1)];
        let mut positions = Vec::with_capacity(rows.len());
        for (row, &(request, _)) in rows.iter().enumerate() {
            let length = lengths[request];
            positions.push((length + t) as i64);
            mask[row * (slot + 1) + length..row * (slot + 1) + prompt_width].fill(false);
        }
        let mask = Tensor::f_from_slice(&mask)?.f_view([r, 1, 1, slot as i64 + 1])?.f_to_device(self.device)?;
        let key_positions = match self.decoder.spec.shortest_window().is_some_and(|window| window <= slot as i64) {
            true => Some(self.key_positions(rows, lengths, prompt_width, slot)?),
            false => None,
        };
        let input = Input {
            ids: &Tensor::f_from_slice(ids)?.f_view([r, 1])?.f_to_device(self.device)?,
            positions: &Tensor::f_from_slice(&positions)?.f_view([r, 1])?.f_to_device(self.device)?,
            key_positions: key_positions.as_ref(),
            mask: Some(&mask),
            adapter: true,
        };
        let hidden = self.decoder.step(&input, cache, slot as i64);
        Ok(self.decoder.logits(&hidden.squeeze_dim(1)))
    }

    /// Position of what lies in each slot of the cache `[R, slot + 1]`: between a short prompt and its response there is padding.
    fn key_positions(
        &self,
        rows: &[(usize, usize)],
        lengths: &[usize],
        prompt_width: usize,
        slot: usize,
    ) -> Result<Tensor> {
        let position = |length: usize, s: usize| if s < prompt_width { s } else { length + s - prompt_width } as i64;
        let all: Vec<i64> =
            rows.iter().flat_map(|&(request, _)| (0..=slot).map(move |s| position(lengths[request], s))).collect();
        Ok(Tensor::f_from_slice(&all)?.f_view([rows.len() as i64, slot as i64 + 1])?.f_to_device(self.device)?)
    }

    /// Draws one token per row by inverting the cumulative distribution at `uniform`.
    fn draw(&self, logits: &Tensor, uniform: &[f32], sampling: &Sampling) -> Result<Drawn> {
        let plain = logits.log_softmax(-1, Kind::Float); // [R, V]
        let entropy =
            -(plain.exp() * &plain).nan_to_num(0.0, None::<f64>, None::<f64>).sum_dim_intlist(-1, false, Kind::Float);
        let ids = if sampling.temperature == 0.0 {
            logits.argmax(-1, false)
        } else {
            let probabilities = (logits / sampling.temperature).softmax(-1, Kind::Float);
            let uniform = Tensor::f_from_slice(uniform)?.f_view([-1, 1])?.f_to_device(self.device)?;
            if sampling.top_k == 0 && sampling.top_p >= 1.0 {
                invert(&probabilities, &uniform)
            } else {
                let (sorted, order) = probabilities.sort(-1, true);
                let kept = keep(sorted, sampling);
                order.gather(-1, &invert(&kept, &uniform).unsqueeze(-1), false).squeeze_dim(-1)
            }
        };
        let logprobs = Vec::<f32>::try_from(&plain.gather(-1, &ids.unsqueeze(-1), false).squeeze_dim(-1))?;
        // A token that can be drawn has a probability, so this is a matter of the weights.
        if logprobs.iter().any(|p| !p.is_finite()) {
            return Err(UserError::new("the model's logits are not finite")
                .hint("its weights hold NaN or infinities, or overflow in this model.dtype: try f32, or another copy")
                .into());
        }
        Ok(Drawn { ids: Vec::try_from(&ids)?, logprobs, entropies: Vec::try_from(&entropy)? })
    }
}

struct Drawn {
    ids: Vec<i64>,
    logprobs: Vec<f32>,
    entropies: Vec<f32>,
}

/// Zeroes what top-k and top-p leave out of probabilities sorted downwards `[R, V]`; the likeliest token always stays.
fn keep(sorted: Tensor, sampling: &Sampling) -> Tensor {
    let mut kept = sorted;
    let v = kept.size()[1];
    if sampling.top_k > 0 && (sampling.top_k as i64) < v {
        let k = sampling.top_k as i64;
        let _ = kept.narrow(1, k, v - k).zero_();
    }
    if sampling.top_p < 1.0 {
        // A token stays while those before it hold less than top_p of what top-k left.
        let total = kept.sum_dim_intlist(-1, true, Kind::Float);
        let before = kept.cumsum(-1, Kind::Float) - &kept;
        let drop = before.ge_tensor(&(total * sampling.top_p));
        let _ = drop.narrow(1, 0, 1).fill_(0);
        kept = kept.masked_fill(&drop, 0.0);
    }
    kept
}

/// Index of the first entry whose cumulative weight exceeds `uniform` times the total. `[R, V]`, `[R, 1]` → `[R]`.
fn invert(weights: &Tensor, uniform: &Tensor) -> Tensor {
    let cumulative = weights.cumsum(-1, Kind::Float);
    let v = weights.size()[1];
    let target = uniform * cumulative.narrow(1, v - 1, 1);
    let index = cumulative.le_tensor(&target).sum_dim_intlist(-1, false, Kind::Int64);
    // Rounding may push the target onto the total; the last entry that weighs anything is then meant.
    let last = (weights.gt(0.0) * Tensor::arange(v, (Kind::Int64, weights.device()))).amax(-1, false);
    index.minimum(&last)
}

/// Uniform in [0, 1), 24 bits.
fn unit(random: &mut ChaCha8Rng) -> f32 {
    (random.next_u32() >> 8) as f32 / (1_u32 << 24) as f32
}

/// The rows `keep` of a cache `[R, G, S, D]`, of which the first `used` positions hold something.
fn take_rows(kv: &Tensor, keep: &Tensor, used: i64) -> Result<Tensor> {
    let (_, g, s, d) = kv.size4()?;
    let taken = Tensor::empty([keep.size()[0], g, s, d], (kv.kind(), kv.device()));
    taken.narrow(2, 0, used).copy_(&kv.narrow(2, 0, used).index_select(0, keep));
    Ok(taken)
}

/// `[P, G, T, D]` → `[R, G, T + room, D]`: each response's own copy of its prompt's keys or values.
fn widen(kv: &Tensor, owner: &Tensor, room: usize) -> Result<Tensor> {
    let (_, g, t, d) = kv.size4()?;
    let rows = owner.size()[0];
    let wide = Tensor::empty([rows, g, t + room as i64, d], (kv.kind(), kv.device()));
    wide.narrow(2, 0, t).copy_(&kv.index_select(0, owner));
    Ok(wide)
}
