//! What training asks for between two stages. It knows neither sampling nor scoring nor measuring: `run` answers.

use anyhow::Result;

use crate::model::Model;
use crate::records::{EvalPoint, Pair, PastStage, Resampled, Stage};

/// Who is asked between the stages.
pub trait Between {
    /// The stage after these; none to end.
    fn next_stage(&mut self, history: &[PastStage]) -> Result<Option<Stage>>;

    /// New pairs for a stage, of the policy as it is now, in training order. The same question has the same answer, so that a resumed run asks
    /// again.
    fn resample(&mut self, wanted: &Resampling) -> Result<(Vec<Pair>, Resampled)>;

    /// Measures the policy as a stage leaves it, where the staging policy is to know.
    fn measure(&mut self, stage: &str, policy: &Model) -> Result<Option<EvalPoint>>;
}

/// What is to be sampled, scored and paired anew.
pub struct Resampling<'a> {
    /// The policy as it is before the stage.
    pub policy: &'a Model,
    /// A digest of what it is.
    pub identity: String,
    /// The stage's number, from 0.
    pub stage: usize,
    /// Its name.
    pub name: &'a str,
    /// The pairs that the staging policy named: their prompts are sampled.
    pub pairs: Vec<&'a Pair>,
    /// Where everything is kept, under the run folder.
    pub folder: String,
}
