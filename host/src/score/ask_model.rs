//! Answers questions with a language model: `choose` and `likelihood`, by the log-probability of continuations.
//!
//! All questions of a batch are packed into token trees, so a sample's prompt, its responses and a judge's wording are each computed once
//! whatever the number of questions about them.

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::Answerer;
use crate::error::UserError;
use crate::model::tree::Sequence;
use crate::model::{Model, Text};
use crate::records::{Answer, Question};

/// The model as one that answers.
pub struct AskModel {
    model: Model,
    identity: String,
}

impl AskModel {
    /// `identity` is a digest of the model's folder: answers are cached under it.
    pub fn new(model: Model, identity: String) -> Self {
        Self { model, identity }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }
}

impl Answerer for AskModel {
    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn answer(&mut self, questions: &[Question]) -> Result<Vec<Answer>> {
        let text = &self.model.text;
        let groups: Vec<Vec<Sequence>> = questions.par_iter().map(|q| sequences(text, q)).collect::<Result<_>>()?;
        let sequences: Vec<Sequence> = groups.iter().flatten().cloned().collect();
        for sequence in &sequences {
            self.model.check_ids(&sequence.ids).context("a question to the model")?;
        }
        let sums = self.model.log_probabilities(&sequences, true, |_| {})?;
        let mut rest = &sums[..];
        let answers = questions
            .iter()
            .zip(&groups)
            .map(|(question, group)| {
                let (own, after) = rest.split_at(group.len());
                rest = after;
                match question {
                    Question::Likelihood { .. } => Answer::Likelihood {
                        logprob: own[0] as f32,
                        tokens: (group[0].ids.len() - group[0].from) as u32,
                    },
                    _ => Answer::Choose(softmax(own)),
                }
            })
            .collect();
        Ok(answers)
    }
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
        other => {
            let kind = format!("{:?}", other.kind()).to_lowercase();
            return Err(UserError::new(format!("no model is at hand that answers `{kind}` questions"))
                .hint("the policy model answers `choose` and `likelihood`")
                .into());
        }
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
