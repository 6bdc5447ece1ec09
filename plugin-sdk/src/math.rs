//! The numbers that scorers need, as pure functions.
//!
//! `exp` and `ln` come from one Rust library on every target, and sums run in index order, so that a plugin gives the
//! same bits in the sandbox and in a native build.

pub mod cluster;
pub mod eigen;
pub mod entailment;
pub mod entropy;
pub mod lcs;
pub mod similarity;
pub mod stem;
pub mod words;

/// eˣ, the same bits on every target.
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// ln x, the same bits on every target.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// 1 − e^{−x / scale}: a quantity without an upper end, such as nats, as a number in [0, 1]. 0 at and below 0; 0.63 at
/// `scale`, which must be positive; NaN of NaN.
///
/// ```
/// use udasa_plugin_sdk::math::squash;
/// assert_eq!(squash(0.0, 2.0), 0.0);
/// assert!((squash(2.0, 2.0) - 0.632_120_558_828_557_7).abs() < 1e-15);
/// assert_eq!(squash(f64::INFINITY, 2.0), 1.0);
/// ```
pub fn squash(x: f64, scale: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { -libm::expm1(-x / scale) }
}

/// 1 / (1 + e⁻ˣ).
pub fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
}

/// The mean; 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// ln Σ eˣ without overflow; −∞ of nothing.
///
/// ```
/// use udasa_plugin_sdk::math::log_sum_exp;
/// assert!((log_sum_exp(&[1000.0, 1000.0]) - 1000.693_147_180_56).abs() < 1e-10);
/// assert_eq!(log_sum_exp(&[]), f64::NEG_INFINITY);
/// ```
pub fn log_sum_exp(values: &[f64]) -> f64 {
    let peak = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !peak.is_finite() {
        return peak;
    }
    peak + ln(values.iter().map(|value| exp(value - peak)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_sum_exp_at_its_edges() {
        assert_eq!(log_sum_exp(&[f64::NEG_INFINITY, f64::NEG_INFINITY]), f64::NEG_INFINITY);
        assert_eq!(log_sum_exp(&[f64::NEG_INFINITY, 2.0]), 2.0);
        assert_eq!(log_sum_exp(&[f64::INFINITY, 2.0]), f64::INFINITY);
        assert_eq!(log_sum_exp(&[-800.0]), -800.0);
    }

    #[test]
    fn logistic_saturates_without_nan() {
        assert_eq!(logistic(0.0), 0.5);
        assert_eq!(logistic(-1e4), 0.0);
        assert_eq!(logistic(1e4), 1.0);
    }

    #[test]
    fn the_mean_of_nothing_is_zero() {
        assert_eq!(mean(&[]), 0.0);
        assert_eq!(mean(&[1.0, 2.0]), 1.5);
    }
}
