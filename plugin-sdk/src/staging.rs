//! The staging policy: a pure function from the pairs, and the stages so far, to the next stage.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Fault, Problem};

/// The compact view of a preference pair.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub struct Pair {
    /// The pair's id.
    pub id: String,
    /// Its prompt's task or cluster, where it has one.
    pub group: Option<String>,
    /// Δu = u(rejected) − u(chosen), at least 0.
    pub gap: f64,
    /// u(chosen).
    pub chosen_uncertainty: f64,
    /// u(rejected).
    pub rejected_uncertainty: f64,
    /// The gap in the semantic dimension, after scaling, where it was scored.
    pub gap_semantic: Option<f64>,
    /// The gap in the factual dimension.
    pub gap_factual: Option<f64>,
    /// The gap in the value dimension.
    pub gap_value: Option<f64>,
    /// Tokens of the chosen response.
    pub chosen_tokens: u32,
    /// Tokens of the rejected response.
    pub rejected_tokens: u32,
}

/// What a stage departs from in the config's training settings. `None`: as the config says.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub struct Overrides {
    /// Passes over the stage's pairs.
    pub epochs: Option<u32>,
    /// β of the loss.
    pub beta: Option<f64>,
    /// Factor on the learning rate.
    pub learning_rate_scale: Option<f64>,
    /// cDPO's ε.
    pub label_smoothing: Option<f64>,
    /// Weight of the chosen responses' NLL.
    pub nll_weight: Option<f64>,
    /// The loss, by its name in the config.
    pub loss: Option<String>,
}

/// An ordered set of pairs with its training settings.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub struct Stage {
    /// Its name, unique in the run.
    pub name: String,
    /// Indices into the pairs, in training order.
    pub pairs: Vec<u32>,
    /// Departures from the config.
    pub overrides: Overrides,
    /// The reference model becomes the policy model as it is before this stage.
    pub refresh_reference: bool,
    /// Sample and score anew with the current model before this stage.
    pub resample: bool,
    /// One sentence: why these pairs.
    pub reason: String,
}

/// A named number, from an evaluation.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub struct Measure {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
}

/// What came of a stage.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub struct Outcome {
    /// Mean loss.
    pub loss: f64,
    /// Share of pairs whose chosen reward is above the rejected one.
    pub reward_accuracy: f64,
    /// Mean reward of chosen minus rejected.
    pub margin: f64,
    /// Mean log-ratio to the initial model on the chosen responses, nats per token.
    pub kl_to_initial: f64,
    /// Change of the mean log-probability of the chosen responses, nats per response.
    pub chosen_logprob_change: f64,
    /// Scores of the evaluation after the stage, where there was one.
    pub evaluation: Vec<Measure>,
}

/// A stage that has been given out.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub struct PastStage {
    /// Its name.
    pub name: String,
    /// Its pairs.
    pub pairs: Vec<u32>,
    /// `None`: it is only planned, nothing was trained.
    pub outcome: Option<Outcome>,
}

/// A staging policy. It is called before every stage, and must be pure: the same settings, seed, pairs and history
/// give the same stage.
pub trait StagingPolicy {
    /// As in [`crate::Scorer::Settings`].
    type Settings: DeserializeOwned + JsonSchema + Default + 'static;
    /// The name the config calls it by: lower case, words joined by hyphens.
    const NAME: &'static str;
    /// Its version; `env!("CARGO_PKG_VERSION")` is usual.
    const VERSION: &'static str;
    /// One line on what it does.
    const SUMMARY: &'static str;

    /// What is wrong with settings that fit the schema: all of it, not the first.
    fn check(_settings: &Self::Settings) -> Vec<Problem> {
        Vec::new()
    }

    /// The next stage, or `None` to stop. `seed` is the run's.
    fn next_stage(
        settings: &Self::Settings,
        seed: u64,
        pairs: &[Pair],
        history: &[PastStage],
    ) -> Result<Option<Stage>, Fault>;
}
