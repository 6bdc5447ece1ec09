//! Preference losses as functions of log-probabilities, with their derivatives. Pure f64; no tensors, no I/O.
//!
//! In: a pair's log-probabilities under policy and reference, summed over the response's tokens in nats, and its lengths; the settings; what
//! only the whole batch knows. Out: loss, derivative by each log-probability, rewards. A loss may be a mix: the weighted sum of several.
//! Checked against TRL's own code in the golden numbers.

mod forms;
mod scalar;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod tests;

use crate::config::{Loss, LossTerm, NllMean, Train};

/// One pair's log-probabilities, in nats, and lengths, in tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairLogps {
    /// log p of the chosen response under the policy.
    pub chosen: f64,
    /// … of the rejected.
    pub rejected: f64,
    /// log p of the chosen response under the reference; any number where the loss needs none.
    pub reference_chosen: f64,
    /// … of the rejected.
    pub reference_rejected: f64,
    /// Tokens of the chosen response, end of sequence included.
    pub chosen_tokens: usize,
    /// … of the rejected.
    pub rejected_tokens: usize,
}

impl PairLogps {
    /// Lengths to divide by: at least 1, so that a response of which nothing is scored gives 0 and not NaN.
    fn tokens(&self) -> [f64; 2] {
        [self.chosen_tokens, self.rejected_tokens].map(|n| n.max(1) as f64)
    }
}

/// What a pair's loss depends on beyond the pair: the same for every pair of a batch, however the batch is split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchFacts {
    /// KTO's z: the batch's estimate of KL(policy ‖ reference) in nats, at least 0. Only `kto` reads it.
    pub kl: f64,
    /// Mean length of the chosen responses. Only the NLL per token reads it.
    pub mean_chosen_tokens: f64,
}

/// KTO's z of a batch (eq. 7 and section 4.2): the mean log-ratio of responses to prompts they do not belong to, at least 0.
pub fn kl_estimate(log_ratios: &[f64]) -> f64 {
    (log_ratios.iter().sum::<f64>() / log_ratios.len().max(1) as f64).max(0.0)
}

/// What shapes the loss.
#[derive(Debug, Clone, PartialEq)]
pub struct LossSettings {
    /// The losses of the mix.
    pub terms: Vec<LossTerm>,
    /// β, where a term has none of its own.
    pub beta: f64,
    /// ε of `dpo`, `cdpo`, `robust` and `simpo`.
    pub label_smoothing: f64,
    /// γ of `simpo`.
    pub gamma: f64,
    /// λ of `orpo`.
    pub orpo_lambda: f64,
    /// λ_D and λ_U of `kto`.
    pub kto_weights: [f64; 2],
    /// η of the NLL term.
    pub nll_weight: f64,
    /// What the NLL is a mean over.
    pub nll_mean: NllMean,
}

impl LossSettings {
    /// As the config says.
    pub fn new(train: &Train) -> Self {
        Self {
            terms: train.loss.terms(),
            beta: train.beta,
            label_smoothing: train.label_smoothing,
            gamma: train.gamma,
            orpo_lambda: train.orpo_lambda,
            kto_weights: [train.desirable_weight, train.undesirable_weight],
            nll_weight: train.nll_weight,
            nll_mean: train.nll_mean,
        }
    }

    /// Whether any term compares with a reference model.
    pub fn needs_reference(&self) -> bool {
        self.terms.iter().any(|term| term.name.needs_reference())
    }

    /// Whether any term is of this name.
    pub fn has(&self, name: Loss) -> bool {
        self.terms.iter().any(|term| term.name == name)
    }

    /// Whether the NLL of the chosen responses is part of it.
    pub fn has_nll(&self) -> bool {
        self.nll_weight > 0.0 || self.has(Loss::Nll) || self.has(Loss::Orpo)
    }
}

/// A pair's loss, its derivatives, and its rewards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairLoss {
    /// The loss.
    pub loss: f64,
    /// ∂ loss / ∂ log p_w.
    pub by_chosen: f64,
    /// ∂ loss / ∂ log p_l.
    pub by_rejected: f64,
    /// β (log p_w − log ref_w); without a reference, β times the mean log-probability of a token.
    pub reward_chosen: f64,
    /// Likewise of l.
    pub reward_rejected: f64,
    /// NLL of the chosen response, unweighted, as `nll_mean` says.
    pub nll: f64,
}

/// The loss of one pair.
pub fn pair_loss(pair: &PairLogps, settings: &LossSettings, batch: &BatchFacts) -> PairLoss {
    let (mut loss, mut by_chosen, mut by_rejected) = (0.0, 0.0, 0.0);
    for term in settings.terms.iter().filter(|term| term.weight > 0.0) {
        let value = forms::value(term.name, term.beta.unwrap_or(settings.beta), pair, settings, batch);
        loss += term.weight * value.loss;
        by_chosen += term.weight * value.by_chosen;
        by_rejected += term.weight * value.by_rejected;
    }
    let nll = |weight| forms::nll(weight, pair, settings.nll_mean, batch);
    if settings.nll_weight > 0.0 {
        let value = nll(settings.nll_weight);
        loss += value.loss;
        by_chosen += value.by_chosen;
    }
    let [reward_chosen, reward_rejected] = rewards(pair, settings);
    PairLoss { loss, by_chosen, by_rejected, reward_chosen, reward_rejected, nll: nll(1.0).loss }
}

/// As TRL reports them: β times the log-ratios, whatever the loss; of a loss without a reference, β times the mean log-probability of a
/// token (λ for `orpo`). In a mix, those of its first term with a reference, else of its first.
fn rewards(pair: &PairLogps, settings: &LossSettings) -> [f64; 2] {
    let leading = settings.terms.iter().find(|term| term.name.needs_reference()).or(settings.terms.first());
    let beta = leading.and_then(|term| term.beta).unwrap_or(settings.beta);
    let name = leading.map_or(Loss::Dpo, |term| term.name);
    if name.needs_reference() {
        return [beta * (pair.chosen - pair.reference_chosen), beta * (pair.rejected - pair.reference_rejected)];
    }
    let scale = if name == Loss::Orpo { settings.orpo_lambda } else { beta };
    let [w, l] = pair.tokens();
    [scale * (pair.chosen / w), scale * (pair.rejected / l)]
}
