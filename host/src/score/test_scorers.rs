//! Scorers and an answerer for the room's tests.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Answerer, ScoreSample, ScorerUse, Step};
use crate::config::OnFault;
use crate::error::UserError;
use crate::records::{Answer, Dimension, PromptText, Question, Response, Sample, Score};

pub(super) fn sample(id: &str, texts: &[&str]) -> Sample {
    Sample {
        id: id.into(),
        prompt: PromptText::Text(format!("prompt {id}")),
        group: None,
        prompt_token_ids: Vec::new(),
        responses: texts.iter().map(|text| Response { text: (*text).into(), ..Response::default() }).collect(),
    }
}

pub(super) fn used(scorer: &dyn ScoreSample) -> ScorerUse<'_> {
    ScorerUse { scorer, weight: 1.0, on_fault: OnFault::Stop, key: "key".into() }
}

pub(super) fn score(uncertainty: f64) -> Score {
    Score { uncertainty, notes: BTreeMap::new() }
}

/// Asks how likely each response is, in so many rounds; its uncertainty is the length that [`Echo`] gives
/// (without rounds: the text's own), in hundredths.
pub(super) struct Lengths(usize);

pub(super) const LENGTHS: Lengths = Lengths(1);

impl Lengths {
    pub fn rounds(&self, rounds: usize) -> Self {
        Self(rounds)
    }
}

impl ScoreSample for Lengths {
    fn name(&self) -> &str {
        "lengths"
    }

    fn dimension(&self) -> Dimension {
        Dimension::Semantic
    }

    fn score(&self, sample: &Sample, rounds: &[Vec<Answer>]) -> Result<Step, UserError> {
        if sample.responses.iter().any(|response| response.text == "fault") {
            return Err(UserError::new(format!("`lengths` failed on `{}`", sample.id)).hint("cure"));
        }
        if rounds.len() < self.0 {
            let ask = |response: &Response| Question::Likelihood {
                prompt: sample.prompt.clone(),
                continuation: response.text.clone(),
            };
            return Ok(Step::Ask(sample.responses.iter().map(ask).collect()));
        }
        if self.0 == 0 {
            let by_text = |response: &Response| score(response.text.len() as f64 / 100.0);
            return Ok(Step::Done(sample.responses.iter().map(by_text).collect()));
        }
        let answers = rounds.last().map(Vec::as_slice).unwrap_or_default();
        Ok(Step::Done(
            answers
                .iter()
                .map(|answer| match answer {
                    Answer::Likelihood { tokens, .. } => score(f64::from(*tokens) / 100.0),
                    _ => score(1.0),
                })
                .collect(),
        ))
    }
}

/// The same uncertainty for everything, without a question.
pub(super) struct Fixed {
    name: &'static str,
    uncertainty: f64,
    pub dimension: Dimension,
}

impl Fixed {
    pub fn new(name: &'static str, uncertainty: f64) -> Self {
        Self { name, uncertainty, dimension: Dimension::Value }
    }
}

impl ScoreSample for Fixed {
    fn name(&self) -> &str {
        self.name
    }

    fn dimension(&self) -> Dimension {
        self.dimension
    }

    fn score(&self, sample: &Sample, _: &[Vec<Answer>]) -> Result<Step, UserError> {
        Ok(Step::Done(vec![score(self.uncertainty); sample.responses.len()]))
    }
}

/// Answers a likelihood with the length of the continuation.
pub(super) struct Echo;

impl Answerer for Echo {
    fn identity(&self) -> String {
        "echo".into()
    }

    fn answer(&mut self, questions: &[Question]) -> Result<Vec<Answer>> {
        Ok(questions
            .iter()
            .map(|question| match question {
                Question::Likelihood { continuation, .. } => {
                    Answer::Likelihood { logprob: -1.0, tokens: continuation.len() as u32 }
                }
                _ => Answer::Embed(Vec::new()),
            })
            .collect())
    }
}
