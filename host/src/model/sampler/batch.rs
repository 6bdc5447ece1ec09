//! Continuous batching: prompts come in as places fall free, every growing response gets one token a round, ended ones leave at once.
//!
//! A place is a prompt with its slots, because they share its keys: a response's slot is not computed once it has ended, and the place is
//! refilled when its last response has. Places in use stand without gaps, so that buffers are read no further than they are filled.

use std::collections::VecDeque;

use anyhow::Result;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tch::{Kind, Tensor};

use super::super::Model;
use super::super::batches::padded;
use super::super::decoder::{Aim, Input};
use super::cache::{Cache, Sizes};
use super::draw::{Drawn, draw};
use super::recorder::{Recorder, Step};
use super::round::{Growing, Round};
use super::{Request, Sampled, Sampling};
use crate::records::Finish;

/// How much is computed at a time.
#[derive(Debug, Clone, Copy)]
pub struct Pieces {
    /// Rows whose logits are held at once. The host waits for a GPU between them, so that it is given more.
    pub logit_rows: usize,
    /// Tokens of prompts in one pass. What is between its layers stays in a CPU's cache; a GPU is not busy with so few.
    pub prompt_tokens: usize,
}

impl Pieces {
    /// On a GPU, or a CPU.
    pub fn on(gpu: bool) -> Self {
        match gpu {
            true => Self { logit_rows: 512, prompt_tokens: 4096 },
            false => Self { logit_rows: 128, prompt_tokens: 1024 },
        }
    }
}

/// Requests that are being sampled.
pub struct Batch<'a> {
    model: &'a Model,
    requests: &'a [Request],
    sampling: &'a Sampling,
    cache: Cache,
    /// On a device that records.
    recorder: Option<Recorder>,
    pieces: Pieces,
    capacity: usize,
    waiting: VecDeque<usize>,
    places: Vec<Place>,
    results: Vec<Vec<Sampled>>,
}

/// A prompt with its responses.
struct Place {
    request: usize,
    /// The random stream of each response that still grows.
    slots: Vec<Option<ChaCha8Rng>>,
    /// Bool `[N, V]`, where a repetition penalty needs it: the tokens of the prompt and of the response so far.
    seen: Option<Tensor>,
}

impl<'a> Batch<'a> {
    /// With buffers for so many places.
    pub fn new(model: &'a Model, requests: &'a [Request], sampling: &'a Sampling, sizes: Sizes) -> Result<Self> {
        let gpu = model.device.is_cuda();
        Ok(Self {
            model,
            requests,
            sampling,
            recorder: gpu.then(Recorder::default),
            pieces: Pieces::on(gpu),
            cache: Cache::new(&model.decoder.spec, sizes, model.activation_kind(), model.device, gpu)?,
            capacity: sizes.places,
            waiting: (0..requests.len()).filter(|&r| !requests[r].seeds.is_empty()).collect(),
            places: Vec::new(),
            results: requests.iter().map(|r| vec![Sampled::default(); r.seeds.len()]).collect(),
        })
    }

    /// Samples until nothing waits and nothing grows.
    pub fn run(mut self) -> Result<Vec<Vec<Sampled>>> {
        loop {
            while !self.waiting.is_empty() && self.places.len() < self.capacity {
                self.admit()?;
            }
            if self.places.is_empty() {
                return Ok(self.results);
            }
            self.round()?;
        }
    }

