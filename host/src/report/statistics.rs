//! The report's arithmetic: quantiles, correlations, significance of a change. Pure functions over slices.

use crate::records::Measure;

/// Arithmetic mean; none of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The q-quantile by linear interpolation between order statistics (R's type 7) of finite values.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let position = q.clamp(0.0, 1.0) * last as f64;
    let (low, part) = (position.floor() as usize, position.fract());
    let high = (low + 1).min(last);
    Some(sorted[low] + (sorted[high] - sorted[low]) * part)
}

/// Pearson's correlation; none where either side is constant or there are fewer than three points.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let n = x.len().min(y.len());
    if n < 3 {
        return None;
    }
    let (x, y) = (&x[..n], &y[..n]);
    let (mean_x, mean_y) = (mean(x)?, mean(y)?);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        let (a, b) = (a - mean_x, b - mean_y);
        xy += a * b;
        xx += a * a;
        yy += b * b;
    }
    let r = xy / (xx.sqrt() * yy.sqrt());
    r.is_finite().then(|| r.clamp(-1.0, 1.0))
}

/// Ranks from 1; ties share their mean rank.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let tied = order[start..]
            .iter()
            .take_while(|&&i| values[i] == values[order[start]])
            .count()
            .max(1);
        let shared = start as f64 + (tied as f64 + 1.0) / 2.0;
        for &i in &order[start..start + tied] {
            ranks[i] = shared;
        }
        start += tied;
    }
    ranks
}

/// Spearman's rank correlation: Pearson's of the ranks.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    let n = x.len().min(y.len());
    pearson(&ranks(&x[..n]), &ranks(&y[..n]))
}

/// A measure's difference from one point to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// After minus before.
    pub difference: f64,
    /// √(SE²before + SE²after): as if the two were drawn independently, which for the same prompts is on the careful side.
    pub se: Option<f64>,
}

impl Change {
    /// Of two measurements of one measure.
    pub fn between(before: &Measure, after: &Measure) -> Self {
        let se = before
            .se
            .zip(after.se)
            .map(|(a, b)| a.hypot(b))
            .filter(|se| se.is_finite());
        Self {
            difference: after.value - before.value,
            se,
        }
    }

    /// Beyond 1.96 standard errors; none where no standard error is known.
    pub fn measurable(self) -> Option<bool> {
        self.se.map(|se| self.difference.abs() > 1.96 * se)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_as_type_seven() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(quantile(&values, 0.5), Some(2.5));
        assert_eq!(quantile(&values, 0.25), Some(1.75));
        assert_eq!(quantile(&values, 1.0), Some(4.0));
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[f64::NAN, 7.0], 0.9), Some(7.0));
    }

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(ranks(&[10.0, 20.0, 10.0, 5.0]), [2.5, 4.0, 2.5, 1.0]);
    }

    #[test]
    fn spearman_sees_order_and_pearson_sees_lines() {
        let (x, y) = ([1.0, 2.0, 3.0, 4.0], [1.0, 4.0, 9.0, 16.0]);
        assert!((spearman(&x, &y).unwrap() - 1.0).abs() < 1e-12);
        // By hand: Σ(x−x̄)(y−ȳ) = 25, Σ(x−x̄)² = 5, Σ(y−ȳ)² = 129.
        assert!((pearson(&x, &y).unwrap() - 25.0 / 645.0_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_constant_or_short_side_has_no_correlation() {
        assert_eq!(spearman(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), None);
        assert_eq!(pearson(&[1.0, 2.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[], &[]), None);
    }

    #[test]
    fn a_nan_ends_in_no_correlation_rather_than_an_endless_loop() {
        assert_eq!(ranks(&[f64::NAN, f64::NAN]).len(), 2);
        assert_eq!(pearson(&[1.0, f64::NAN, 3.0], &[1.0, 2.0, 3.0]), None);
    }
}
