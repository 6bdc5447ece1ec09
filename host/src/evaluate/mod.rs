//! The evaluate room: measures a model before alignment and after.
//!
//! In: an evaluation set (`Items`) and a model behind the `Subject` trait. Out: an `EvalPoint`, measures with their counts and
//! standard errors, and gates on it. Owns no model, reads no run folder, writes nothing. See docs/evaluate.md.

mod classifier;
mod features;
mod gates;
mod items;
pub mod lines;
mod measure;
mod patterns;
mod tally;

pub use classifier::{Accuracy, Classifier, ClassifierTask};
pub use gates::gates;
pub use items::Items;
pub use measure::measure;

use anyhow::Result;

use crate::records::{Answer, Prompt, Question, Sample};

/// The model that is measured.
pub trait Subject {
    /// Samples responses at temperature 1. The same prompt id gives the same random numbers at every point, so that before
    /// and after differ by the model alone.
    ///
    /// # Errors
    /// Whatever stops the model.
    fn sample(&mut self, prompts: &[Prompt], responses: usize) -> Result<Vec<Sample>>;

    /// Answers questions, one answer each, of the same kind.
    ///
    /// # Errors
    /// Whatever stops the model.
    fn answer(&mut self, questions: &[Question]) -> Result<Vec<Answer>>;

    /// Mean over the sampled responses of log p − log p of the initial model: an estimate of the KL divergence, nats per response.
    ///
    /// # Errors
    /// Whatever stops the model.
    fn kl(&mut self, samples: &[Sample]) -> Result<f64>;
}

#[cfg(test)]
mod tests;
