//! From logits to one token a row: penalty, temperature, top-k, top-p, min-p, and inversion of what they leave at a uniform number.
//!
//! Shape letters: `R` rows, `V` vocabulary, `W` candidates. The order is that of transformers' `generate`: repetition penalty (Keskar et al.
//! 2019), temperature, top-k, top-p (Holtzman et al. 2020), min-p (Nguyen et al. 2024). What is recorded of the token, its log-probability
//! and the entropy, is the model's own: before all of them.

use anyhow::Result;
use tch::{Kind, Tensor};

use super::Sampling;
use crate::error::UserError;

/// One token of each row.
pub struct Drawn {
    /// Ids.
    pub ids: Vec<i64>,
    /// log p of each, nats, temperature 1.
    pub logprobs: Vec<f32>,
    /// Entropy of each row, nats, temperature 1.
    pub entropies: Vec<f32>,
}

/// Candidates that top-p looks at before it sorts the whole vocabulary.
const LIKELIEST: i64 = 1024;
/// Width of the pieces in which a long row is searched.
const PIECE: i64 = 256;

/// Draws one token a row. `logits` `[R, V]` in f32 are used up; `seen` is bool `[R, V]` where there is a penalty; `uniform` has `R` numbers.
pub fn draw(mut logits: Tensor, seen: Option<&Tensor>, uniform: &[f32], sampling: &Sampling) -> Result<Drawn> {
    let plain = logits.softmax(-1, Kind::Float);
    // log Σ exp x = max x − log max p, without a pass of its own.
    let normaliser = logits.amax(-1, false) - plain.amax(-1, false).log(); // [R]
    let ids = {
        let scores = seen.map(|seen| penalised(&logits, seen, sampling.repetition_penalty));
        if sampling.temperature == 0.0 {
            scores.as_ref().unwrap_or(&logits).argmax(-1, false)
        } else {
            let uniform = Tensor::f_from_slice(uniform)?.f_view([-1, 1])?.f_to_device(logits.device())?;
            match (&scores, sampling.temperature == 1.0) {
                (None, true) => choose(&plain, &uniform, sampling),
                _ => {
                    let scores = scores.as_ref().unwrap_or(&logits) / sampling.temperature;
                    choose(&scores.softmax(-1, Kind::Float), &uniform, sampling)
                }
            }
        }
    };
    let logprobs = logits.gather(-1, &ids.unsqueeze(-1), false).squeeze_dim(-1) - &normaliser;
    // H = log Σ exp x − Σ p x; rounding may push that of a certain token below 0.
    let weighted = logits.g_mul_(&plain).sum_dim_intlist(-1, false, Kind::Float);
    let entropies = (normaliser - weighted).clamp_min(0.0);
    // Brought to the host as one; f32 holds every id below 2²⁴.
    let all = Tensor::stack(&[ids.to_kind(Kind::Float), logprobs, entropies], 0);
    let mut all = Vec::<f32>::try_from(&all.view(-1))?;
    let rows = all.len() / 3;
    let entropies = all.split_off(2 * rows);
    let logprobs = all.split_off(rows);
    // A token that can be drawn has a probability, so this is a matter of the weights.
    if logprobs.iter().any(|p| !p.is_finite()) {
        return Err(UserError::new("the model's logits are not finite")
            .hint("its weights hold NaN or infinities, or overflow in this model.dtype: try f32, or another copy")
            .into());
    }
    Ok(Drawn { ids: all.into_iter().map(|id| id as i64).collect(), logprobs, entropies })
}

/// x / θ where x > 0, else x · θ, for the tokens that the prompt or the response so far holds; `seen` is `[R, V]`.
fn penalised(logits: &Tensor, seen: &Tensor, penalty: f64) -> Tensor {
    let lowered = (logits * penalty).minimum(&(logits / penalty));
    let raised = (logits * penalty).maximum(&(logits / penalty));
    // One of the two moves x down for θ ≥ 1, the other for θ < 1.
    let changed = if penalty >= 1.0 { lowered } else { raised };
    changed.where_self(seen, logits)
}

