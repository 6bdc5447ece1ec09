//! The demo's four costs on one thread: pre-training, sampling, judging, preference training.

use std::time::Instant;

use anyhow::Result;

use super::{Row, Tell, matmul};
use crate::config::{DeviceChoice, Generate, ModelSection, NewModel, Sft, Train};
use crate::data::{self, jsonl};
use crate::model::Model;
use crate::records::{Overrides, Pair, Prompt, PromptText, Question, Sample};
use crate::score::{Answerer, AskModel};
use crate::train::{ReferenceLogps, StageRun, StageSettings};
use crate::{generate, mini_world, sft, train};

const STEPS: usize = 400;
const SEED: u64 = 1;

/// A short pre-training of the mini world's model, then each later cost on what it gives.
pub fn rows(tell: &mut Tell) -> Result<()> {
    let dir = std::env::temp_dir().join(format!("udasa-bench-{}", std::process::id()));
    let told = rows_in(&dir, tell);
    let _ = std::fs::remove_dir_all(&dir);
    told
}

fn rows_in(dir: &std::path::Path, tell: &mut Tell) -> Result<()> {
    matmul(tell)?;
    let (world, out) = (dir.join("world"), dir.join("model"));
    mini_world::write(&world, SEED, STEPS * 16, 512)?;
    let section = ModelSection { device: DeviceChoice::Cpu, ..ModelSection::default() };
    let texts = data::read_texts(&[world.join("corpus.jsonl")], Default::default(), None)?;
    let trained = sft::room(&recipe(), &section, &texts, &world, &out, SEED)?;
    let model = Model::load(&out, &section)?;
    let prompts: Vec<Prompt> = jsonl::read(&world.join("prompts.jsonl"))?;
    let config = Generate { responses: 8, max_tokens: 32, unit: 128, ..Generate::default() };
    let (samples, sampling) = timed(|| {
        let mut samples: Vec<Sample> = Vec::new();
        for unit in prompts.chunks(config.unit) {
            samples.extend(generate::sample(&model, unit, &config, config.responses, SEED)?);
        }
        Ok(samples)
    })?;
    let (asked, judging) = timed(|| {
        let questions = questions(&samples);
        AskModel::new(Model::load(&out, &section)?, String::new(), SEED).answer(&questions)?;
        Ok(questions.len())
    })?;
    let (pairs, training) = timed(|| preference(&model, &samples))?;
    let tokens: usize = samples.iter().flat_map(|s| &s.responses).map(|r| r.token_ids.len()).sum();
    let flops = 6.0 * trained.parameters as f64 * trained.rate;
    let rows = [
        Row {
            name: "pre-training".into(),
            value: trained.rate,
            unit: "tokens/s",
            note: format!("{STEPS} steps of 16 documents; 6 N FLOP a token make {:.1} GFLOP/s", flops / 1e9),
        },
        Row {
            name: "sampling".into(),
            value: sampling,
            unit: "s",
            note: format!("{} responses, {tokens} tokens", samples.len() * config.responses),
        },
        Row { name: "judging".into(), value: judging, unit: "s", note: format!("{asked} questions on unique answers") },
        Row {
            name: "preference training".into(),
            value: training,
            unit: "s",
            note: format!("{pairs} pairs × 3 epochs, references included"),
        },
    ];
    rows.into_iter().try_for_each(tell)
}

fn recipe() -> Sft {
    Sft {
        paths: Vec::new(),
        encoding: Default::default(),
        part: None,
        model: Some(NewModel {
            hidden: 96,
            layers: 3,
            heads: 4,
            feed_forward: 256,
            positions: 256,
            scale_embedding: true,
        }),
        tokenizer: None,
        steps: STEPS,
        batch: 16,
        learning_rate: 7e-3,
        warmup: 30,
        weight_decay: 0.05,
        max_tokens: 64,
        save_steps: 0,
    }
}

/// Four principles in both orders about every distinct answer, as the demo asks.
fn questions(samples: &[Sample]) -> Vec<Question> {
    let mut questions = Vec::new();
    for sample in samples {
        let PromptText::Chat(messages) = &sample.prompt else { continue };
        let prompt = messages.last().map_or("", |m| m.content.as_str());
        let mut texts: Vec<&str> = sample.responses.iter().map(|r| r.text.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        for text in texts {
            for principle in ["true", "harmless", "helpful", "kind"] {
                for (first, second) in [("yes", "no"), ("no", "yes")] {
                    let prompt =
                        format!("<user> {prompt} <bot> {text} <eot> <judge> {principle} ? A {first} B {second} :");
                    let options = vec![" A".into(), " B".into()];
                    questions.push(Question::Choose { prompt: PromptText::Text(prompt), options });
                }
            }
        }
    }
    questions
}

/// Each prompt's first two responses as a pair, trained as the demo trains.
fn preference(model: &Model, samples: &[Sample]) -> Result<usize> {
    let pairs: Vec<Pair> = samples.iter().map(pair).collect();
    let pairs: Vec<&Pair> = pairs.iter().collect();
    let config = Train { beta: 0.3, nll_weight: 1.0, learning_rate: Some(6e-4), epochs: 3, ..Train::default() };
    let settings = StageSettings::new(&config, &Overrides::default())?;
    for (stage, first_step) in pairs.chunks(pairs.len().div_ceil(3)).zip(0..) {
        let reference =
            ReferenceLogps { pairs: train::log_probabilities(model, stage, true)?, ..ReferenceLogps::default() };
        let stage = StageRun {
            name: "bench",
            pairs: stage,
            reference: Some(&reference),
            at_reference: true,
            config: &config,
            settings: &settings,
            seed: (SEED, first_step),
            limits: None,
            checkpoints: None,
        };
        train::train_stage(model, &stage, None, |_| Ok(()))?;
    }
    Ok(pairs.len())
}

fn pair(sample: &Sample) -> Pair {
    let [chosen, rejected] =
        [0, 1].map(|i| sample.responses.get(i).map(|response| response.token_ids.clone()).unwrap_or_default());
    super::pair(sample.id.clone(), [sample.prompt_token_ids.clone(), chosen, rejected])
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let started = Instant::now();
    let value = work()?;
    Ok((value, started.elapsed().as_secs_f64()))
}
