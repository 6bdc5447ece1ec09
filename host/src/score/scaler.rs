//! Scaling a scorer's values over the data set, so that dimensions can be added and gaps compared across prompts.
//!
//! Fitted once per scorer over all responses of all samples, never within one prompt: that would make Δu incomparable.
//! The fit is saved (`scaler.json`) and can be used on other data. Pure, except for [`Scaler::load`].

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::scorer::ScorerUse;
use crate::config::Scale;
use crate::error::UserError;

/// Fitted scales, by scorer name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Scaler {
    /// One per scorer.
    pub scorers: BTreeMap<String, ScorerScale>,
}

/// How one scorer's values are brought to [0, 1]. Every kind is monotone: it never changes which of two is larger,
/// though it may make them equal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "scale", rename_all = "lowercase")]
pub enum ScorerScale {
    /// σ((x − median) / spread).
    Robust {
        /// The median.
        median: f64,
        /// The interquartile range. Where it is 0 (half of the values are the same), the standard deviation; where
        /// that is 0 too, 1.
        spread: f64,
    },
    /// (x − low) / (high − low), clipped to [0, 1]; ½ at `low` = `high`.
    Quantile {
        /// The 5 % quantile; the minimum where it equals the 95 % one.
        low: f64,
        /// The 95 % quantile, or the maximum.
        high: f64,
    },
    /// (mean rank − ½) / n, linear between the values that were seen, clipped outside.
    Rank {
        /// The distinct values, rising.
        values: Vec<f64>,
        /// What each becomes.
        ranks: Vec<f64>,
    },
    /// As it is, clipped to [0, 1].
    None,
}

impl ScorerScale {
    /// Fits to values in any order; those that are not finite count for nothing. No values at all: the identity.
    pub fn fit(scale: Scale, values: &[f64]) -> Self {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            return Self::None;
        };
        match scale {
            Scale::None => Self::None,
            Scale::Robust => {
                let iqr = quantile(&sorted, 0.75) - quantile(&sorted, 0.25);
                let spread = [iqr, standard_deviation(&sorted), 1.0];
                Self::Robust {
                    median: quantile(&sorted, 0.5),
                    // A spread of rounding errors is none.
                    spread: spread.into_iter().find(|&x| x > 1e-12).unwrap_or(1.0),
                }
            }
            Scale::Quantile => {
                let (low, high) = (quantile(&sorted, 0.05), quantile(&sorted, 0.95));
                if high > low { Self::Quantile { low, high } } else { Self::Quantile { low: min, high: max } }
            }
            Scale::Rank => {
                let n = sorted.len() as f64;
                let (mut values, mut ranks) = (Vec::new(), Vec::new());
                let mut below = 0;
                for run in sorted.chunk_by(|a, b| a == b) {
                    // Ranks below+1 ..= below+len have the mean below + (len + 1) / 2.
                    let mean_rank = below as f64 + (run.len() as f64 + 1.0) / 2.0;
                    values.extend(run.first());
                    ranks.push((mean_rank - 0.5) / n);
                    below += run.len();
                }
                Self::Rank { values, ranks }
            }
        }
    }

    /// The scaled value, in [0, 1]; NaN stays NaN.
    pub fn apply(&self, x: f64) -> f64 {
        match self {
            Self::Robust { median, spread } => 1.0 / (1.0 + (-(x - median) / spread).exp()),
            Self::Quantile { low, high } if high > low => ((x - low) / (high - low)).clamp(0.0, 1.0),
            Self::Quantile { low, .. } => match x.partial_cmp(low) {
                Some(std::cmp::Ordering::Less) => 0.0,
                Some(std::cmp::Ordering::Equal) => 0.5,
                Some(std::cmp::Ordering::Greater) => 1.0,
                None => f64::NAN,
            },
            Self::Rank { values, ranks } => interpolate(values, ranks, x),
            Self::None => x.clamp(0.0, 1.0),
        }
    }
}

/// Linear between the points, constant outside.
fn interpolate(xs: &[f64], ys: &[f64], x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    let above = xs.partition_point(|&known| known < x);
    let point = |i: usize| Some((*xs.get(i)?, *ys.get(i)?));
    match (above.checked_sub(1).and_then(point), point(above)) {
        (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (x - x0) / (x1 - x0),
        (Some((_, y)), None) | (None, Some((_, y))) => y,
        (None, None) => 0.5,
    }
}

/// The q-quantile of sorted values, linear between order statistics (NumPy's default, Hyndman & Fan's type 7).
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * sorted.len().saturating_sub(1) as f64;
    let at = |index: f64| sorted.get(index as usize).copied().unwrap_or(f64::NAN);
    let (low, high) = (at(place.floor()), at(place.ceil()));
    low + (high - low) * place.fract()
}

fn standard_deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n).sqrt()
}

