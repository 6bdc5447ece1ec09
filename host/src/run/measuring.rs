//! Measuring a model with the run's evaluation set: in `evaluate`, and after every stage where the staging policy is to know.

use std::borrow::Borrow;

use anyhow::{Context as _, Result};

use super::Context;
use crate::config::{Evaluate, Generate};
use crate::data;
use crate::evaluate::{self, ClassifierTask, Items, Subject};
use crate::generate as sampling;
use crate::model::Model;
use crate::model::tree::Sequence;
use crate::records::{Answer, EvalPoint, Prompt, Question, Sample};
use crate::score::{Answerer, AskModel};

/// The evaluation set, and how it is sampled.
pub struct Measuring {
    items: Items,
    generate: Generate,
    responses: usize,
    seed: u64,
}

impl Measuring {
    /// As the config has it.
    pub fn new(ctx: &Context) -> Result<Self> {
        let section = ctx.cfg.evaluate.as_ref().context("the config has no [evaluate]")?;
        let generate = Generate {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            ..ctx.cfg.generate.clone()
        };
        Ok(Self { items: items(ctx, section)?, generate, responses: section.responses, seed: ctx.cfg.seed })
    }

    /// Measures a model as a stage left it.
    pub fn after(&self, stage: &str, model: impl Borrow<Model>, reference: &Model) -> Result<EvalPoint> {
        self.measure(&format!("after {stage}"), model, reference)
    }

    /// Measures a model. `reference` is the initial one: its adapter, where it has one, is off.
    pub fn measure(&self, at: &str, model: impl Borrow<Model>, reference: &Model) -> Result<EvalPoint> {
        let asker = AskModel::new(model, String::new(), self.seed);
        let mut subject = Measured { asker, reference, generate: &self.generate, seed: self.seed };
        evaluate::measure(at, &self.items, &mut subject, self.responses)
    }
}

fn items(ctx: &Context, section: &Evaluate) -> Result<Items> {
    let world = ctx.cfg.world.as_ref().map(|_| ctx.folder.file("world/evaluation.jsonl"));
    let mut items = match section.patterns.clone().or(world) {
        Some(path) => Items::load(&path)?,
        None => Items::default(),
    };
    if let Some(classifier) = &section.classifier {
        let prompts = data::read(&classifier.prompts, ctx.cfg.seed)?.prompts;
        items = items.with_classifier(ClassifierTask::train(classifier, prompts)?);
    }
    Ok(items)
}

/// A model under evaluation.
struct Measured<'a, M> {
    asker: AskModel<M>,
    reference: &'a Model,
    generate: &'a Generate,
    seed: u64,
}

/// Evaluation draws from another stream than generation does, so that a prompt in both gets different responses.
const EVALUATION_STREAM: u64 = 0x6576_616c;

impl<M: Borrow<Model>> Subject for Measured<'_, M> {
    fn sample(&mut self, prompts: &[Prompt], responses: usize) -> Result<Vec<Sample>> {
        let mut samples = Vec::with_capacity(prompts.len());
        for unit in prompts.chunks(self.generate.unit) {
            let seed = self.seed ^ EVALUATION_STREAM;
            samples.extend(sampling::sample(self.asker.model(), unit, self.generate, responses, seed)?);
        }
        Ok(samples)
    }

    fn answer(&mut self, questions: &[Question]) -> Result<Vec<Answer>> {
        self.asker.answer(questions)
    }

    fn kl(&mut self, samples: &[Sample]) -> Result<f64> {
        let sequences: Vec<Sequence> = samples
            .iter()
            .flat_map(|sample| {
                sample.responses.iter().map(|response| Sequence {
                    ids: [&sample.prompt_token_ids[..], &response.token_ids].concat(),
                    from: sample.prompt_token_ids.len(),
                })
            })
            .collect();
        let initial = self.reference.log_probabilities(&sequences, false, |_| {})?;
        let policy =
            samples.iter().flat_map(|s| &s.responses).map(|r| r.logprobs.iter().map(|&p| f64::from(p)).sum::<f64>());
        let total: f64 = policy.zip(&initial).map(|(policy, initial)| policy - initial).sum();
        Ok(total / initial.len().max(1) as f64)
    }
}