/// An index a row of `probabilities` `[R, V]`, by what top-k, top-p and min-p leave of them.
fn choose(probabilities: &Tensor, uniform: &Tensor, sampling: &Sampling) -> Tensor {
    let v = probabilities.size()[1];
    let limited = sampling.top_k > 0 && (sampling.top_k as i64) < v;
    if !limited && sampling.top_p >= 1.0 {
        return invert(&unlikely_out(probabilities, sampling.min_p), uniform);
    }
    let (sorted, order) = match limited {
        true => {
            let (likeliest, order) = probabilities.topk(sampling.top_k as i64, -1, true, true);
            let total = likeliest.sum_dim_intlist(-1, true, Kind::Float);
            (likeliest / total, order)
        }
        false => {
            let (likeliest, order) = probabilities.topk(LIKELIEST.min(v), -1, true, true);
            let enough = likeliest.sum_dim_intlist(-1, false, Kind::Float).min().double_value(&[]) >= sampling.top_p;
            if enough { (likeliest, order) } else { probabilities.sort(-1, true) }
        }
    };
    let kept = unlikely_out(&nucleus(sorted, sampling.top_p), sampling.min_p);
    order.gather(-1, &invert(&kept, uniform).unsqueeze(-1), false).squeeze_dim(-1)
}

/// Zeroes the tokens before which the likelier ones hold `top_p` already; `sorted` `[R, W]` falls, and its whole is 1.
fn nucleus(sorted: Tensor, top_p: f64) -> Tensor {
    if top_p >= 1.0 {
        return sorted;
    }
    let before = sorted.cumsum(-1, Kind::Float) - &sorted;
    let drop = before.ge(top_p);
    let _ = drop.narrow(1, 0, 1).fill_(0); // the likeliest stays
    sorted.masked_fill(&drop, 0.0)
}

/// Zeroes what is less probable than `min_p` times the likeliest.
fn unlikely_out(weights: &Tensor, min_p: f64) -> Tensor {
    if min_p <= 0.0 {
        return weights.shallow_clone();
    }
    let least = weights.amax(-1, true) * min_p;
    weights.masked_fill(&weights.lt_tensor(&least), 0.0)
}

/// Index of the first entry whose cumulative weight exceeds `uniform` times the total. `[R, W]`, `[R, 1]` → `[R]`.
///
/// A long row is summed in pieces, and only the piece that is met is searched: one pass instead of a cumulative sum and a comparison.
fn invert(weights: &Tensor, uniform: &Tensor) -> Tensor {
    let (r, w) = (weights.size()[0], weights.size()[1]);
    let device = weights.device();
    let nothing = Tensor::zeros([r, 1], (Kind::Float, device));
    if w <= 2 * PIECE {
        let total = weights.sum_dim_intlist(-1, true, Kind::Float);
        return first_above(weights, &nothing, &(uniform * total));
    }
    let whole = w / PIECE;
    let mut sums = weights.narrow(1, 0, whole * PIECE).view([r, whole, PIECE]).sum_dim_intlist(-1, false, Kind::Float);
    if whole * PIECE < w {
        let rest = weights.narrow(1, whole * PIECE, w - whole * PIECE).sum_dim_intlist(-1, true, Kind::Float);
        sums = Tensor::cat(&[sums, rest], 1);
    }
    let cumulative = sums.cumsum(-1, Kind::Float); // [R, pieces]
    let target = uniform * cumulative.narrow(1, cumulative.size()[1] - 1, 1);
    let piece = first_above(&sums, &nothing, &target).unsqueeze(-1); // [R, 1]
    let before = Tensor::cat(&[nothing, cumulative], 1).gather(1, &piece, false);
    let columns = piece * PIECE + Tensor::arange(PIECE, (Kind::Int64, device)); // [R, PIECE]
    let inside = weights.gather(1, &columns.clamp_max(w - 1), false) * columns.lt(w);
    columns.narrow(1, 0, 1).squeeze_dim(-1) + first_above(&inside, &before, &target)
}