    /// Computes the next prompts and draws the first token of each of their responses.
    fn admit(&mut self) -> Result<()> {
        let (first, device) = (self.places.len(), self.model.device);
        let (mut width, mut count) = (0, 0);
        for &request in self.waiting.iter().take(self.capacity - first) {
            let wider = width.max(self.requests[request].prompt.len());
            if count > 0 && wider * (count + 1) > self.pieces.prompt_tokens {
                break;
            }
            (width, count) = (wider, count + 1);
        }
        let admitted: Vec<usize> = self.waiting.drain(..count).collect();
        let prompts: Vec<&[u32]> = admitted.iter().map(|&request| &self.requests[request].prompt[..]).collect();
        let (a, t) = (count as i64, width as i64);
        self.cache.make_room(first, count, t);
        let input = Input {
            ids: &padded(&prompts, device)?,
            positions: &Tensor::arange(t, (Kind::Int64, device)).expand([a, t], false).contiguous(),
            // Padding stands on the right, where causality hides it from every real token.
            mask: None,
            adapter: true,
        };
        let last = |(row, &request): (usize, &usize)| (row * width + self.requests[request].prompt.len()) as i64 - 1;
        let last: Vec<i64> = admitted.iter().enumerate().map(last).collect();
        let aim = Aim { wanted: &Tensor::f_from_slice(&last)?.f_to_device(device)?, chains: None, seed: None };
        let cache = &self.cache;
        let hidden = self.model.decoder.prefill(&input, &aim, |block, k, v| cache.write_prompts(block, first, k, v));
        for &request in &admitted {
            let place = self.place(request)?;
            self.places.push(place);
        }
        let together = (self.pieces.logit_rows / self.cache.slots).max(1);
        for (from, hidden) in (0..count).step_by(together).zip(hidden.split(together as i64, 0)) {
            let rows: Vec<(usize, usize)> = (from..(from + together).min(count))
                .flat_map(|row| (0..self.requests[admitted[row]].seeds.len()).map(move |i| (first + row, i)))
                .collect();
            let owner: Vec<i64> = rows.iter().map(|&(place, _)| (place - first - from) as i64).collect();
            let owner = Tensor::f_from_slice(&owner)?.f_to_device(device)?;
            self.extend(&rows, self.model.decoder.logits(&hidden).index_select(0, &owner))?;
        }
        self.retire();
        Ok(())
    }

    fn place(&self, request: usize) -> Result<Place> {
        let Request { prompt, seeds } = &self.requests[request];
        let slots = seeds.iter().map(|seed| Some(ChaCha8Rng::from_seed(*seed))).collect();
        let seen = match self.sampling.repetition_penalty == 1.0 {
            true => None,
            false => {
                let (n, v) = (self.cache.slots as i64, self.model.decoder.spec.vocabulary);
                let seen = Tensor::zeros([n, v], (Kind::Bool, self.model.device));
                let ids: Vec<i64> = prompt.iter().map(|&id| i64::from(id)).collect();
                let ids = Tensor::f_from_slice(&ids)?.f_to_device(self.model.device)?;
                Some(seen.index_fill(1, &ids, 1))
            }
        };
        Ok(Place { request, slots, seen })
    }

    /// One more token of every growing response.
    fn round(&mut self) -> Result<()> {
        let (device, n) = (self.model.device, self.cache.slots);
        let growing = |(p, place): (usize, &Place)| -> Vec<(usize, usize)> {
            place.slots.iter().enumerate().filter(|(_, slot)| slot.is_some()).map(|(i, _)| (p, i)).collect()
        };
        let rows: Vec<(usize, usize)> = self.places.iter().enumerate().flat_map(growing).collect();
        let prompts: Vec<usize> = self.places.iter().map(|place| self.requests[place.request].prompt.len()).collect();
        let (mut ids, mut positions, mut all) = (Vec::new(), Vec::new(), Vec::new());
        let mut add = |(p, i): (usize, usize)| {
            let sampled = self.results[self.places[p].request].get(i).map_or(&[][..], |sampled| &sampled.ids);
            let tokens = sampled.len().max(1);
            ids.push(sampled.last().map_or(0, |&id| i64::from(id)));
            positions.push((prompts[p] + tokens) as i64 - 1);
            all.push(Growing { slot: p * n + i, tokens });
        };
        // Masked rounds compute every slot; what comes of an ended response's is not looked at.
        match self.cache.is_masked() {
            true => (0..prompts.len()).flat_map(|p| (0..n).map(move |i| (p, i))).for_each(&mut add),
            false => rows.iter().copied().for_each(&mut add),
        }
        let spec = &self.model.decoder.spec;
        let column = |values: &[i64]| -> Result<Tensor> {
            Ok(Tensor::f_from_slice(values)?.f_view([-1, 1])?.f_to_device(device)?)
        };
        let round = Round::new(&mut self.cache, spec, &prompts, &all, device)?;
        let step = Step { ids: column(&ids)?, positions: column(&positions)?, round };
        let cache = &self.cache;
        let compute = |step: &Step| {
            let input = Input { ids: &step.ids, positions: &step.positions, mask: None, adapter: true };
            let attend = |block: usize, [q, k, v]: [&Tensor; 3]| cache.attend(&step.round, spec, block, q, k, v);
            self.model.decoder.run(&input, attend).squeeze_dim(1) // [R, C]
        };
        let hidden = match &mut self.recorder {
            None => compute(&step),
            Some(recorder) => {
                let hidden = recorder.run(step, compute)?;
                let slots: Vec<i64> = rows.iter().map(|&(p, i)| (p * n + i) as i64).collect();
                hidden.index_select(0, &Tensor::f_from_slice(&slots)?.f_to_device(device)?)
            }
        };
        let pieces = rows.len().div_ceil(self.pieces.logit_rows);
        let together = rows.len().div_ceil(pieces);
        for (rows, hidden) in rows.chunks(together).zip(hidden.split(together as i64, 0)) {
            self.extend(rows, self.model.decoder.logits(&hidden))?;
        }
        self.retire();
        Ok(())
    }

