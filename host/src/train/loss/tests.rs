//! The traps that real projects fell into, by name; derivatives against differences over a wide range.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;
use crate::config::LossChoice;

const BATCH: BatchFacts = BatchFacts { kl: 0.7, mean_chosen_tokens: 11.0 };

/// A pair that the policy has right: the chosen likelier than before and per token, the rejected less so.
fn pair() -> PairLogps {
    PairLogps {
        chosen: -5.0,
        rejected: -80.0,
        reference_chosen: -10.0,
        reference_rejected: -72.0,
        chosen_tokens: 5,
        rejected_tokens: 40,
    }
}

fn settings(loss: impl Into<LossChoice>) -> LossSettings {
    LossSettings::new(&Train { loss: loss.into(), ..Train::default() })
}

/// Each loss as configs have it, with smoothing where it is taken; and a mix of all.
fn every_setting() -> Vec<(String, LossSettings)> {
    let mut all: Vec<(String, LossSettings)> = Vec::new();
    for loss in Loss::ALL {
        all.push((loss.name().into(), settings(loss)));
        if loss.takes_label_smoothing() {
            all.push((format!("{}, smoothed", loss.name()), LossSettings { label_smoothing: 0.1, ..settings(loss) }));
        }
    }
    all.push((
        "dpo + NLL per token".into(),
        LossSettings { nll_weight: 0.5, nll_mean: NllMean::Token, ..settings(Loss::Dpo) },
    ));
    all.push(("a mix".into(), settings(mix(&[(Loss::Dpo, 0.5), (Loss::Simpo, 2.0), (Loss::Kto, 0.1)]))));
    all
}

fn mix(terms: &[(Loss, f64)]) -> LossChoice {
    LossChoice::Mix(terms.iter().map(|&(name, weight)| LossTerm { name, weight, beta: None }).collect())
}

fn swapped(pair: &PairLogps) -> PairLogps {
    PairLogps {
        chosen: pair.rejected,
        rejected: pair.chosen,
        reference_chosen: pair.reference_rejected,
        reference_rejected: pair.reference_chosen,
        chosen_tokens: pair.rejected_tokens,
        rejected_tokens: pair.chosen_tokens,
    }
}

fn loss_of(pair: &PairLogps, settings: &LossSettings) -> f64 {
    pair_loss(pair, settings, &BATCH).loss
}

fn numbers(value: &PairLoss) -> [f64; 6] {
    [value.loss, value.by_chosen, value.by_rejected, value.reward_chosen, value.reward_rejected, value.nll]
}

#[test]
fn a_swapped_pair_costs_more_in_every_loss() {
    for (name, settings) in every_setting() {
        let (straight, crossed) = (loss_of(&pair(), &settings), loss_of(&swapped(&pair()), &settings));
        assert!(crossed > straight + 0.05, "{name}: {straight} {crossed}");
    }
    // DPO's own identity: log σ(βh) − log σ(−βh) = βh.
    let dpo = settings(Loss::Dpo);
    assert!((loss_of(&swapped(&pair()), &dpo) - loss_of(&pair(), &dpo) - 0.1 * 13.0).abs() < 1e-12);
}

#[test]
fn asymmetric_lengths_divide_each_side_by_its_own() {
    for loss in [Loss::Ipo, Loss::SigmoidNorm, Loss::Simpo] {
        let value = pair_loss(&pair(), &settings(loss), &BATCH);
        let (chosen, rejected) = (value.by_chosen * 5.0, -value.by_rejected * 40.0);
        assert!((chosen - rejected).abs() < 1e-12 && chosen != 0.0, "{loss:?}: {chosen} {rejected}");
    }
    // A response twice as long with twice the log-probability is the same to a loss of means, and another to a loss of sums.
    let longer = PairLogps {
        rejected: 2.0 * pair().rejected,
        reference_rejected: 2.0 * pair().reference_rejected,
        rejected_tokens: 2 * pair().rejected_tokens,
        ..pair()
    };
    // The hinge of this margin is 0 at the default β.
    let unsaturated = |loss| LossSettings { beta: 0.03, ..settings(loss) };
    for loss in Loss::ALL {
        let of_means = matches!(loss, Loss::Ipo | Loss::SigmoidNorm | Loss::Simpo | Loss::Orpo | Loss::Nll);
        let (short, long) = (loss_of(&pair(), &unsaturated(loss)), loss_of(&longer, &unsaturated(loss)));
        assert_eq!((short - long).abs() < 1e-12, of_means, "{loss:?}: {short} {long}");
        let other_lengths = PairLogps { chosen_tokens: 9, rejected_tokens: 3, ..pair() };
        assert_eq!(loss_of(&other_lengths, &unsaturated(loss)) == short, !of_means, "{loss:?}: sums know no lengths");
    }
}

