//! Every record that a run folder holds, one type a line of JSONL. Rooms read earlier rooms' records and write their own.
//!
//! Owns the shapes only: no I/O, no arithmetic. Names are the table of terms' (see docs/terms.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One turn of a dialogue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `system`, `user`, `assistant`, or whatever the model's chat template knows.
    pub role: String,
    /// The text of the turn.
    pub content: String,
}

/// What stands before a response: raw text, or a dialogue that the model's chat template renders.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PromptText {
    /// Raw text, continued as it is.
    Text(String),
    /// A dialogue.
    Chat(Vec<Message>),
}

/// One prompt, as the `data` room reads it (`prompts.jsonl`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// Hex SHA-256 of the content (first 16 digits): stable across files and orders.
    pub id: String,
    /// The prompt itself.
    pub prompt: PromptText,
    /// Its task or cluster; stages may be made within groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// Why a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// An end-of-sequence token, which is the last of `token_ids`.
    #[default]
    Eos,
    /// A stop string, which its text ends with or holds in its last token.
    Stop,
    /// The token limit: the response is truncated.
    Length,
}

/// One sampled output. Responses made elsewhere may carry the text alone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Response {
    /// The text, without special tokens.
    pub text: String,
    /// The sampled ids, end of sequence included. Never re-tokenised: what was sampled is what is trained on.
    #[serde(default)]
    pub token_ids: Vec<u32>,
    /// log p of each token in nats, at temperature 1.
    #[serde(default)]
    pub logprobs: Vec<f32>,
    /// Entropy of the distribution each token was drawn from, in nats, at temperature 1.
    #[serde(default)]
    pub entropies: Vec<f32>,
    /// Why it ended.
    #[serde(default)]
    pub finish: Finish,
}

/// A prompt with its N responses (`responses.jsonl`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The prompt's id.
    pub id: String,
    /// The prompt.
    pub prompt: PromptText,
    /// The prompt's group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The rendered prompt as the model saw it; empty where the responses came from elsewhere.
    #[serde(default)]
    pub prompt_token_ids: Vec<u32>,
    /// The responses.
    pub responses: Vec<Response>,
}

/// Which kind of unreliability a scorer measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// Do the responses mean the same?
    Semantic,
    /// Is what they say true?
    Factual,
    /// Do they keep to the principles?
    Value,
}

impl Dimension {
    /// All three, in the order in which reports show them.
    pub const ALL: [Self; 3] = [Self::Semantic, Self::Factual, Self::Value];

    /// The name used in configs and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Semantic => "semantic",
            Self::Factual => "factual",
            Self::Value => "value",
        }
    }
}

/// The kinds of question a scorer may ask; each must be granted in the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QuestionKind {
    /// A unit-norm embedding of a text.
    Embed,
    /// Entailment, neutral or contradiction.
    Entail,
    /// Which option continues the prompt.
    Choose,
    /// How likely a continuation is.
    Likelihood,
    /// Sampled texts.
    Complete,
}

impl QuestionKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Embed, Self::Entail, Self::Choose, Self::Likelihood, Self::Complete];
}

/// What a plugin wants to know of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Question {
    /// The unit-norm embedding of a text.
    Embed {
        /// The text.
        text: String,
    },
    /// Does the premise entail the hypothesis?
    Entail {
        /// What is given.
        premise: String,
        /// What may follow from it.
        hypothesis: String,
    },
    /// The probability of each option as the continuation, normalised over the options.
    Choose {
        /// What stands before.
        prompt: PromptText,
        /// At least two.
        options: Vec<String>,
    },
    /// The log-probability of a continuation.
    Likelihood {
        /// What stands before.
        prompt: PromptText,
        /// What comes after.
        continuation: String,
    },
    /// Sampled texts.
    Complete {
        /// What stands before.
        prompt: PromptText,
        /// How many.
        n: u32,
        /// 0 is greedy.
        temperature: f32,
        /// The token limit.
        max_tokens: u32,
    },
}

impl Question {
    /// Its kind.
    pub fn kind(&self) -> QuestionKind {
        match self {
            Self::Embed { .. } => QuestionKind::Embed,
            Self::Entail { .. } => QuestionKind::Entail,
            Self::Choose { .. } => QuestionKind::Choose,
            Self::Likelihood { .. } => QuestionKind::Likelihood,
            Self::Complete { .. } => QuestionKind::Complete,
        }
    }
}

/// The answer to a question of the same kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Unit norm.
    Embed(Vec<f32>),
    /// Sums to 1.
    Entail {
        /// P(entailment).
        entailment: f32,
        /// P(neutral).
        neutral: f32,
        /// P(contradiction).
        contradiction: f32,
    },
    /// One probability per option; sums to 1.
    Choose(Vec<f32>),
    /// Sum of log-probabilities in nats, and over how many tokens.
    Likelihood {
        /// Nats.
        logprob: f32,
        /// Count.
        tokens: u32,
    },
    /// The sampled texts.
    Complete(Vec<String>),
}

/// A scorer's verdict on one response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// In [0, 1]; higher is less reliable.
    pub uncertainty: f64,
    /// Numbers for the report.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, f64>,
}