/// Index of the first entry at which `before` and the weights up to it exceed `target`; the last that weighs anything where rounding
/// lets none. `[R, W]`, `[R, 1]`, `[R, 1]` → `[R]`.
fn first_above(weights: &Tensor, before: &Tensor, target: &Tensor) -> Tensor {
    let cumulative = weights.cumsum(-1, Kind::Float) + before;
    let index = cumulative.le_tensor(target).sum_dim_intlist(-1, false, Kind::Int64);
    let last = weights.gt(0.0) * Tensor::arange(weights.size()[1], (Kind::Int64, weights.device()));
    index.minimum(&last.amax(-1, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..n)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                (x >> 40) as f32 / (1_u64 << 24) as f32
            })
            .collect()
    }

    /// transformers' processors and warpers, restated one token at a time in f64: the probabilities that are drawn from.
    fn plainly(logits: &[f32], seen: &[bool], s: &Sampling) -> Vec<f64> {
        let mut x: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
        for (x, seen) in x.iter_mut().zip(seen) {
            if *seen {
                *x = if *x < 0.0 { *x * s.repetition_penalty } else { *x / s.repetition_penalty };
            }
        }
        x.iter_mut().for_each(|x| *x /= s.temperature);
        let softmax = |x: &[f64]| -> Vec<f64> {
            let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let e: Vec<f64> = x.iter().map(|x| (x - top).exp()).collect();
            let total: f64 = e.iter().sum();
            e.iter().map(|e| e / total).collect()
        };
        if s.top_k > 0 {
            let mut sorted = x.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let least = sorted[s.top_k.min(x.len()) - 1];
            x.iter_mut().filter(|x| **x < least).for_each(|x| *x = f64::NEG_INFINITY);
        }
        if s.top_p < 1.0 {
            let p = softmax(&x);
            let mut order: Vec<usize> = (0..x.len()).collect();
            order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
            let mut before = 0.0;
            for (rank, i) in order.into_iter().enumerate() {
                if rank > 0 && before >= s.top_p {
                    x[i] = f64::NEG_INFINITY;
                }
                before += p[i];
            }
        }
        if s.min_p > 0.0 {
            let p = softmax(&x);
            let top = p.iter().copied().fold(0.0, f64::max);
            x.iter_mut().zip(&p).filter(|(_, p)| **p < s.min_p * top).for_each(|(x, _)| *x = f64::NEG_INFINITY);
        }
        softmax(&x)
    }

    fn settings() -> Vec<Sampling> {
        let base = Sampling { max_tokens: 1, ..Sampling::default() };
        vec![
            base.clone(),
            Sampling { temperature: 0.7, ..base.clone() },
            Sampling { top_k: 5, ..base.clone() },
            Sampling { top_p: 0.6, temperature: 1.3, ..base.clone() },
            Sampling { top_p: 0.9999, ..base.clone() },
            Sampling { min_p: 0.3, ..base.clone() },
            Sampling { repetition_penalty: 1.7, ..base.clone() },
            Sampling { repetition_penalty: 0.6, ..base.clone() },
            Sampling { top_k: 40, top_p: 0.8, min_p: 0.1, temperature: 0.9, repetition_penalty: 1.2, ..base },
        ]
    }

    /// Every token of the plain restatement is drawn exactly by the uniform numbers that belong to it.
    #[test]
    fn what_is_drawn_has_the_probabilities_of_the_plain_restatement() {
        const V: usize = 37;
        const R: usize = 4000;
        let row: Vec<f32> = numbers(V, 3).iter().map(|x| 8.0 * (x - 0.5)).collect();
        let seen: Vec<bool> = (0..V).map(|i| i % 3 == 0).collect();
        let uniform: Vec<f32> = (0..R).map(|i| (i as f32 + 0.5) / R as f32).collect();
        for sampling in settings() {
            let logits = Tensor::from_slice(&row).view([1, -1]).expand([R as i64, -1], false).contiguous();
            let mask = Tensor::from_slice(&seen).view([1, -1]).expand([R as i64, -1], false).contiguous();
            let mask = (sampling.repetition_penalty != 1.0).then_some(&mask);
            let drawn = draw(logits, mask, &uniform, &sampling).expect("tokens");
            let expected = plainly(&row, &seen, &sampling);
            for (token, p) in expected.iter().enumerate() {
                let share = drawn.ids.iter().filter(|id| **id == token as i64).count() as f64 / R as f64;
                // Evenly spaced numbers miss a probability by less than two of their distances.
                assert!((share - p).abs() <= 2.0 / R as f64, "{sampling:?}, token {token}: {share} {p}");
            }
        }
    }

    #[test]
    fn a_long_row_is_searched_in_pieces_and_gives_what_a_cumulative_sum_gives() {
        for v in [513_i64, 1024, 5000] {
            let row: Vec<f32> = numbers(v as usize, v as u64).iter().map(|x| 12.0 * x).collect();
            let p = Tensor::from_slice(&row).softmax(-1, Kind::Double);
            let cumulative: Vec<f64> = Vec::try_from(p.cumsum(-1, Kind::Double)).expect("numbers");
            let uniform = numbers(300, 9);
            let logits = Tensor::from_slice(&row).view([1, -1]).expand([300, v], false).contiguous();
            let drawn = draw(logits, None, &uniform, &Sampling::default()).expect("tokens");
            for (id, u) in drawn.ids.iter().zip(&uniform) {
                let (low, high) = (if *id == 0 { 0.0 } else { cumulative[*id as usize - 1] }, cumulative[*id as usize]);
                let u = f64::from(*u);
                assert!(low - 1e-5 <= u && u <= high + 1e-5, "{v}: {id} at {u} in [{low}, {high}]");
            }
        }
    }

    #[test]
    fn log_probability_and_entropy_are_the_models_own_whatever_the_settings() {
        let row: Vec<f32> = numbers(700, 5).iter().map(|x| 9.0 * x).collect();
        let log_p = Tensor::from_slice(&row).log_softmax(-1, Kind::Double);
        let entropy = -(log_p.exp() * &log_p).sum(Kind::Double).double_value(&[]);
        let seen = Tensor::ones([1, 700], (Kind::Bool, tch::Device::Cpu));
        for sampling in settings() {
            let drawn = draw(Tensor::from_slice(&row).view([1, -1]), Some(&seen), &[0.4], &sampling).expect("a token");
            let expected = log_p.double_value(&[drawn.ids[0]]);
            assert!((f64::from(drawn.logprobs[0]) - expected).abs() < 1e-5, "{sampling:?}");
            assert!((f64::from(drawn.entropies[0]) - entropy).abs() < 1e-4, "{sampling:?}");
        }
    }

    #[test]
    fn the_ends_of_the_unit_interval_and_a_certain_token_are_drawn_without_falling_off() {
        let certain = Tensor::full([2, 600], -1e4, (Kind::Float, tch::Device::Cpu));
        let _ = certain.narrow(1, 599, 1).fill_(0.0);
        let drawn = draw(certain, None, &[0.0, 0.999_999_94], &Sampling::default()).expect("tokens");
        assert_eq!(drawn.ids, [599, 599]);
        assert!(drawn.entropies.iter().all(|h| h.abs() < 1e-6));
        let nan = Tensor::full([1, 600], f64::NAN, (Kind::Float, tch::Device::Cpu));
        assert!(draw(nan, None, &[0.5], &Sampling::default()).is_err_and(|e| e.to_string().contains("not finite")));
    }
}
