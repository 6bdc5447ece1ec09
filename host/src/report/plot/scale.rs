//! Axes: nice ticks, and the straight map from a domain to pixels.

/// A linear map from `domain` to `pixels`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Values at both ends; never equal.
    pub domain: (f64, f64),
    /// Pixels at both ends.
    pub pixels: (f64, f64),
}

impl Scale {
    /// An empty or constant domain is widened around its value, a non-finite one becomes [0, 1].
    pub fn new(domain: (f64, f64), pixels: (f64, f64)) -> Self {
        let (mut low, mut high) = domain;
        if !low.is_finite() || !high.is_finite() || !(high - low).is_finite() || low > high {
            (low, high) = (0.0, 1.0);
        }
        // Also where the width drowns in rounding: 1e9 ± 1e-9 has no ticks between.
        if high - low <= low.abs().max(high.abs()) * 1e-9 {
            let room = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            (low, high) = (low - room, high + room);
        }
        Self { domain: (low, high), pixels }
    }

    /// Fitted to values, and widened to whole ticks.
    pub fn fitted(values: impl Iterator<Item = f64>, target: usize, pixels: (f64, f64)) -> Self {
        let (low, high) = values
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let raw = Self::new((low, high), pixels);
        let (low, high) = raw.domain;
        let step = step(low, high, target);
        Self::new(((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step), pixels)
    }

    /// The pixel of a value.
    pub fn at(&self, value: f64) -> f64 {
        let (low, high) = self.domain;
        let (from, to) = self.pixels;
        from + (value - low) / (high - low) * (to - from)
    }

    /// Nice ticks inside the domain, with their labels.
    pub fn ticks(&self, target: usize) -> Vec<(f64, String)> {
        let (low, high) = self.domain;
        let decimals = decimals(step(low, high, target));
        ticks(low, high, target).into_iter().map(|value| (value, label(value, decimals))).collect()
    }
}

/// Multiples of 1, 2 or 5 × 10ᵏ within [low, high], about `target` of them.
pub fn ticks(low: f64, high: f64, target: usize) -> Vec<f64> {
    if !low.is_finite() || !high.is_finite() || high <= low {
        return if low.is_finite() { vec![low] } else { Vec::new() };
    }
    let step = step(low, high, target);
    let first = (low / step - 1e-9).ceil();
    let last = (high / step + 1e-9).floor();
    if !(last - first).is_finite() || last - first > 1000.0 {
        return vec![low, high];
    }
    let count = (last - first).max(-1.0) + 1.0;
    (0..count as usize)
        .map(|i| {
            let value = (first + i as f64) * step;
            // 0.1 × 3 is not 0.3: round to the step's own digits.
            let scale = 10_f64.powi(decimals(step) as i32);
            let rounded = (value * scale).round() / scale;
            if rounded.is_finite() && rounded != 0.0 { rounded } else { value + 0.0 }
        })
        .collect()
}

fn step(low: f64, high: f64, target: usize) -> f64 {
    let raw = (high - low) / target.max(1) as f64;
    let power = 10_f64.powf(raw.log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0].into_iter().find(|nice| nice * power >= raw * 0.999).unwrap_or(10.0);
    nice * power
}

fn decimals(step: f64) -> usize {
    let digits = -(step * 1.001).log10().floor();
    if digits.is_finite() { digits.clamp(0.0, 12.0) as usize } else { 0 }
}

fn label(value: f64, decimals: usize) -> String {
    if value.abs() >= 1e6 {
        return format!("{value:.1e}").replace('-', "−");
    }
    let text = format!("{value:.decimals$}");
    if text.trim_matches(['-', '0', '.']).is_empty() {
        return "0".into();
    }
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_nice_and_inside() {
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(ticks(-0.3, 0.7, 5), [-0.2, 0.0, 0.2, 0.4, 0.6]);
        assert_eq!(ticks(3.0, 97.0, 4), [50.0]);
        assert_eq!(ticks(0.0, 162.0, 4), [0.0, 50.0, 100.0, 150.0]);
    }

    #[test]
    fn strange_domains_give_few_ticks_and_no_panic() {
        assert_eq!(ticks(2.0, 2.0, 5), [2.0]);
        assert!(ticks(f64::NAN, 1.0, 5).is_empty());
        assert!(ticks(1e300, 1.1e300, 5).len() < 20);
        assert!(ticks(1.0, 1.0 + 1e-15, 5).len() < 20);
        assert!(ticks(0.0, 1.0, 0).len() < 20);
    }

    #[test]
    fn every_domain_maps_to_finite_pixels() {
        for domain in [
            (0.0, 0.0),
            (5.0, 5.0),
            (f64::NAN, 1.0),
            (1.0, -1.0),
            (f64::INFINITY, f64::NEG_INFINITY),
            (1e9, 1e9 + 1e-9),
            (f64::MIN, f64::MAX),
        ] {
            let scale = Scale::new(domain, (0.0, 100.0));
            assert!(scale.at(0.5).is_finite(), "{domain:?}");
            assert!(scale.ticks(5).len() < 30, "{domain:?}");
        }
    }

    #[test]
    fn a_fitted_scale_ends_on_ticks() {
        let scale = Scale::fitted([0.13, 0.68].into_iter(), 4, (0.0, 100.0));
        assert_eq!(scale.domain, (0.0, 0.8));
        assert_eq!(scale.ticks(4).last().map(|t| t.1.clone()), Some("0.8".into()));
    }

    #[test]
    fn labels_have_the_decimals_of_the_step_and_a_real_minus() {
        let labels: Vec<String> = Scale::new((-1.0, 1.0), (0.0, 1.0)).ticks(4).into_iter().map(|t| t.1).collect();
        assert_eq!(labels, ["−1.0", "−0.5", "0", "0.5", "1.0"]);
    }
}
