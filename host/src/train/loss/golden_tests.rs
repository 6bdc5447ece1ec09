//! Losses, rewards and gradients against TRL's own code in f64: `tests/golden/losses.json`, made by `tests/golden/losses.py`.

use serde_json::Value;

use super::*;
use crate::config::LossChoice;

const GOLDEN: &str = include_str!("../../../../tests/golden/losses.json");

/// The oracles' losses that docs/method.md does not have.
const NOT_OURS: [&str; 19] = [
    "alphapo0.25",
    "aot",
    "aot_ls0.1",
    "aot_unpaired",
    "aot_unpaired_ls0.1",
    "bco_pair",
    "cpo",
    "cpo_hinge",
    "cpo_ipo",
    "cpo_no_nll",
    "discopop",
    "exo_pair",
    "ipo_sum",
    "sigmoid_alpha_divergence0.5",
    "sigmoid_forward_kl",
    "sigmoid_js_divergence",
    "sigmoid_ld_alpha0.5",
    "sigmoid_wpo",
    "sppo_hard",
];

/// The golden numbers are f64.
const EXACT: f64 = 1e-9;
/// TRL's odds ratio is f32 inside.
const F32: f64 = 1e-6;

struct Golden {
    json: Value,
    pairs: Vec<PairLogps>,
    batch: BatchFacts,
}