/// One line of `scores.jsonl`: one sample, one scorer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleScores {
    /// The prompt's id.
    pub id: String,
    /// The scorer's name in the config.
    pub scorer: String,
    /// One per response; empty where the scorer failed on this sample.
    pub scores: Vec<Score>,
    /// What went wrong, where `on_fault = "skip"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// What one plugin used in one room: an entry of `score-usage.json`, `stage-usage.json` and `train-usage.json`. Calls that
/// ask it who it is or whether its settings are sound are not counted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PluginUsage {
    /// Its name in the config.
    pub name: String,
    /// The name it gives itself.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// `scorer` or `staging policy`.
    pub kind: String,
    /// Version of the contract.
    pub contract: String,
    /// Hex SHA-256 of its file.
    pub sha256: String,
    /// Whether it ran outside of the sandbox: then nobody counts fuel and memory.
    #[serde(default)]
    pub native: bool,
    /// What the numbers belong to: a scorer's key or the room's. Under another key they begin anew.
    pub key: String,
    /// The numbers.
    #[serde(flatten)]
    pub used: Used,
}

/// What calls of a plugin used, all processes together that worked under one key.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Used {
    /// Calls, failed ones included.
    pub calls: u64,
    /// Calls that gave nothing usable, traps included.
    pub faults: u64,
    /// Calls that ended in a trap.
    pub traps: u64,
    /// Fuel of the calls that did not trap.
    pub fuel: u64,
    /// Fuel of the call that took most.
    pub most_fuel: u64,
    /// The largest memory of an instance, bytes.
    pub peak_memory: u64,
    /// Questions asked.
    pub questions: u64,
    /// How many of them were put to the model; the others were answered from the cache.
    pub asked_model: u64,
    /// Log lines over the limit.
    pub log_lines_dropped: u64,
    /// Wall time in calls, summed over threads.
    pub seconds: f64,
}

impl Used {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            faults: self.faults + other.faults,
            traps: self.traps + other.traps,
            fuel: self.fuel.saturating_add(other.fuel),
            most_fuel: self.most_fuel.max(other.most_fuel),
            peak_memory: self.peak_memory.max(other.peak_memory),
            questions: self.questions + other.questions,
            asked_model: self.asked_model + other.asked_model,
            log_lines_dropped: self.log_lines_dropped + other.log_lines_dropped,
            seconds: self.seconds + other.seconds,
        }
    }
}

/// One line of `uncertainty.jsonl`: a sample's scores scaled over the data set and combined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleUncertainty {
    /// The prompt's id.
    pub id: String,
    /// Combined `u` of each response, in [0, 1].
    pub u: Vec<f64>,
    /// Scaled uncertainty of each response, per dimension that was scored.
    pub dimensions: BTreeMap<Dimension, Vec<f64>>,
    /// Responses that may never be chosen (hard veto).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vetoed: Vec<usize>,
}

/// One line of `pairs.jsonl`: a TRL preference row with our columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// `<prompt id>-<chosen index>-<rejected index>`; `-<stage>` follows, from 0, where the responses were sampled anew before a stage.
    pub id: String,
    /// The prompt's id.
    pub prompt_id: String,
    /// The prompt's group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The prompt.
    pub prompt: PromptText,
    /// Text, or one assistant message where the prompt is a dialogue.
    pub chosen: PromptText,
    /// Likewise.
    pub rejected: PromptText,
    /// 1 − u of the chosen response.
    pub chosen_rating: f64,
    /// 1 − u of the rejected response.
    pub rejected_rating: f64,
    /// Δu = u(rejected) − u(chosen), at least 0.
    pub gap: f64,
    /// [chosen, rejected] scaled uncertainty per dimension.
    pub dimensions: BTreeMap<Dimension, [f64; 2]>,
    /// Which of the prompt's responses is chosen.
    pub chosen_index: usize,
    /// Which is rejected.
    pub rejected_index: usize,
    /// The rendered prompt.
    pub prompt_token_ids: Vec<u32>,
    /// The sampled ids of the chosen response.
    pub chosen_token_ids: Vec<u32>,
    /// The sampled ids of the rejected response.
    pub rejected_token_ids: Vec<u32>,
}

impl Pair {
    /// The gap in one dimension, after scaling, where it was scored; it may be negative.
    pub fn gap_in(&self, dimension: Dimension) -> Option<f64> {
        self.dimensions.get(&dimension).map(|[chosen, rejected]| rejected - chosen)
    }
}

/// One line of `drops.jsonl`: a prompt or pair that makes no training pair, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drop {
    /// The prompt's id.
    pub prompt_id: String,
    /// A short stable name, counted in the report: `small-gap`, `identical`, `empty`, …
    pub reason: String,
    /// A sentence with the numbers.
    pub detail: String,
}

/// What a stage departs from in the config's training settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Overrides {
    /// Passes over the stage's pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u32>,
    /// The loss's β.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// Multiplies the learning rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate_scale: Option<f64>,
    /// cDPO's ε.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_smoothing: Option<f64>,
    /// η of the NLL term.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nll_weight: Option<f64>,
    /// Another loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
}

