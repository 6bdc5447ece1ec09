//! One function a loss: its value and its derivative by the two log-probabilities. Formulas and sources above each; the derivations are
//! in docs/method.md.
//!
//! `w` the chosen (winning), `l` the rejected (losing) response; ρ = log p − log ref the log-ratio, h = ρ_w − ρ_l, r = βρ; a bar is a mean per
//! token of the response.

use super::scalar::{log_odds, log_sigmoid, sigmoid, sigmoid_slope, weighted};
use super::{BatchFacts, LossSettings, PairLogps};
use crate::config::{Loss, NllMean};

/// A loss and its derivatives by log p_w and log p_l.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value {
    pub loss: f64,
    pub by_chosen: f64,
    pub by_rejected: f64,
}

/// One term of a mix, unweighted.
pub fn value(loss: Loss, beta: f64, pair: &PairLogps, settings: &LossSettings, batch: &BatchFacts) -> Value {
    let ratio = [pair.chosen - pair.reference_chosen, pair.rejected - pair.reference_rejected];
    match loss {
        Loss::Dpo | Loss::Cdpo => dpo(ratio, beta, settings.label_smoothing),
        Loss::Robust => robust(ratio, beta, settings.label_smoothing),
        Loss::Ipo => ipo(ratio, pair.tokens(), beta),
        Loss::Hinge => hinge(ratio, beta),
        Loss::SigmoidNorm => sigmoid_norm(ratio, pair.tokens(), beta),
        Loss::Simpo => simpo(pair, beta, settings.gamma, settings.label_smoothing),
        Loss::Orpo => orpo(pair, settings, batch),
        Loss::Kto => kto(ratio, beta, settings.kto_weights, batch.kl),
        Loss::Nca => nca(ratio, beta),
        Loss::ApoZero => apo_zero(ratio, beta),
        Loss::ApoDown => apo_down(ratio, beta),
        Loss::Nll => nll(1.0, pair, settings.nll_mean, batch),
    }
}

/// η times the NLL of the chosen response per token: alone, SFT on it; beside another loss, RPO (Pang et al. 2024).
///
/// Per response −log p_w / |w|, so that every pair weighs the same; per token −log p_w / (mean |w| of the batch), so that every token does,
/// as in TRL's `sft`.
pub fn nll(weight: f64, pair: &PairLogps, mean: NllMean, batch: &BatchFacts) -> Value {
    let tokens = match mean {
        NllMean::Response => pair.tokens()[0],
        NllMean::Token => batch.mean_chosen_tokens.max(1.0),
    };
    Value { loss: weight * -pair.chosen / tokens, by_chosen: -weight / tokens, by_rejected: 0.0 }
}

/// DPO (Rafailov et al. 2023, eq. 7); with ε, cDPO (Mitchell 2023): −(1−ε) log σ(βh) − ε log σ(−βh).
fn dpo([w, l]: [f64; 2], beta: f64, e: f64) -> Value {
    let x = beta * (w - l);
    let by_h = -beta * ((1.0 - e) * sigmoid(-x) - e * sigmoid(x));
    of_margin(-(1.0 - e) * log_sigmoid(x) - weighted(e, log_sigmoid(-x)), by_h)
}

/// Robust DPO (Chowdhury et al. 2024): [−(1−ε) log σ(βh) + ε log σ(−βh)] / (1−2ε), without bias where a share ε of the labels is wrong.
fn robust([w, l]: [f64; 2], beta: f64, e: f64) -> Value {
    let x = beta * (w - l);
    let scale = 1.0 - 2.0 * e;
    let by_h = -beta * ((1.0 - e) * sigmoid(-x) + e * sigmoid(x)) / scale;
    of_margin((-(1.0 - e) * log_sigmoid(x) + weighted(e, log_sigmoid(-x))) / scale, by_h)
}

/// IPO (Azar et al. 2023, eq. 17), on per-token means as its authors and TRL do: (ρ̄_w − ρ̄_l − 1/(2β))².
fn ipo([w, l]: [f64; 2], tokens: [f64; 2], beta: f64) -> Value {
    let off = w / tokens[0] - l / tokens[1] - 1.0 / (2.0 * beta);
    of_means(off * off, 2.0 * off, tokens)
}

/// SLiC's hinge (Zhao et al. 2023) on the log-ratio: max(0, 1 − βh).
fn hinge([w, l]: [f64; 2], beta: f64) -> Value {
    let slack = 1.0 - beta * (w - l);
    // The comparison is so that NaN stays NaN.
    if slack <= 0.0 { of_margin(0.0, 0.0) } else { of_margin(slack, -beta) }
}

