//! What a scorer may ask of a model, and what it is told.

use crate::{Fault, Prompt};

/// The kinds of question. A plugin declares those it asks; each must be granted in the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub enum QuestionKind {
    /// [`Question::Embed`].
    Embed,
    /// [`Question::Entail`].
    Entail,
    /// [`Question::Choose`].
    Choose,
    /// [`Question::Likelihood`].
    Likelihood,
    /// [`Question::Complete`].
    Complete,
}

/// A question to a model. Equal questions are asked once, in the whole run.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub enum Question {
    /// The unit-norm embedding of a text.
    Embed(String),
    /// Does the premise entail the hypothesis?
    Entail {
        /// What is taken to be true.
        premise: String,
        /// What may follow from it.
        hypothesis: String,
    },
    /// The probability of each option as the continuation, normalised over the options.
    Choose {
        /// What stands before the options.
        prompt: Prompt,
        /// The continuations, at least two.
        options: Vec<String>,
    },
    /// The log-probability of one continuation.
    Likelihood {
        /// What stands before it.
        prompt: Prompt,
        /// The continuation.
        continuation: String,
    },
    /// Sampled continuations.
    Complete {
        /// What stands before them.
        prompt: Prompt,
        /// How many.
        n: u32,
        /// Softmax temperature; 0 is greedy.
        temperature: f32,
        /// Token limit of each.
        max_tokens: u32,
    },
}

impl Question {
    /// Its kind.
    pub fn kind(&self) -> QuestionKind {
        match self {
            Self::Embed(_) => QuestionKind::Embed,
            Self::Entail { .. } => QuestionKind::Entail,
            Self::Choose { .. } => QuestionKind::Choose,
            Self::Likelihood { .. } => QuestionKind::Likelihood,
            Self::Complete { .. } => QuestionKind::Complete,
        }
    }
}

/// Probabilities that sum to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub struct Entailment {
    /// The hypothesis follows.
    pub entailment: f32,
    /// Neither.
    pub neutral: f32,
    /// The hypothesis is contradicted.
    pub contradiction: f32,
}

/// How likely a continuation is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub struct Likelihood {
    /// Sum of log-probabilities, nats.
    pub logprob: f32,
    /// Tokens summed over.
    pub tokens: u32,
}

/// An answer; it has the case of its question.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub enum Answer {
    /// A unit-norm vector.
    Embed(Vec<f32>),
    /// Three probabilities.
    Entail(Entailment),
    /// The probability of each option.
    Choose(Vec<f32>),
    /// A sum of log-probabilities.
    Likelihood(Likelihood),
    /// The sampled texts.
    Complete(Vec<String>),
}

impl Answer {
    /// The kind of question it answers.
    pub fn kind(&self) -> QuestionKind {
        match self {
            Self::Embed(_) => QuestionKind::Embed,
            Self::Entail(_) => QuestionKind::Entail,
            Self::Choose(_) => QuestionKind::Choose,
            Self::Likelihood(_) => QuestionKind::Likelihood,
            Self::Complete(_) => QuestionKind::Complete,
        }
    }
}

/// Reads answers in the order in which the questions were asked; a missing or different one is a fault, not a panic.
///
/// ```
/// use udasa_plugin_sdk::{Answer, Answers};
/// let given = [Answer::Choose(vec![0.8, 0.2])];
/// let mut answers = Answers::new(&given);
/// assert_eq!(answers.choose(2)?, [0.8, 0.2]);
/// assert!(answers.choose(2).is_err());
/// # Ok::<(), udasa_plugin_sdk::Fault>(())
/// ```
#[derive(Debug, Clone)]
pub struct Answers<'a> {
    rest: &'a [Answer],
    read: usize,
}

impl<'a> Answers<'a> {
    /// Reads from the first answer on.
    pub fn new(answers: &'a [Answer]) -> Self {
        Self { rest: answers, read: 0 }
    }

    /// The next answer as an embedding.
    pub fn embed(&mut self) -> Result<&'a [f32], Fault> {
        match self.next(QuestionKind::Embed)? {
            Answer::Embed(vector) => Ok(vector),
            other => Err(self.mismatch(QuestionKind::Embed, other)),
        }
    }

    /// The next answer as an entailment.
    pub fn entail(&mut self) -> Result<Entailment, Fault> {
        match self.next(QuestionKind::Entail)? {
            Answer::Entail(entailment) => Ok(*entailment),
            other => Err(self.mismatch(QuestionKind::Entail, other)),
        }
    }

    /// The next answer as the probabilities of so many options.
    pub fn choose(&mut self, options: usize) -> Result<&'a [f32], Fault> {
        match self.next(QuestionKind::Choose)? {
            Answer::Choose(probabilities) if probabilities.len() == options => Ok(probabilities),
            Answer::Choose(probabilities) => Err(Fault::new(format!(
                "answer {} has {} probabilities for {options} options",
                self.read,
                probabilities.len()
            ))),
            other => Err(self.mismatch(QuestionKind::Choose, other)),
        }
    }

    /// The next answer as a likelihood.
    pub fn likelihood(&mut self) -> Result<Likelihood, Fault> {
        match self.next(QuestionKind::Likelihood)? {
            Answer::Likelihood(likelihood) => Ok(*likelihood),
            other => Err(self.mismatch(QuestionKind::Likelihood, other)),
        }
    }

    /// The next answer as sampled texts.
    pub fn complete(&mut self) -> Result<&'a [String], Fault> {
        match self.next(QuestionKind::Complete)? {
            Answer::Complete(texts) => Ok(texts),
            other => Err(self.mismatch(QuestionKind::Complete, other)),
        }
    }

    /// That every answer was read.
    pub fn finish(self) -> Result<(), Fault> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Fault::new(format!("{} answers, {} expected", self.read + self.rest.len(), self.read)))
        }
    }

    fn next(&mut self, expected: QuestionKind) -> Result<&'a Answer, Fault> {
        let (first, rest) = self
            .rest
            .split_first()
            .ok_or_else(|| Fault::new(format!("{} answers, at least one more expected ({expected:?})", self.read)))?;
        self.rest = rest;
        self.read += 1;
        Ok(first)
    }

    fn mismatch(&self, expected: QuestionKind, got: &Answer) -> Fault {
        Fault::new(format!("answer {} is of kind {:?}, {expected:?} expected", self.read, got.kind()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_another_kind_count_or_length_are_faults() {
        let given = [Answer::Embed(vec![1.0]), Answer::Choose(vec![1.0]), Answer::Complete(vec![])];
        let mut answers = Answers::new(&given);
        assert_eq!(
            answers.choose(2).expect_err("it should be refused").message,
            "answer 1 is of kind Embed, Choose expected"
        );
        assert_eq!(
            answers.choose(2).expect_err("it should be refused").message,
            "answer 2 has 1 probabilities for 2 options"
        );
        assert_eq!(answers.clone().finish().expect_err("it should be refused").message, "3 answers, 2 expected");
        assert!(answers.complete().is_ok());
        assert!(answers.clone().finish().is_ok());
        assert!(answers.embed().is_err());
    }
}
