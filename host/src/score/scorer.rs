//! What the room needs of a scorer; the sandbox's scorers are one kind of it, a test's another.

use crate::config::OnFault;
use crate::error::UserError;
use crate::records::{Answer, Dimension, PluginUsage, Question, Sample, Score};

/// What a scorer gives back from one call.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Call again, with the answers to these.
    Ask(Vec<Question>),
    /// One score per response.
    Done(Vec<Score>),
}

/// A pure function from a sample and the answers so far to questions or scores.
pub trait ScoreSample: Sync {
    /// Its name in the config and the records.
    fn name(&self) -> &str;

    /// What it measures.
    fn dimension(&self) -> Dimension;

    /// `rounds` holds the answers to every earlier round. The error is a fault of the plugin, with its cure.
    fn score(&self, sample: &Sample, rounds: &[Vec<Answer>]) -> Result<Step, UserError>;

    /// Who it is and what its calls have used since the program began; none where nobody counts. Faults, questions and
    /// the key are filled in by the room.
    fn usage(&self) -> Option<PluginUsage> {
        None
    }
}

/// A scorer as a config uses it.
pub struct ScorerUse<'a> {
    /// The scorer.
    pub scorer: &'a dyn ScoreSample,
    /// Weight among the scorers of its dimension; 0 records its scores and leaves them out of `u`.
    pub weight: f64,
    /// What happens to a sample on which it fails.
    pub on_fault: OnFault,
    /// Changes when its earlier scores no longer hold: plugin digest, settings, samples, who answers.
    pub key: String,
}