    /// Draws one token for each of the rows (place, response), whose logits are given `[rows, V]`.
    fn extend(&mut self, rows: &[(usize, usize)], logits: Tensor) -> Result<()> {
        let mut uniform = Vec::with_capacity(rows.len());
        let mut seen = Vec::new();
        for &(p, i) in rows {
            let place = &mut self.places[p];
            uniform.push(place.slots[i].as_mut().map_or(0.0, unit));
            seen.extend(place.seen.as_ref().map(|seen| seen.get(i as i64)));
        }
        let mask = if seen.is_empty() { None } else { Some(Tensor::stack(&seen, 0)) };
        let Drawn { ids, logprobs, entropies } = draw(logits, mask.as_ref(), &uniform, self.sampling)?;
        for (row, &(p, i)) in rows.iter().enumerate() {
            let place = &mut self.places[p];
            let result = &mut self.results[place.request][i];
            result.ids.push(ids[row] as u32);
            result.logprobs.push(logprobs[row]);
            result.entropies.push(entropies[row]);
            if let Some(seen) = &place.seen {
                let _ = seen.get(i as i64).narrow(0, ids[row], 1).fill_(1);
            }
            if let Some(finish) = finish(self.model, self.sampling, &result.ids)? {
                result.finish = finish;
                place.slots[i] = None;
            }
        }
        Ok(())
    }

    /// Gives the places free whose responses have all ended; the last place takes a free one's room.
    fn retire(&mut self) {
        for p in (0..self.places.len()).rev() {
            if self.places[p].slots.iter().all(Option::is_none) {
                let last = self.places.len() - 1;
                if p < last {
                    self.cache.move_place(last, p);
                }
                self.places.swap_remove(p);
            }
        }
    }
}

/// Why a response ends with its newest token, if it does: an end token before a stop string before the limit.
fn finish(model: &Model, sampling: &Sampling, ids: &[u32]) -> Result<Option<Finish>> {
    if ids.last().is_some_and(|id| model.eos.contains(id)) {
        return Ok(Some(Finish::Eos));
    }
    if !sampling.stop.is_empty() {
        let text = model.text.decode(ids)?;
        if sampling.stop.iter().any(|stop| text.contains(stop.as_str())) {
            return Ok(Some(Finish::Stop));
        }
    }
    Ok((ids.len() >= sampling.max_tokens).then_some(Finish::Length))
}

/// Uniform in [0, 1), 24 bits.
fn unit(random: &mut ChaCha8Rng) -> f32 {
    (random.next_u32() >> 8) as f32 / (1_u32 << 24) as f32
}
