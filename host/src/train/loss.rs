//! Preference losses as functions of log-probabilities, with their derivatives. Pure f64; no tensors, no I/O, no config.
//!
//! For one pair: `w` the chosen (winning), `l` the rejected (losing) response; log p summed over its tokens in nats; h = (log p_w − log
//! ref_w) − (log p_l − log ref_l). Checked against TRL's own code in the golden numbers.

use crate::config::Loss;

/// One pair's log-probabilities, in nats, and lengths, in tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairLogps {
    /// log p of the chosen response under the policy.
    pub chosen: f64,
    /// … of the rejected.
    pub rejected: f64,
    /// log p of the chosen response under the reference.
    pub reference_chosen: f64,
    /// … of the rejected.
    pub reference_rejected: f64,
    /// Tokens of the chosen response, end of sequence included.
    pub chosen_tokens: usize,
    /// … of the rejected.
    pub rejected_tokens: usize,
}

/// What shapes the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossSettings {
    /// Which loss.
    pub loss: Loss,
    /// β.
    pub beta: f64,
    /// ε of cDPO; only `dpo` knows it.
    pub label_smoothing: f64,
    /// η of the NLL term.
    pub nll_weight: f64,
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
    /// β (log p_w − log ref_w).
    pub reward_chosen: f64,
    /// β (log p_l − log ref_l).
    pub reward_rejected: f64,
}

