//! Encoders as those who answer: an embedder answers `embed`, a cross-encoder for natural language inference `entail`.

use anyhow::{Result, bail};

use super::Answerer;
use crate::model::encoder::{Embedder, Nli};
use crate::records::{Answer, Question};

/// An encoder as one that answers.
pub struct AskEncoder<E> {
    encoder: E,
    identity: String,
}

impl<E> AskEncoder<E> {
    /// `identity` is a digest of its folder: answers are cached under it.
    pub fn new(encoder: E, identity: String) -> Self {
        Self { encoder, identity }
    }
}

impl Answerer for AskEncoder<Embedder> {
    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn answer(&mut self, questions: &[Question]) -> Result<Vec<Answer>> {
        let texts: Vec<&str> = questions
            .iter()
            .map(|question| match question {
                Question::Embed { text } => Ok(text.as_str()),
                other => bail!("an embedder was asked {:?}", other.kind()),
            })
            .collect::<Result<_>>()?;
        Ok(self.encoder.embed(&texts)?.into_iter().map(Answer::Embed).collect())
    }
}

impl Answerer for AskEncoder<Nli> {
    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn answer(&mut self, questions: &[Question]) -> Result<Vec<Answer>> {
        let pairs: Vec<(&str, &str)> = questions
            .iter()
            .map(|question| match question {
                Question::Entail { premise, hypothesis } => Ok((premise.as_str(), hypothesis.as_str())),
                other => bail!("a cross-encoder was asked {:?}", other.kind()),
            })
            .collect::<Result<_>>()?;
        let answer =
            |[entailment, neutral, contradiction]: [f32; 3]| Answer::Entail { entailment, neutral, contradiction };
        Ok(self.encoder.entail(&pairs)?.into_iter().map(answer).collect())
    }
}