fn list(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

impl Golden {
    fn read() -> Self {
        let json: Value = serde_json::from_str(GOLDEN).expect("JSON");
        let input = |name: &str| list(&json["inputs"][name]);
        let (chosen, rejected) = (input("policy_chosen_logps"), input("policy_rejected_logps"));
        let (ref_chosen, ref_rejected) = (input("ref_chosen_logps"), input("ref_rejected_logps"));
        let (len_chosen, len_rejected) = (input("len_chosen"), input("len_rejected"));
        let pairs: Vec<PairLogps> = (0..chosen.len())
            .map(|i| PairLogps {
                chosen: chosen[i],
                rejected: rejected[i],
                reference_chosen: ref_chosen[i],
                reference_rejected: ref_rejected[i],
                chosen_tokens: len_chosen[i] as usize,
                rejected_tokens: len_rejected[i] as usize,
            })
            .collect();
        let batch = BatchFacts { kl: 0.0, mean_chosen_tokens: len_chosen.iter().sum::<f64>() / pairs.len() as f64 };
        assert_eq!(pairs.len(), 32);
        Self { json, pairs, batch }
    }

    fn case(&self, name: &str) -> &Value {
        &self.json["losses"][name]
    }
}

/// The settings of a case, from the parameters that TRL was given.
fn settings(case: &Value, loss: impl Into<LossChoice>) -> LossSettings {
    let parameter = |name: &str, default: f64| case["params"][name].as_f64().unwrap_or(default);
    LossSettings::new(&Train {
        loss: loss.into(),
        beta: parameter("beta", f64::NAN),
        label_smoothing: parameter("label_smoothing", 0.0),
        gamma: parameter("simpo_gamma", f64::NAN),
        orpo_lambda: parameter("beta", f64::NAN),
        desirable_weight: parameter("desirable_weight", f64::NAN),
        undesirable_weight: parameter("undesirable_weight", f64::NAN),
        nll_weight: parameter("cpo_alpha", 0.0),
        // As in TRL.
        nll_mean: NllMean::Token,
        ..Train::default()
    })
}

#[track_caller]
fn close(name: &str, what: &str, ours: &[f64], golden: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), golden.len(), "{name} {what}");
    for (i, (ours, golden)) in ours.iter().zip(golden).enumerate() {
        assert!((ours - golden).abs() <= tolerance, "{name} {what}, pair {i}: {ours} {golden}");
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn losses_rewards_and_gradients_equal_trls() {
    let golden = Golden::read();
    for (name, loss, tolerance) in [
        ("sigmoid", Loss::Dpo, EXACT),
        ("sigmoid_beta0.5", Loss::Dpo, EXACT),
        ("cdpo", Loss::Dpo, EXACT),
        ("cdpo", Loss::Cdpo, EXACT),
        ("robust", Loss::Robust, EXACT),
        ("ipo", Loss::Ipo, EXACT),
        ("hinge", Loss::Hinge, EXACT),
        ("hinge_beta0.5", Loss::Hinge, EXACT),
        ("sigmoid_norm", Loss::SigmoidNorm, EXACT),
        ("simpo", Loss::Simpo, EXACT),
        ("simpo_beta0.1", Loss::Simpo, EXACT),
        ("simpo_ls0.1_cpo1", Loss::Simpo, EXACT),
        ("orpo", Loss::Orpo, F32),
        ("nca_pair", Loss::Nca, EXACT),
        ("apo_zero", Loss::ApoZero, EXACT),
        ("apo_down", Loss::ApoDown, EXACT),
    ] {
        let case = golden.case(name);
        let settings = settings(case, loss);
        let ours: Vec<PairLoss> = golden.pairs.iter().map(|pair| pair_loss(pair, &settings, &golden.batch)).collect();
        let n = ours.len() as f64;
        let each = |pick: fn(&PairLoss) -> f64| ours.iter().map(pick).collect::<Vec<f64>>();
        // TRL's NLL is added to the batch's mean, not to a pair's loss.
        let nll_weight = if loss == Loss::Orpo { 1.0 } else { settings.nll_weight };
        let without_nll: Vec<f64> = ours.iter().map(|pair| pair.loss - nll_weight * pair.nll).collect();
        close(name, "loss", &without_nll, &list(&case["loss"]), tolerance);
        close(name, "mean loss", &[mean(&each(|p| p.loss))], &[case["loss_mean"].as_f64().expect("number")], tolerance);
        // Its gradients are of the mean over the pairs.
        close(name, "∂ chosen", &each(|p| p.by_chosen / 32.0), &list(&case["grad_chosen_logps"]), tolerance);
        close(name, "∂ rejected", &each(|p| p.by_rejected / 32.0), &list(&case["grad_rejected_logps"]), tolerance);
        close(name, "reward chosen", &each(|p| p.reward_chosen), &list(&case["chosen_rewards"]), tolerance);
        close(name, "reward rejected", &each(|p| p.reward_rejected), &list(&case["rejected_rewards"]), tolerance);
        assert_eq!(n, 32.0);
    }
}

#[test]
fn the_nll_of_a_batch_is_trls_sft_per_token_and_a_mean_of_means_per_response() {
    let golden = Golden::read();
    let case = golden.case("sft");
    let with = |nll_mean| LossSettings { nll_mean, ..settings(case, Loss::Nll) };
    let of = |settings: LossSettings| -> Vec<PairLoss> {
        golden.pairs.iter().map(|pair| pair_loss(pair, &settings, &golden.batch)).collect()
    };
    let ours = of(with(NllMean::Token));
    let losses: Vec<f64> = ours.iter().map(|p| p.loss).collect();
    close("sft", "mean loss", &[mean(&losses)], &[case["loss_mean"].as_f64().expect("number")], EXACT);
    let gradients: Vec<f64> = ours.iter().map(|p| p.by_chosen / 32.0).collect();
    close("sft", "∂ chosen", &gradients, &list(&case["grad_chosen_logps"]), EXACT);
    assert!(ours.iter().all(|p| p.by_rejected == 0.0));

    let per_response: Vec<f64> = of(with(NllMean::Response)).iter().map(|p| p.loss).collect();
    let by_hand: Vec<f64> = golden.pairs.iter().map(|p| -p.chosen / p.chosen_tokens as f64).collect();
    close("nll", "per response", &per_response, &by_hand, 1e-15);
    assert!((mean(&per_response) - mean(&losses)).abs() > 1e-4, "lengths differ, so the two means do");
}

#[test]
fn orpos_odds_ratio_alone_equals_trls() {
    let golden = Golden::read();
    let case = golden.case("orpo_or_only");
    let settings = settings(case, Loss::Orpo);
    let ours: Vec<PairLoss> = golden.pairs.iter().map(|pair| pair_loss(pair, &settings, &golden.batch)).collect();
    let odds: Vec<f64> = ours.iter().map(|p| p.loss - p.nll).collect();
    close("orpo_or_only", "loss", &odds, &list(&case["loss"]), F32);
    let nll_slope = 1.0 / golden.batch.mean_chosen_tokens;
    let by_chosen: Vec<f64> = ours.iter().map(|p| (p.by_chosen + nll_slope) / 32.0).collect();
    close("orpo_or_only", "∂ chosen", &by_chosen, &list(&case["grad_chosen_logps"]), F32);
    let by_rejected: Vec<f64> = ours.iter().map(|p| p.by_rejected / 32.0).collect();
    close("orpo_or_only", "∂ rejected", &by_rejected, &list(&case["grad_rejected_logps"]), F32);
}

/// TRL's KTO has an example, chosen or rejected, where ours has a pair of two: a weight of 0 leaves the one, and 2 undoes the mean.
#[test]
fn kto_and_its_kl_equal_trls() {
    let golden = Golden::read();
    let labels: Vec<bool> = serde_json::from_value(golden.json["inputs"]["kto_label"].clone()).expect("labels");
    for name in ["kto", "kto_weights", "kto_kl_clamped", "apo_zero_unpaired"] {
        let case = golden.case(name);
        let log_ratios: Vec<f64> = list(&case["kl_policy_logps"])
            .iter()
            .zip(list(&case["kl_ref_logps"]))
            .map(|(policy, reference)| policy - reference)
            .collect();
        let kl = if name == "apo_zero_unpaired" { 0.0 } else { kl_estimate(&log_ratios) };
        close(name, "kl", &[kl], &[case["kl"].as_f64().expect("number")], EXACT);
        if name == "kto_kl_clamped" {
            assert!(mean(&log_ratios) < 0.0 && kl == 0.0, "the clamp is what is tested");
        }
        let batch = BatchFacts { kl, ..golden.batch };
        let both = settings(case, Loss::Kto);
        let [desirable, undesirable] = both.kto_weights;
        let ours: Vec<PairLoss> = golden
            .pairs
            .iter()
            .zip(&labels)
            .map(|(pair, &chosen)| {
                let kto_weights = if chosen { [2.0 * desirable, 0.0] } else { [0.0, 2.0 * undesirable] };
                pair_loss(pair, &LossSettings { kto_weights, ..both.clone() }, &batch)
            })
            .collect();
        let each = |pick: fn(&PairLoss) -> f64| ours.iter().map(pick).collect::<Vec<f64>>();
        close(name, "loss", &each(|p| p.loss), &list(&case["loss"]), EXACT);
        close(name, "∂ chosen", &each(|p| p.by_chosen / 32.0), &list(&case["grad_chosen_logps"]), EXACT);
        close(name, "∂ rejected", &each(|p| p.by_rejected / 32.0), &list(&case["grad_rejected_logps"]), EXACT);
        let rewards: Vec<f64> =
            ours.iter().zip(&labels).map(|(p, &c)| if c { p.reward_chosen } else { p.reward_rejected }).collect();
        close(name, "reward", &rewards, &list(&case["rewards"]), EXACT);
        // A pair is the mean of its two examples.
        let pair = &golden.pairs[0];
        let alone = |kto_weights| pair_loss(pair, &LossSettings { kto_weights, ..both.clone() }, &batch).loss;
        let whole = pair_loss(pair, &both, &batch).loss;
        assert!((whole - alone([desirable, 0.0]) - alone([0.0, undesirable])).abs() < 1e-15);
    }
}

#[test]
fn every_golden_loss_is_compared_or_named_as_not_ours() {
    let golden = Golden::read();
    let not_kept: Vec<String> = serde_json::from_value(golden.json["not_kept"].clone()).expect("names");
    let mut not_ours = NOT_OURS.map(str::to_owned);
    not_ours.sort();
    assert_eq!(not_kept, not_ours);
    assert_eq!(golden.json["losses"].as_object().map_or(0, serde_json::Map::len), 40 - NOT_OURS.len());
}
