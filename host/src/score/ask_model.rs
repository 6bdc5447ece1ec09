//! Answers questions with a language model: `choose`, `likelihood` and `entail` by the log-probability of continuations, `embed` by its
//! hidden states, `complete` by sampling.
//!
//! All continuations of a batch are packed into token trees, so a sample's prompt, its responses and a judge's wording are each computed once
//! whatever the number of questions about them.

use std::borrow::Borrow;

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;

use super::{Answerer, complete, entail};
use crate::error::UserError;
use crate::model::tree::Sequence;
use crate::model::{Model, Text};
use crate::records::{Answer, Question};

/// A model, owned, shared or borrowed, as one that answers.
pub struct AskModel<M> {
    model: M,
    identity: String,
    seed: u64,
}

impl<M: Borrow<Model>> AskModel<M> {
    /// `identity` is a digest of everything that answers depend on: they are cached under it. `complete` draws from `seed`.
    pub fn new(model: M, identity: String, seed: u64) -> Self {
        Self { model, identity, seed }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.model.borrow()
    }
}

impl<M: Borrow<Model>> Answerer for AskModel<M> {
    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn answer(&mut self, questions: &[Question]) -> Result<Vec<Answer>> {
        let model = self.model();
        let mut texts = Vec::new();
        let mut wanted = Vec::new();
        // What is asked of continuations: the question itself, or the two that stand for one of entailment.
        let mut continued = Vec::new();
        for question in questions {
            match question {
                Question::Embed { text } => texts.push(text.as_str()),
                Question::Complete { .. } => wanted.push(question),
                Question::Entail { premise, hypothesis } => {
                    continued.extend(entail::as_choices(premise, hypothesis, model.text.has_template()));
                }
                Question::Choose { .. } | Question::Likelihood { .. } => continued.push(question.clone()),
            }
        }
        let mut embedded = model.embed(&texts).context("an `embed` question to the model")?.into_iter();
        let mut completed = complete::answer(model, &wanted, self.seed)?.into_iter();
        let mut continued = continuations(model, &continued)?.into_iter();
        let mut next = |question: &Question| match question {
            Question::Embed { .. } => embedded.next().map(Answer::Embed),
            Question::Complete { .. } => completed.next(),
            Question::Entail { .. } => Some(entail::from_choices(&continued.next()?, &continued.next()?)),
            Question::Choose { .. } | Question::Likelihood { .. } => continued.next(),
        };
        let answers: Vec<Answer> = questions.iter().filter_map(&mut next).collect();
        ensure!(answers.len() == questions.len(), "{} questions got {} answers", questions.len(), answers.len());
        Ok(answers)
    }
}

/// Answers to `choose` and `likelihood`.
fn continuations(model: &Model, questions: &[Question]) -> Result<Vec<Answer>> {
    let text = &model.text;
    let groups: Vec<Vec<Sequence>> = questions.par_iter().map(|q| sequences(text, q)).collect::<Result<_>>()?;
    let sequences: Vec<Sequence> = groups.iter().flatten().cloned().collect();
    for sequence in &sequences {
        model.check_ids(&sequence.ids).context("a question to the model")?;
    }
    let sums = model.log_probabilities(&sequences, true, |_| {})?;
    let mut rest = &sums[..];
    let answers = questions.iter().zip(&groups).map(|(question, group)| {
        let (own, after) = rest.split_at(group.len());
        rest = after;
        match question {
            Question::Likelihood { .. } => {
                Answer::Likelihood { logprob: own[0] as f32, tokens: (group[0].ids.len() - group[0].from) as u32 }
            }
            _ => Answer::Choose(softmax(own)),
        }
    });
    Ok(answers.collect())
}

/// The sequences whose log-probabilities answer a question.
fn sequences(text: &Text, question: &Question) -> Result<Vec<Sequence>> {
    let found = match question {
        Question::Choose { prompt, options } => {
            let (all, from) = text.options(prompt, options)?;
            all.into_iter().map(|ids| Sequence { ids, from }).collect()
        }
        Question::Likelihood { prompt, continuation } => {
            let (ids, from) = text.continuation(prompt, continuation)?;
            vec![Sequence { ids, from }]
        }
        other => anyhow::bail!("{:?} is not answered by continuations", other.kind()),
    };
    if found.iter().any(|sequence| sequence.from == 0) {
        return Err(UserError::new("a question has no token before what it asks about")
            .hint("give it a prompt, or a tokenizer that begins every text with a token")
            .into());
    }
    if found.iter().any(|sequence| sequence.ids.len() <= sequence.from) {
        return Err(UserError::new("a question asks about a text that has no token in the model's vocabulary")
            .hint("word its options or its continuation as the model's own texts are")
            .into());
    }
    Ok(found)
}

/// exp(x_i) / Σ exp(x_j), safe for large negative x.
fn softmax(x: &[f64]) -> Vec<f32> {
    let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = x.iter().map(|v| (v - top).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| (w / total) as f32).collect()
}