/// Length-normalised DPO (as in Lambert et al. 2024; TRL's `sigmoid_norm`): −log σ(β(ρ̄_w − ρ̄_l)).
fn sigmoid_norm([w, l]: [f64; 2], tokens: [f64; 2], beta: f64) -> Value {
    let x = beta * (w / tokens[0] - l / tokens[1]);
    of_means(-log_sigmoid(x), -beta * sigmoid(-x), tokens)
}

/// SimPO (Meng et al. 2024, eq. 6): −log σ(x), x = β(ℓ̄_w − ℓ̄_l) − γ; ε as in cDPO. No reference.
fn simpo(pair: &PairLogps, beta: f64, gamma: f64, e: f64) -> Value {
    let tokens = pair.tokens();
    let x = beta * (pair.chosen / tokens[0] - pair.rejected / tokens[1]) - gamma;
    let by_means = -beta * ((1.0 - e) * sigmoid(-x) - e * sigmoid(x));
    of_means(-(1.0 - e) * log_sigmoid(x) - weighted(e, log_sigmoid(-x)), by_means, tokens)
}

/// ORPO (Hong et al. 2024, eq. 6–7): NLL(w) − λ log σ(log odds_w − log odds_l), odds of p̄ = e^ℓ̄. No reference.
fn orpo(pair: &PairLogps, settings: &LossSettings, batch: &BatchFacts) -> Value {
    let tokens = pair.tokens();
    let (odds_w, slope_w) = log_odds(pair.chosen / tokens[0]);
    let (odds_l, slope_l) = log_odds(pair.rejected / tokens[1]);
    let x = odds_w - odds_l;
    let by_x = -settings.orpo_lambda * sigmoid(-x);
    let nll = nll(1.0, pair, settings.nll_mean, batch);
    Value {
        loss: nll.loss - weighted(settings.orpo_lambda, log_sigmoid(x)),
        by_chosen: nll.by_chosen + by_x * slope_w / tokens[0],
        by_rejected: -by_x * slope_l / tokens[1],
    }
}

/// KTO (Ethayarajh et al. 2024, eq. 8) with both responses as examples: the mean of λ_D (1 − σ(r_w − βz)) and λ_U (1 − σ(βz − r_l)).
///
/// z ≥ 0 is the batch's estimate of KL(policy ‖ reference), a constant: no gradient.
fn kto([w, l]: [f64; 2], beta: f64, [desirable, undesirable]: [f64; 2], z: f64) -> Value {
    let (x, y) = (beta * (z - w), beta * (l - z));
    Value {
        loss: 0.5 * (desirable * sigmoid(x) + undesirable * sigmoid(y)),
        by_chosen: -0.5 * desirable * beta * sigmoid_slope(x),
        by_rejected: 0.5 * undesirable * beta * sigmoid_slope(y),
    }
}

/// NCA for pairs (Chen et al. 2024): −log σ(r_w) − ½ log σ(−r_w) − ½ log σ(−r_l).
fn nca([w, l]: [f64; 2], beta: f64) -> Value {
    let (w, l) = (beta * w, beta * l);
    Value {
        loss: -log_sigmoid(w) - 0.5 * log_sigmoid(-w) - 0.5 * log_sigmoid(-l),
        by_chosen: beta * (0.5 * sigmoid(w) - sigmoid(-w)),
        by_rejected: 0.5 * beta * sigmoid(l),
    }
}

/// APO-zero (D'Oosterlinck et al. 2024, eq. 7): (1 − σ(r_w)) + σ(r_l), where the chosen are better than what the model does.
fn apo_zero([w, l]: [f64; 2], beta: f64) -> Value {
    let (w, l) = (beta * w, beta * l);
    Value { loss: sigmoid(-w) + sigmoid(l), by_chosen: -beta * sigmoid_slope(w), by_rejected: beta * sigmoid_slope(l) }
}

/// APO-down (ibid., eq. 8): σ(r_w) + (1 − σ(βh)), where they are worse.
fn apo_down([w, l]: [f64; 2], beta: f64) -> Value {
    let (r, x) = (beta * w, beta * (w - l));
    let by_h = -beta * sigmoid_slope(x);
    Value { loss: sigmoid(r) + sigmoid(-x), by_chosen: beta * sigmoid_slope(r) + by_h, by_rejected: -by_h }
}

/// A function of h: what it gains by log p_w it loses by log p_l.
fn of_margin(loss: f64, by_h: f64) -> Value {
    Value { loss, by_chosen: by_h, by_rejected: -by_h }
}

/// A function of a difference of per-token means: each side by its own length.
fn of_means(loss: f64, by_difference: f64, [w, l]: [f64; 2]) -> Value {
    Value { loss, by_chosen: by_difference / w, by_rejected: -by_difference / l }
}