#[test]
fn ipo_is_fed_per_token_means_not_sums() {
    let mean: f64 = 5.0 / 5.0 - (-8.0 / 40.0);
    assert!((loss_of(&pair(), &settings(Loss::Ipo)) - (mean - 5.0).powi(2)).abs() < 1e-12);
}

#[test]
fn an_all_masked_response_is_finite_in_every_loss() {
    let masked = PairLogps { rejected: 0.0, reference_rejected: 0.0, rejected_tokens: 0, ..pair() };
    let both = PairLogps { chosen: 0.0, reference_chosen: 0.0, chosen_tokens: 0, ..masked };
    for (name, settings) in every_setting() {
        for pair in [masked, swapped(&masked), both] {
            let value = pair_loss(&pair, &settings, &BatchFacts { mean_chosen_tokens: 0.0, ..BATCH });
            assert!(numbers(&value).iter().all(|x| x.is_finite()), "{name}: {value:?}");
        }
    }
}

#[test]
fn identical_responses_cost_what_ignorance_costs_and_pull_in_no_direction() {
    let same = PairLogps { rejected: -5.0, reference_rejected: -10.0, rejected_tokens: 5, ..pair() };
    let ln_2 = std::f64::consts::LN_2;
    // Losses of the difference alone; the others judge each response for itself.
    for (loss, ignorance) in [
        (Loss::Dpo, ln_2),
        (Loss::Cdpo, ln_2),
        (Loss::Robust, ln_2),
        (Loss::Hinge, 1.0),
        (Loss::Ipo, 25.0),
        (Loss::SigmoidNorm, ln_2),
        (Loss::Simpo, (1.0 + 0.5_f64.exp()).ln()),
    ] {
        let value = pair_loss(&same, &settings(loss), &BATCH);
        assert!((value.loss - ignorance).abs() < 1e-14, "{loss:?}: {}", value.loss);
        assert!(value.by_chosen != 0.0 && value.by_chosen + value.by_rejected == 0.0, "{loss:?}");
        assert_eq!(value.reward_chosen, value.reward_rejected);
    }
}

#[test]
fn a_policy_that_equals_its_reference_has_loss_ln_2_and_no_margin() {
    let at = PairLogps { reference_chosen: -5.0, reference_rejected: -80.0, ..pair() };
    let value = pair_loss(&at, &settings(Loss::Dpo), &BATCH);
    assert!((value.loss - std::f64::consts::LN_2).abs() < 1e-15);
    assert_eq!(value.reward_chosen - value.reward_rejected, 0.0);
}

/// The trainer stops at one and names the pair; here it must stay visible and not become NaN.
#[test]
fn a_log_probability_of_minus_infinity_is_an_infinity_or_a_number_never_nan() {
    let impossible = f64::NEG_INFINITY;
    let cases = [
        PairLogps { chosen: impossible, ..pair() },
        PairLogps { rejected: impossible, ..pair() },
        PairLogps { reference_chosen: impossible, ..pair() },
        PairLogps { reference_rejected: impossible, ..pair() },
    ];
    for (name, settings) in every_setting() {
        for pair in cases {
            let value = pair_loss(&pair, &settings, &BATCH);
            assert!(numbers(&value).iter().all(|x| !x.is_nan()), "{name}: {pair:?} {value:?}");
        }
    }
    for loss in [Loss::Dpo, Loss::Ipo, Loss::Hinge, Loss::SigmoidNorm, Loss::Simpo, Loss::Orpo, Loss::Nca, Loss::Nll] {
        assert_eq!(loss_of(&cases[0], &settings(loss)), f64::INFINITY, "{loss:?}: the chosen is impossible");
    }
}