impl Scaler {
    /// Reads a scaler that an earlier run saved; it must know every scorer that counts.
    pub fn load(path: &Path, scorers: &[ScorerUse<'_>]) -> Result<Self, UserError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            UserError::new(format!("cannot read the scaler {}: {error}", path.display()))
                .hint("`score.scaler` names the scaler.json of an earlier run")
        })?;
        let scaler: Self = serde_json::from_str(&text).map_err(|error| {
            UserError::new(format!("{} is not a scaler: {error}", path.display()))
                .hint("`score.scaler` names the scaler.json of an earlier run")
        })?;
        let missing: Vec<String> = scorers
            .iter()
            .filter(|used| used.weight > 0.0 && !scaler.scorers.contains_key(used.scorer.name()))
            .map(|used| format!("`{}`", used.scorer.name()))
            .collect();
        if missing.is_empty() {
            return Ok(scaler);
        }
        let known: Vec<String> = scaler.scorers.keys().map(|name| format!("`{name}`")).collect();
        Err(UserError::new(format!(
            "{} has no scale for {}; it knows {}",
            path.display(),
            missing.join(", "),
            known.join(", ")
        ))
        .hint("give the scorers the names that they had in that run, or remove `score.scaler` to fit anew"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Scale; 4] = [Scale::Robust, Scale::Quantile, Scale::Rank, Scale::None];

    fn scaled(scale: Scale, values: &[f64]) -> Vec<f64> {
        let fitted = ScorerScale::fit(scale, values);
        values.iter().map(|&x| fitted.apply(x)).collect()
    }

    #[test]
    fn quantiles_are_numpys() {
        // numpy.quantile([1, 2, 4, 8], [0.05, 0.25, 0.5, 0.95])
        let sorted = [1.0, 2.0, 4.0, 8.0];
        for (q, want) in [(0.05, 1.15), (0.25, 1.75), (0.5, 3.0), (0.95, 7.4), (1.0, 8.0)] {
            assert!((quantile(&sorted, q) - want).abs() < 1e-12);
        }
        assert_eq!(quantile(&[3.0], 0.95), 3.0);
    }

    #[test]
    fn robust_puts_the_median_at_one_half_and_one_iqr_above_at_sigma_of_one() {
        let fitted = ScorerScale::fit(Scale::Robust, &[0.1, 0.2, 0.3, 0.4, 0.5]);
        assert!((fitted.apply(0.3) - 0.5).abs() < 1e-12);
        assert!((fitted.apply(0.5) - 1.0 / (1.0 + (-1.0_f64).exp())).abs() < 1e-12);
    }

    #[test]
    fn robust_without_an_iqr_falls_back_to_the_standard_deviation() {
        let fitted = ScorerScale::fit(Scale::Robust, &[0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(fitted, ScorerScale::Robust { median: 0.0, spread: 0.4 });
    }

    #[test]
    fn quantile_clips_at_both_ends() {
        let values: Vec<f64> = (0..=100).map(|n| f64::from(n) / 100.0).collect();
        let us = scaled(Scale::Quantile, &values);
        assert_eq!((us[0], us[5], us[95], us[100]), (0.0, 0.0, 1.0, 1.0));
        assert!((us[50] - 0.5).abs() < 1e-12);
    }

    #[test]
    fn quantile_without_a_middle_falls_back_to_the_extremes() {
        let mut values = vec![0.5; 99];
        values.push(0.9);
        let us = scaled(Scale::Quantile, &values);
        assert_eq!((us[0], us[99]), (0.0, 1.0));
    }

    #[test]
    fn ranks_of_ties_are_averaged() {
        assert_eq!(scaled(Scale::Rank, &[0.3, 0.1, 0.3, 0.9]), [0.5, 0.125, 0.5, 0.875]);
        let fitted = ScorerScale::fit(Scale::Rank, &[0.0, 1.0]);
        assert_eq!((fitted.apply(-1.0), fitted.apply(0.5), fitted.apply(2.0)), (0.25, 0.5, 0.75));
    }

    #[test]
    fn all_equal_values_become_one_half_except_unscaled() {
        for scale in [Scale::Robust, Scale::Quantile, Scale::Rank] {
            assert_eq!(scaled(scale, &[0.7, 0.7, 0.7]), [0.5; 3], "{scale:?}");
            assert_eq!(scaled(scale, &[0.7]), [0.5], "{scale:?}");
        }
        assert_eq!(scaled(Scale::None, &[0.7, 0.7]), [0.7, 0.7]);
    }

    #[test]
    fn nothing_to_fit_is_the_identity() {
        for scale in ALL {
            assert_eq!(ScorerScale::fit(scale, &[]), ScorerScale::None);
            assert_eq!(ScorerScale::fit(scale, &[f64::NAN]), ScorerScale::None);
        }
    }

    #[test]
    fn nan_is_not_fitted_and_stays_nan() {
        for scale in ALL {
            let fitted = ScorerScale::fit(scale, &[0.1, f64::NAN, 0.4]);
            assert_eq!(fitted, ScorerScale::fit(scale, &[0.1, 0.4]));
            assert!(fitted.apply(f64::NAN).is_nan(), "{scale:?}");
        }
        assert!(ScorerScale::fit(Scale::Quantile, &[0.3]).apply(f64::NAN).is_nan());
    }

    #[test]
    fn every_scale_keeps_order_and_range_and_survives_saving() -> anyhow::Result<()> {
        let values: Vec<f64> = (0..200_u32).map(|n| f64::from(n * 7919 % 211) / 211.0).collect();
        for scale in ALL {
            let fitted = ScorerScale::fit(scale, &values);
            let saved: ScorerScale = serde_json::from_str(&serde_json::to_string(&fitted)?)?;
            assert_eq!(saved, fitted);
            let us: Vec<f64> = (0..=300).map(|n| fitted.apply(f64::from(n) / 250.0)).collect();
            assert!(us.is_sorted() && us.iter().all(|u| (0.0..=1.0).contains(u)), "{scale:?}");
        }
        Ok(())
    }
}
