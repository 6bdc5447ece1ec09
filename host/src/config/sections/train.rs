//! `[train]`: preference training.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::one_f;

/// Preference training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Train {
    /// The loss (formulas in docs/method.md), or several, weighted and added: `loss = [{ name = "dpo" }, { name = "nca", weight = 0.5 }]`.
    pub loss: LossChoice,
    /// β: how strongly the policy is held to the reference. Losses without a reference want a larger one: `simpo` 2 to 2.5.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub beta: f64,
    /// ε: the share of labels taken to be wrong, by `dpo`, `cdpo`, `robust` (below 0.5) and `simpo`.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub label_smoothing: f64,
    /// γ of `simpo`: the margin wanted between the two mean log-probabilities, times β.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub gamma: f64,
    /// λ of `orpo`: weight of its odds-ratio term beside the NLL.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub orpo_lambda: f64,
    /// λ_D of `kto`: weight of the chosen responses.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub desirable_weight: f64,
    /// λ_U of `kto`: weight of the rejected responses.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub undesirable_weight: f64,
    /// η: weight of the chosen responses' NLL per token, added to any loss.
    #[schemars(range(min = 0.0))]
    pub nll_weight: f64,
    /// What an NLL (`nll_weight`, `nll`, `orpo`) is the mean over.
    pub nll_mean: NllMean,
    /// Peak learning rate of AdamW; 5e-7 (full) or 1e-5 (LoRA) where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub learning_rate: Option<f64>,
    /// The rate's course within a stage, after the warm-up.
    pub schedule: Schedule,
    /// Share of a stage's steps spent on warm-up.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warmup: f64,
    /// Where the linear and the cosine schedule end, as a share of the peak.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub final_rate: f64,
    /// AdamW's β₁ and β₂.
    pub adam_betas: [f64; 2],
    /// Decoupled weight decay.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: f64,
    /// Gradients are clipped to this norm.
    #[schemars(range(min = 0.0))]
    pub max_grad_norm: f64,
    /// Pairs an optimizer step.
    #[schemars(range(min = 1, max = 65_536))]
    pub batch: usize,
    /// Pairs in memory at once, at most; 0: as many as `activation_memory` has room for. A batch that is divided changes rounding only.
    pub micro_batch: usize,
    /// MiB that a step may keep for its backward pass, weights and optimizer not counted: batches and logits are divided to keep to it.
    /// 0: as much as weights, gradients and optimizer take, but 512 at least and 2048 at most.
    pub activation_memory: usize,
    /// Compute each block again in the backward pass instead of keeping what it computed: a third more work for a fraction of the memory.
    pub gradient_checkpointing: Recompute,
    /// Write a checkpoint every so many steps, from which a run that was killed goes on; 0: only after each stage.
    pub save_steps: usize,
    /// Checkpoints within a stage that are kept; those of stages all are.
    #[schemars(range(min = 1))]
    pub save_total_limit: usize,
    /// Stop, and go back to the last good checkpoint, when the chosen responses' mean KL estimate to the initial model, in nats a token,
    /// exceeds this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub max_kl: Option<f64>,
    /// The same when the chosen responses' log-probability has fallen by more than this since the stage began, in nats a response.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub max_chosen_drop: Option<f64>,
    /// Passes over a stage's pairs, unless the policy says otherwise.
    #[schemars(range(min = 1, max = 1000))]
    pub epochs: u32,
    /// What the loss compares with: the policy before each stage (`previous`), as the staging policy says, or always the `initial` model.
    pub reference: Reference,
    /// Train a low-rank adapter instead of all weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            loss: LossChoice::One(Loss::Dpo),
            beta: 0.1,
            label_smoothing: 0.0,
            gamma: 0.5,
            orpo_lambda: 0.1,
            desirable_weight: 1.0,
            undesirable_weight: 1.0,
            nll_weight: 0.0,
            nll_mean: NllMean::Response,
            learning_rate: None,
            schedule: Schedule::Linear,
            warmup: 0.1,
            final_rate: 0.05,
            adam_betas: [0.9, 0.999],
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            batch: 32,
            micro_batch: 0,
            activation_memory: 0,
            gradient_checkpointing: Recompute::Auto,
            save_steps: 100,
            save_total_limit: 2,
            max_kl: None,
            max_chosen_drop: None,
            epochs: 1,
            reference: Reference::Previous,
            lora: None,
        }
    }
}