/// A stage as a staging policy gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name: `conservative`, …
    pub name: String,
    /// Indices into the pairs, in training order.
    pub pairs: Vec<u32>,
    /// Departures from the config.
    pub overrides: Overrides,
    /// The reference becomes the policy as it is before this stage.
    pub refresh_reference: bool,
    /// Sample and score anew before this stage.
    pub resample: bool,
    /// One sentence: why these pairs.
    pub reason: String,
}

/// What training a stage did; given to the staging policy before the next one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Mean loss of the last epoch.
    pub loss: f64,
    /// Share of the last epoch's pairs whose chosen reward is above the rejected one.
    pub reward_accuracy: f64,
    /// Mean reward margin of the last epoch.
    pub margin: f64,
    /// Mean log-ratio to the initial model on the chosen responses, nats per token.
    pub kl_to_initial: f64,
    /// Mean change of the chosen responses' log-probability over the stage, nats per response.
    pub chosen_logprob_change: f64,
    /// Headline measures of the evaluation after the stage, by name: where `evaluate.tell_policy` asks for them.
    pub evaluation: BTreeMap<String, f64>,
}

/// What was sampled, scored and paired anew before a stage.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resampled {
    /// Where it lies, under the run folder: files of the same names as the run's own.
    pub folder: String,
    /// Prompts that were sampled: those of the pairs that the policy named.
    pub prompts: usize,
    /// Pairs that came of them, which the stage is trained on.
    pub pairs: usize,
    /// What was dropped, counted by reason.
    pub drops: BTreeMap<String, usize>,
}

/// A stage that has been given out. No outcome: only planned, or nothing was left to train on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastStage {
    /// Its name.
    pub name: String,
    /// Its pairs.
    pub pairs: Vec<u32>,
    /// What training it did.
    pub outcome: Option<Outcome>,
}

/// One line of `stages.jsonl`: one pair in one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageMember {
    /// The stage's number, from 0.
    pub stage: usize,
    /// The stage's name.
    pub name: String,
    /// The pair's id.
    pub pair_id: String,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Its Δu.
    pub gap: f64,
    /// Why it is here.
    pub reason: String,
}

/// One line of `metrics.jsonl`: one optimizer step, under TRL's names. `step` counts over all stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// From 1, over all stages.
    pub step: u64,
    /// The stage's name.
    pub stage: String,
    /// Passes over the stage's pairs, as a fraction.
    pub epoch: f64,
    /// Mean over the batch.
    pub loss: f64,
    /// Before clipping.
    pub grad_norm: f64,
    /// Of this step.
    pub learning_rate: f64,
    /// β · (log p − log p_ref) of the chosen.
    #[serde(rename = "rewards/chosen")]
    pub rewards_chosen: f64,
    /// … of the rejected.
    #[serde(rename = "rewards/rejected")]
    pub rewards_rejected: f64,
    /// Share of pairs with chosen above rejected (strict).
    #[serde(rename = "rewards/accuracies")]
    pub rewards_accuracies: f64,
    /// Mean difference.
    #[serde(rename = "rewards/margins")]
    pub rewards_margins: f64,
    /// Mean summed log-probability of the chosen.
    #[serde(rename = "logps/chosen")]
    pub logps_chosen: f64,
    /// … of the rejected.
    #[serde(rename = "logps/rejected")]
    pub logps_rejected: f64,
    /// Negative log-likelihood of the chosen, per token, where the loss has an NLL term.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nll_loss: Option<f64>,
    /// KTO's estimate of KL(policy ‖ reference), nats a response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl: Option<f64>,
    /// Tokens so far, over all stages: the prompt with each response.
    #[serde(default)]
    pub num_tokens: u64,
    /// Trained tokens per second of wall time (left out of digests).
    pub tokens_per_second: f64,
    /// The process's greatest resident set so far, MiB, where the system says it (left out of digests).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
}

impl StepMetrics {
    /// The names of what another run of the same steps measures differently.
    pub const BY_THE_CLOCK: [&str; 2] = ["tokens_per_second", "memory"];
}

/// One measured model in `eval.json`: before, or after a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalPoint {
    /// `before`, or `after <stage>`.
    pub at: String,
    /// Measures in [0, 1] or with their own unit, by name; `group/label` for rates.
    pub measures: BTreeMap<String, Measure>,
}

/// One measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// The value.
    pub value: f64,
    /// How many items it is the mean of.
    pub n: u64,
    /// Standard error of the mean, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub se: Option<f64>,
    /// Up is better (true), down is better (false), or neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub higher_is_better: Option<bool>,
    /// One of the run's headline measures: shown first, as bars.
    #[serde(default)]
    pub headline: bool,
}

/// A condition on the model before alignment, checked and shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// What is measured.
    pub name: String,
    /// Measured.
    pub value: f64,
    /// It must be at least this.
    pub at_least: f64,
    /// Whether it is.
    pub passed: bool,
}

/// `eval.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evaluation {
    /// In the order measured.
    pub points: Vec<EvalPoint>,
    /// Gates on the initial model.
    pub gates: Vec<Gate>,
}
