//! The few functions of one number that the losses are made of, exact where the naive form overflows or cancels.

/// σ(x).
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// σ′(x) = σ(x) σ(−x).
pub fn sigmoid_slope(x: f64) -> f64 {
    sigmoid(x) * sigmoid(-x)
}

/// log σ(x), exact for large |x|.
pub fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

/// w·x, and 0 where the weight is 0, whatever x is: a term that is switched off must not turn an infinity into NaN.
pub fn weighted(weight: f64, x: f64) -> f64 {
    if weight == 0.0 { 0.0 } else { weight * x }
}

/// Log-probabilities nearer to 0 are taken for this one: in f32 a probability this near to 1 cannot be told from 1, whose odds are infinite.
const SUREST: f64 = -1e-7;

/// log p − log(1 − p) of a log-probability, and its derivative 1/(1 − p).
pub fn log_odds(logp: f64) -> (f64, f64) {
    if logp > SUREST {
        return (log_odds(SUREST).0, 0.0);
    }
    // 1 − p; near p = 1 only `exp_m1` keeps its digits.
    let rest = -logp.exp_m1();
    (logp - rest.ln(), 1.0 / rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_arguments_neither_overflow_nor_cancel() {
        assert_eq!((sigmoid(1e3), sigmoid(-1e3)), (1.0, 0.0));
        assert_eq!((log_sigmoid(1e3), log_sigmoid(-1e3)), (0.0, -1e3));
        assert_eq!((log_sigmoid(f64::INFINITY), log_sigmoid(f64::NEG_INFINITY)), (0.0, f64::NEG_INFINITY));
        assert!((log_sigmoid(-40.0) + 40.0).abs() < 1e-15 && log_sigmoid(40.0) < 0.0);
        assert!((sigmoid_slope(0.0) - 0.25).abs() < 1e-16);
        assert_eq!(weighted(0.0, f64::NEG_INFINITY), 0.0);
    }

    #[test]
    fn odds_are_finite_at_certainty_and_exact_near_it() {
        assert!(log_odds(0.0).0.is_finite() && log_odds(0.0).1 == 0.0);
        // p = 1 − 1e-6: odds 999,999.
        assert!((log_odds((-1e-6_f64).ln_1p()).0 - 999_999.0_f64.ln()).abs() < 1e-9);
        assert!((log_odds(0.25_f64.ln()).0 + 3.0_f64.ln()).abs() < 1e-15);
        assert_eq!(log_odds(-1e3), (-1e3, 1.0));
    }
}