#[test]
fn a_reference_is_read_by_the_losses_that_need_one_and_by_no_other() {
    let other = PairLogps { reference_chosen: -40.0, reference_rejected: -3.0, ..pair() };
    for loss in Loss::ALL {
        let (one, two) = (pair_loss(&pair(), &settings(loss), &BATCH), pair_loss(&other, &settings(loss), &BATCH));
        assert_eq!(one != two, loss.needs_reference(), "{loss:?}");
        assert_eq!(settings(loss).needs_reference(), loss.needs_reference());
    }
    assert!(settings(mix(&[(Loss::Simpo, 1.0), (Loss::Nca, 0.2)])).needs_reference());
}

#[test]
fn a_mix_is_the_weighted_sum_of_its_losses_and_has_the_rewards_of_the_first_with_a_reference() {
    let train = Train {
        loss: LossChoice::Mix(vec![
            LossTerm { name: Loss::Simpo, weight: 0.5, beta: Some(2.0) },
            LossTerm { name: Loss::Nca, weight: 3.0, beta: None },
            LossTerm { name: Loss::Ipo, weight: 0.0, beta: None },
        ]),
        beta: 0.2,
        nll_weight: 0.25,
        ..Train::default()
    };
    let of = |loss: Loss, beta| {
        pair_loss(&pair(), &LossSettings::new(&Train { loss: loss.into(), beta, ..Train::default() }), &BATCH)
    };
    let (simpo, nca, nll) = (of(Loss::Simpo, 2.0), of(Loss::Nca, 0.2), of(Loss::Nll, 0.1));
    let mixed = pair_loss(&pair(), &LossSettings::new(&train), &BATCH);
    let sum = |pick: fn(&PairLoss) -> f64| 0.5 * pick(&simpo) + 3.0 * pick(&nca) + 0.25 * pick(&nll);
    for (ours, expected) in [
        (mixed.loss, sum(|v| v.loss)),
        (mixed.by_chosen, sum(|v| v.by_chosen)),
        (mixed.by_rejected, sum(|v| v.by_rejected)),
        (mixed.reward_chosen, nca.reward_chosen),
        (mixed.reward_rejected, nca.reward_rejected),
    ] {
        assert!((ours - expected).abs() < 1e-14, "{ours} {expected}");
    }
}

#[test]
fn nothing_flows_through_ktos_kl() {
    // z is a number to the loss: moving it changes the value, and the derivatives are those of the log-probabilities alone.
    let kto = settings(Loss::Kto);
    let at = |kl| pair_loss(&pair(), &kto, &BatchFacts { kl, ..BATCH });
    assert!(at(0.0).loss != at(5.0).loss);
    assert_eq!(kl_estimate(&[-1.0, -3.0]), 0.0);
    assert_eq!(kl_estimate(&[1.0, 3.0]), 2.0);
    assert_eq!(kl_estimate(&[]), 0.0);
}

/// Draws over a wide range: most near where the losses bend, some as far as ±1e3 and beyond.
struct Draw(ChaCha8Rng);

impl Draw {
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// 10^x, x even between the two.
    fn power(&mut self, low: f64, high: f64) -> f64 {
        10_f64.powf(low + (high - low) * self.unit())
    }

    fn pair(&mut self, farthest: f64) -> PairLogps {
        let mut logp = || -self.power(-1.0, farthest);
        let [chosen, rejected, reference_chosen, reference_rejected] = [logp(), logp(), logp(), logp()];
        let mut tokens = || self.power(0.0, 3.0) as usize;
        PairLogps {
            chosen,
            rejected,
            reference_chosen,
            reference_rejected,
            chosen_tokens: tokens(),
            rejected_tokens: tokens(),
        }
    }

    fn batch(&mut self) -> BatchFacts {
        BatchFacts { kl: 3.0 * self.unit(), mean_chosen_tokens: 1.0 + 50.0 * self.unit() }
    }
}

