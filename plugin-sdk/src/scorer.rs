//! The scorer: a pure function from a sample, and the answers so far, to questions or scores.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Answer, Fault, Problem, Question, QuestionKind, Sample};

/// What an uncertainty is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub enum Dimension {
    /// Do the responses mean the same?
    Semantic,
    /// Is the response true?
    Factual,
    /// Does the response agree with our values?
    Value,
}

/// A named number for the report.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub struct Note {
    /// Its name.
    pub name: String,
    /// Its value; must be finite.
    pub value: f64,
}

/// The verdict on one response.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub struct Score {
    /// In [0, 1]; higher is less reliable.
    pub uncertainty: f64,
    /// Numbers for the report. A number about the whole sample stands in every response's notes.
    pub notes: Vec<Note>,
}

impl Score {
    /// A score without notes.
    pub fn new(uncertainty: f64) -> Self {
        Self { uncertainty, notes: Vec::new() }
    }

    /// The same score with one more note.
    #[must_use]
    pub fn note(mut self, name: impl Into<String>, value: f64) -> Self {
        self.notes.push(Note { name: name.into(), value });
        self
    }
}

/// What a scorer does when it is called.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub enum Step {
    /// Call me again, with the answers to these appended to the rounds.
    Ask(Vec<Question>),
    /// One score per response, in the order of the responses.
    Done(Vec<Score>),
}

/// A scorer in the general form, with as many rounds of questions as it needs.
///
/// It must be pure: the same settings, sample and rounds give the same step, on any instance, in any order.
pub trait Scorer {
    /// What the config's `settings` may hold. Its schema is shown to users and is what the settings are checked
    /// against: doc comments become descriptions, `#[schemars(range(..))]` becomes a checked range.
    type Settings: DeserializeOwned + JsonSchema + Default + 'static;
    /// The name the config calls it by: lower case, words joined by hyphens.
    const NAME: &'static str;
    /// Its version; `env!("CARGO_PKG_VERSION")` is usual.
    const VERSION: &'static str;
    /// One line on what it does.
    const SUMMARY: &'static str;
    /// What its uncertainty is about.
    const DIMENSION: Dimension;
    /// The kinds of question it may ask.
    const ASKS: &'static [QuestionKind] = &[];

    /// What is wrong with settings that fit the schema: all of it, not the first.
    fn check(_settings: &Self::Settings) -> Vec<Problem> {
        Vec::new()
    }

    /// The next step. `rounds` holds the answers to every earlier round of questions.
    fn score(settings: &Self::Settings, sample: &Sample, rounds: &[Vec<Answer>]) -> Result<Step, Fault>;
}

/// A scorer in the simple form: what do I need to know, and what follows from it.
///
/// Every simple scorer is a [`Scorer`]; one without questions is done on the first call.
pub trait SimpleScorer {
    /// As in [`Scorer::Settings`].
    type Settings: DeserializeOwned + JsonSchema + Default + 'static;
    /// As in [`Scorer::NAME`].
    const NAME: &'static str;
    /// As in [`Scorer::VERSION`].
    const VERSION: &'static str;
    /// As in [`Scorer::SUMMARY`].
    const SUMMARY: &'static str;
    /// As in [`Scorer::DIMENSION`].
    const DIMENSION: Dimension;
    /// As in [`Scorer::ASKS`].
    const ASKS: &'static [QuestionKind] = &[];

    /// As in [`Scorer::check`].
    fn check(_settings: &Self::Settings) -> Vec<Problem> {
        Vec::new()
    }

    /// What do I need to know? Nothing, unless said otherwise.
    fn questions(_settings: &Self::Settings, _sample: &Sample) -> Result<Vec<Question>, Fault> {
        Ok(Vec::new())
    }

    /// One score per response. `answers` are in the order of the questions.
    fn scores(settings: &Self::Settings, sample: &Sample, answers: &[Answer]) -> Result<Vec<Score>, Fault>;
}

impl<S: SimpleScorer> Scorer for S {
    type Settings = <S as SimpleScorer>::Settings;
    const NAME: &'static str = <S as SimpleScorer>::NAME;
    const VERSION: &'static str = <S as SimpleScorer>::VERSION;
    const SUMMARY: &'static str = <S as SimpleScorer>::SUMMARY;
    const DIMENSION: Dimension = <S as SimpleScorer>::DIMENSION;
    const ASKS: &'static [QuestionKind] = <S as SimpleScorer>::ASKS;

    fn check(settings: &Self::Settings) -> Vec<Problem> {
        <S as SimpleScorer>::check(settings)
    }

    fn score(settings: &Self::Settings, sample: &Sample, rounds: &[Vec<Answer>]) -> Result<Step, Fault> {
        match rounds {
            [] => {
                let questions = S::questions(settings, sample)?;
                if questions.is_empty() {
                    Ok(Step::Done(S::scores(settings, sample, &[])?))
                } else {
                    Ok(Step::Ask(questions))
                }
            }
            [answers] => Ok(Step::Done(S::scores(settings, sample, answers)?)),
            more => Err(Fault::new(format!("{} rounds of answers; this scorer asks once", more.len()))),
        }
    }
}
