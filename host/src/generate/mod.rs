//! Samples N responses to every prompt, in units of a fixed number of prompts.
//!
//! Comes in: prompts and a model. Goes out: `responses.jsonl`. A unit is the grain of resume: it is sampled and written whole, so a resumed
//! run writes the same bytes as an unbroken one. A response's randomness depends on (seed, prompt id, response index) alone.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::config::Generate;
use crate::model::{Model, Request, Sampling};
use crate::progress::Progress;
use crate::records::{Prompt, Response, Sample};

/// How many of `written` samples form whole units and stay when a run is resumed.
pub fn whole_units(written: usize, unit: usize) -> usize {
    written / unit * unit
}

/// Samples responses to `prompts`; `sink` is given one unit's samples at a time, in order.
pub fn room(
    model: &Model,
    prompts: &[Prompt],
    generate: &Generate,
    seed: u64,
    mut sink: impl FnMut(&[Sample]) -> Result<()>,
) -> Result<()> {
    let progress = Progress::start("generate", (prompts.len() * generate.responses) as u64, "responses");
    for unit in prompts.chunks(generate.unit) {
        let samples = sample(model, unit, generate, generate.responses, seed)?;
        sink(&samples)?;
        progress.advance((unit.len() * generate.responses) as u64);
    }
    progress.end();
    Ok(())
}

/// Samples `responses` responses to each prompt, all together.
pub fn sample(
    model: &Model,
    prompts: &[Prompt],
    generate: &Generate,
    responses: usize,
    seed: u64,
) -> Result<Vec<Sample>> {
    let sampling = Sampling {
        temperature: generate.temperature,
        top_k: generate.top_k,
        top_p: generate.top_p,
        min_p: generate.min_p,
        repetition_penalty: generate.repetition_penalty,
        max_tokens: generate.max_tokens,
        stop: generate.stop.clone(),
        memory: generate.memory_mib << 20,
    };
    let requests = prompts
        .iter()
        .map(|prompt| {
            let ids = model
                .text
                .prompt_ids(&prompt.prompt)
                .and_then(|ids| model.check_prompt(&ids, sampling.max_tokens).map(|()| ids))
                .with_context(|| format!("prompt {}", prompt.id))?;
            Ok(Request { prompt: ids, seeds: (0..responses).map(|i| response_seed(seed, &prompt.id, i)).collect() })
        })
        .collect::<Result<Vec<_>>>()?;
    let sampled = model.sample(&requests, &sampling)?;
    prompts
        .iter()
        .zip(requests)
        .zip(sampled)
        .map(|((prompt, request), sampled)| {
            let responses = sampled
                .into_iter()
                .map(|s| {
                    let text = model.text.decode(&s.ids)?;
                    Ok(Response {
                        text,
                        token_ids: s.ids,
                        logprobs: s.logprobs,
                        entropies: s.entropies,
                        finish: s.finish,
                    })
                })
                .collect::<Result<Vec<_>>>()?;
            Ok(Sample {
                id: prompt.id.clone(),
                prompt: prompt.prompt.clone(),
                group: prompt.group.clone(),
                prompt_token_ids: request.prompt,
                responses,
            })
        })
        .collect()
}

/// SHA-256 of (seed, prompt id, response index): the start of the response's own random stream, one number a position.
fn response_seed(seed: u64, prompt: &str, index: usize) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(prompt.as_bytes());
    hash.update((index as u64).to_le_bytes());
    hash.finalize().into()
}