/// Central differences; the tolerance is their own error: rounding of the loss over the step, and the curvature that the step sees.
#[test]
fn derivatives_equal_differences_over_a_wide_range() {
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(5));
    let mut compared = 0;
    for _ in 0..3000 {
        let (at, batch, beta) = (draw.pair(3.3), draw.batch(), draw.power(-2.0, 1.0));
        for (name, settings) in every_setting() {
            let settings = LossSettings { beta, ..settings };
            let value = pair_loss(&at, &settings, &batch);
            let bent = |tokens: usize, logp: f64| logp / tokens as f64 > -0.02;
            let kink = (1.0 - beta * (at.chosen - at.reference_chosen - at.rejected + at.reference_rejected)).abs();
            if (settings.has(Loss::Orpo)
                && (bent(at.chosen_tokens, at.chosen) || bent(at.rejected_tokens, at.rejected)))
                || (settings.has(Loss::Hinge) && kink < 0.1)
            {
                continue;
            }
            let step = 1e-4;
            let steepest = value.by_chosen.abs() + value.by_rejected.abs();
            let farthest =
                at.chosen.abs() + at.rejected.abs() + at.reference_chosen.abs() + at.reference_rejected.abs();
            let rounding = 4.0 * f64::EPSILON * (1.0 + value.loss.abs() + steepest * farthest);
            let f = |pair: PairLogps| pair_loss(&pair, &settings, &batch).loss;
            let difference =
                |to: fn(&PairLogps, f64) -> PairLogps| (f(to(&at, step)) - f(to(&at, -step))) / (2.0 * step);
            for (ours, theirs) in [
                (value.by_chosen, difference(|p, d| PairLogps { chosen: p.chosen + d, ..*p })),
                (value.by_rejected, difference(|p, d| PairLogps { rejected: p.rejected + d, ..*p })),
            ] {
                let tolerance = 1e-6 * (1.0 + ours.abs()) + rounding / step;
                assert!((ours - theirs).abs() <= tolerance, "{name} β {beta} {at:?}: {ours} {theirs}");
                compared += 1;
            }
        }
    }
    assert!(compared > 60_000, "{compared}");
}

#[test]
fn finite_log_probabilities_never_give_nan_however_far_apart() {
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(6));
    for round in 0..3000 {
        let mut at = draw.pair(if round % 2 == 0 { 6.0 } else { 150.0 });
        let batch = BatchFacts { kl: draw.power(-3.0, 6.0), ..draw.batch() };
        // One token, certainty, and a probability that f32 rounds to 1.
        match round % 5 {
            0 => (at.chosen_tokens, at.rejected_tokens) = (1, 1),
            1 => at.chosen = 0.0,
            2 => (at.chosen, at.rejected) = (0.0, 0.0),
            3 => (at.rejected, at.rejected_tokens) = (-6e-8, 1),
            _ => {}
        }
        for (name, settings) in every_setting() {
            let settings = LossSettings { beta: draw.power(-3.0, 2.0), ..settings };
            let value = pair_loss(&at, &settings, &batch);
            assert!(numbers(&value).iter().all(|x| !x.is_nan()), "{name} {at:?}: {value:?}");
            if round % 2 == 0 {
                assert!(numbers(&value).iter().all(|x| x.is_finite()), "{name} {at:?}: {value:?}");
            }
        }
    }
}

#[test]
fn margins_of_a_thousand_saturate_and_do_not_overflow() {
    let margin = |h: f64| PairLogps {
        chosen: -2000.0 + h,
        rejected: -2000.0,
        reference_chosen: -2000.0,
        reference_rejected: -2000.0,
        ..pair()
    };
    let dpo = LossSettings { beta: 1.0, ..settings(Loss::Dpo) };
    let (right, wrong) = (pair_loss(&margin(1e3), &dpo, &BATCH), pair_loss(&margin(-1e3), &dpo, &BATCH));
    assert_eq!((right.loss, right.by_chosen), (0.0, 0.0));
    assert_eq!((wrong.loss, wrong.by_chosen, wrong.by_rejected), (1e3, -1.0, 1.0));
    for (name, settings) in every_setting() {
        for h in [1e3, -1e3] {
            assert!(numbers(&pair_loss(&margin(h), &settings, &BATCH)).iter().all(|x| x.is_finite()), "{name} {h}");
        }
    }
}