impl Train {
    /// Without what changes no output: when checkpoints are written, and whether blocks are computed twice.
    pub fn keyed(&self) -> Self {
        let Self { gradient_checkpointing, save_steps, save_total_limit, .. } = Self::default();
        Self { gradient_checkpointing, save_steps, save_total_limit, ..self.clone() }
    }
}

/// Whether blocks are computed again in the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Recompute {
    /// Where one pair alone would exceed `activation_memory`.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// One loss, or several with weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LossChoice {
    /// By name.
    One(Loss),
    /// Their weighted sum.
    Mix(#[schemars(length(min = 1))] Vec<LossTerm>),
}

/// One loss of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LossTerm {
    /// Which; none twice.
    pub name: Loss,
    /// What it is multiplied by.
    #[serde(default = "one_f")]
    #[schemars(range(min = 0.0))]
    pub weight: f64,
    /// Its own β; `train.beta`, or what the staging policy sets instead, where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 100.0))]
    pub beta: Option<f64>,
}

/// The preference losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// −log σ(βh); with `label_smoothing`, cDPO.
    Dpo,
    /// The same as `dpo`, for those who set `label_smoothing`.
    Cdpo,
    /// cDPO without its bias: unbiased where a share `label_smoothing` of the labels is wrong.
    Robust,
    /// (h̄ − 1/(2β))², h̄ from per-token means.
    Ipo,
    /// max(0, 1 − βh).
    Hinge,
    /// −log σ(βh̄), h̄ from per-token means.
    SigmoidNorm,
    /// −log σ(β · difference of mean log-probabilities − `gamma`); no reference.
    Simpo,
    /// NLL − `orpo_lambda` · log σ(difference of log odds); no reference.
    Orpo,
    /// Both responses on their own against the batch's KL, with `desirable_weight` and `undesirable_weight`. Two more forward passes a step.
    Kto,
    /// −log σ(r_w) − ½ log σ(−r_w) − ½ log σ(−r_l).
    Nca,
    /// (1 − σ(r_w)) + σ(r_l): up with the chosen, down with the rejected.
    ApoZero,
    /// σ(r_w) + (1 − σ(βh)): down with both, more with the rejected.
    ApoDown,
    /// The chosen responses' NLL alone: supervised fine-tuning on them; no reference.
    Nll,
}

/// What a negative log-likelihood is the mean over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NllMean {
    /// The tokens of each response, then the pairs: every pair weighs the same.
    Response,
    /// All tokens of the batch: every token weighs the same, as in TRL.
    Token,
}

/// Learning-rate schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Linear to `final_rate`.
    Linear,
    /// Half a cosine to `final_rate`.
    Cosine,
    /// Constant.
    Constant,
}

/// Reference models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reference {
    /// Refreshed where the staging policy says so.
    Previous,
    /// Never refreshed.
    Initial,
}

/// A low-rank adapter, in PEFT's terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// Rank.
    #[schemars(range(min = 1, max = 4096))]
    pub rank: usize,
    /// Scale is alpha / rank.
    #[schemars(range(min = 1e-6))]
    pub alpha: f64,
    /// Scale is alpha / √rank instead (rsLoRA, Kalajdzievski 2023), which keeps large ranks learning.
    #[serde(default)]
    pub rslora: bool,
    /// Share of the adapter's inputs that are dropped in training.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 0.99))]
    pub dropout: f64,
    /// Also write the model with the adapter added to its weights, as `model/`.
    #[serde(default)]
    pub merge: bool,
    /// Names of the layers adapted.
    #[serde(default = "lora_targets")]
    #[schemars(length(min = 1))]
    pub targets: Vec<String>,
}

impl Default for Lora {
    /// PEFT's numbers, on every linear layer.
    fn default() -> Self {
        Self { rank: 8, alpha: 8.0, rslora: false, dropout: 0.0, merge: false, targets: lora_targets() }
    }
}

fn lora_targets() -> Vec<String> {
    ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"].map(String::from).into()
}