/// The loss of one pair.
pub fn pair_loss(pair: &PairLogps, settings: &LossSettings) -> PairLoss {
    let beta = settings.beta;
    let ratio_chosen = pair.chosen - pair.reference_chosen;
    let ratio_rejected = pair.rejected - pair.reference_rejected;
    let h = ratio_chosen - ratio_rejected;
    let (chosen_tokens, rejected_tokens) = (pair.chosen_tokens.max(1) as f64, pair.rejected_tokens.max(1) as f64);
    let (mut loss, mut by_chosen, by_rejected) = match settings.loss {
        // DPO (Rafailov et al. 2023, eq. 7); with ε, cDPO (Mitchell 2023): −(1−ε) log σ(βh) − ε log σ(−βh).
        // d/dh = −β [(1−ε) σ(−βh) − ε σ(βh)].
        Loss::Dpo => {
            let e = settings.label_smoothing;
            let by_h = -beta * ((1.0 - e) * sigmoid(-beta * h) - e * sigmoid(beta * h));
            (-(1.0 - e) * log_sigmoid(beta * h) - e * log_sigmoid(-beta * h), by_h, -by_h)
        }
        // IPO (Azar et al. 2023, eq. 17), on per-token means as its authors and TRL do: (h̄ − 1/(2β))².
        Loss::Ipo => {
            let mean = ratio_chosen / chosen_tokens - ratio_rejected / rejected_tokens;
            let off = mean - 1.0 / (2.0 * beta);
            (off * off, 2.0 * off / chosen_tokens, -2.0 * off / rejected_tokens)
        }
        // SLiC's hinge (Zhao et al. 2023) on the log-ratio: max(0, 1 − βh).
        Loss::Hinge => {
            let slack = 1.0 - beta * h;
            if slack > 0.0 { (slack, -beta, beta) } else { (0.0, 0.0, 0.0) }
        }
    };
    // NLL of the chosen response, mean per token (RPO, Pang et al. 2024).
    loss += settings.nll_weight * -pair.chosen / chosen_tokens;
    by_chosen -= settings.nll_weight / chosen_tokens;
    PairLoss {
        loss,
        by_chosen,
        by_rejected,
        reward_chosen: beta * ratio_chosen,
        reward_rejected: beta * ratio_rejected,
    }
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// log σ(x), exact for large |x|.
fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(chosen: f64, rejected: f64) -> PairLogps {
        PairLogps {
            chosen,
            rejected,
            reference_chosen: -10.0,
            reference_rejected: -12.0,
            chosen_tokens: 5,
            rejected_tokens: 40,
        }
    }

    fn settings(loss: Loss) -> LossSettings {
        LossSettings { loss, beta: 0.1, label_smoothing: 0.0, nll_weight: 0.0 }
    }

    #[test]
    fn losses_rewards_and_gradients_equal_trls() {
        let Some(oracles) = crate::model::golden_tests::oracles() else { return };
        let golden: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(oracles.join("losses.json")).expect("file")).expect("json");
        let list = |v: &serde_json::Value| -> Vec<f64> {
            v.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
        };
        let input = |name: &str| list(&golden["inputs"][name]);
        let (chosen, rejected) = (input("policy_chosen_logps"), input("policy_rejected_logps"));
        let (ref_chosen, ref_rejected) = (input("ref_chosen_logps"), input("ref_rejected_logps"));
        let (len_chosen, len_rejected) = (input("len_chosen"), input("len_rejected"));
        for (name, loss, beta, label_smoothing) in [
            ("sigmoid", Loss::Dpo, 0.1, 0.0),
            ("sigmoid_beta0.5", Loss::Dpo, 0.5, 0.0),
            ("cdpo", Loss::Dpo, 0.1, f64::NAN),
            ("ipo", Loss::Ipo, 0.1, 0.0),
            ("hinge", Loss::Hinge, 0.1, 0.0),
            ("hinge_beta0.5", Loss::Hinge, 0.5, 0.0),
        ] {
            let case = &golden["losses"][name];
            let smoothing = case["params"]["label_smoothing"].as_f64();
            let label_smoothing =
                if label_smoothing.is_nan() { smoothing.expect("cDPO's ε") } else { label_smoothing };
            let settings = LossSettings { loss, beta, label_smoothing, nll_weight: 0.0 };
            let expected: Vec<Vec<f64>> =
                ["loss", "grad_chosen_logps", "grad_rejected_logps", "chosen_rewards", "rejected_rewards"]
                    .map(|key| list(&case[key]))
                    .into();
            for i in 0..chosen.len() {
                let ours = pair_loss(
                    &PairLogps {
                        chosen: chosen[i],
                        rejected: rejected[i],
                        reference_chosen: ref_chosen[i],
                        reference_rejected: ref_rejected[i],
                        chosen_tokens: len_chosen[i] as usize,
                        rejected_tokens: len_rejected[i] as usize,
                    },
                    &settings,
                );
                // TRL's gradients are of the mean over the pairs.
                let n = chosen.len() as f64;
                let ours =
                    [ours.loss, ours.by_chosen / n, ours.by_rejected / n, ours.reward_chosen, ours.reward_rejected];
                for (k, (value, golden)) in ours.iter().zip(expected.iter().map(|e| e[i])).enumerate() {
                    assert!((value - golden).abs() < 1e-9, "{name} pair {i} value {k}: {value} {golden}");
                }
            }
        }
    }

    #[test]
    fn a_policy_that_equals_its_reference_has_loss_ln_2_and_no_margin() {
        let at = pair_loss(&pair(-10.0, -12.0), &settings(Loss::Dpo));
        assert!((at.loss - std::f64::consts::LN_2).abs() < 1e-15);
        assert_eq!(at.reward_chosen - at.reward_rejected, 0.0);
    }

    #[test]
    fn swapping_chosen_and_rejected_changes_the_loss() {
        let straight = pair_loss(&pair(-5.0, -20.0), &settings(Loss::Dpo));
        let swapped = PairLogps {
            chosen: -20.0,
            rejected: -5.0,
            reference_chosen: -12.0,
            reference_rejected: -10.0,
            ..pair(0.0, 0.0)
        };
        assert!(pair_loss(&swapped, &settings(Loss::Dpo)).loss > straight.loss + 0.5);
    }

    #[test]
    fn ipo_is_fed_per_token_means_not_sums() {
        let a = pair_loss(&pair(-5.0, -20.0), &settings(Loss::Ipo));
        let mean: f64 = 5.0 / 5.0 - (-8.0 / 40.0);
        assert!((a.loss - (mean - 5.0).powi(2)).abs() < 1e-12);
    }

    #[test]
    fn derivatives_equal_differences() {
        for loss in [Loss::Dpo, Loss::Ipo, Loss::Hinge] {
            let settings = LossSettings { label_smoothing: 0.1, nll_weight: 0.7, ..settings(loss) };
            let (at, step) = (pair(-9.0, -11.0), 1e-5);
            let value = |p: PairLogps| pair_loss(&p, &settings).loss;
            let by_chosen = (value(PairLogps { chosen: at.chosen + step, ..at })
                - value(PairLogps { chosen: at.chosen - step, ..at }))
                / (2.0 * step);
            let by_rejected = (value(PairLogps { rejected: at.rejected + step, ..at })
                - value(PairLogps { rejected: at.rejected - step, ..at }))
                / (2.0 * step);
            let ours = pair_loss(&at, &settings);
            assert!(
                (ours.by_chosen - by_chosen).abs() < 1e-8 && (ours.by_rejected - by_rejected).abs() < 1e-8,
                "{loss:?}"
            );
        }
    }

    #[test]
    fn far_apart_log_probabilities_stay_finite() {
        for (chosen, rejected) in [(-1e6, 0.0), (0.0, -1e6)] {
            let at = pair_loss(&pair(chosen, rejected), &settings(Loss::Dpo));
            assert!(at.loss.is_finite() && at.by_chosen.is_finite());
        }
    }
}
