//! From numbers per item to measures: means, standard errors, AUC. Pure.

use std::collections::BTreeMap;

use crate::records::Measure;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More.
    Up,
    /// Less.
    Down,
    /// Neither: the number only describes.
    Neither,
}

impl Better {
    fn flag(self) -> Option<bool> {
        match self {
            Self::Up => Some(true),
            Self::Down => Some(false),
            Self::Neither => None,
        }
    }
}

/// Collects one number per item and measure.
#[derive(Default)]
pub struct Tally(BTreeMap<String, (Better, Vec<f64>)>);

impl Tally {
    /// Adds an item's number.
    pub fn add(&mut self, measure: &str, better: Better, value: f64) {
        let entry = self.0.entry(measure.to_owned()).or_insert_with(|| (better, Vec::new()));
        entry.1.push(value);
    }

    /// The measures.
    pub fn finish(self) -> BTreeMap<String, Measure> {
        self.0
            .into_iter()
            .map(|(name, (better, values))| (name, Measure { higher_is_better: better.flag(), ..mean(&values) }))
            .collect()
    }
}

/// Mean over items, its standard error (sample standard deviation / √n) where there are at least two.
pub fn mean(values: &[f64]) -> Measure {
    let n = values.len() as f64;
    let value = values.iter().sum::<f64>() / n.max(1.0);
    let squares: f64 = values.iter().map(|v| (v - value).powi(2)).sum();
    Measure {
        value,
        n: values.len() as u64,
        se: (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt()),
        higher_is_better: None,
        headline: false,
    }
}

/// The plain mean of measures; its standard error takes them as independent.
pub fn average(of: &[&Measure]) -> Measure {
    let k = of.len() as f64;
    let se: Option<f64> = of.iter().map(|m| m.se.map(|se| se * se)).sum::<Option<f64>>().map(|sum| sum.sqrt() / k);
    let first = of.first().and_then(|m| m.higher_is_better);
    Measure {
        value: of.iter().map(|m| m.value).sum::<f64>() / k,
        n: of.iter().map(|m| m.n).sum(),
        se,
        higher_is_better: first.filter(|_| of.iter().all(|m| m.higher_is_better == first)),
        headline: false,
    }
}

/// P(a positive item's number is above a negative one's), ties counting half: the area under the ROC curve. Its standard
/// error is Hanley and McNeil's (1982, equation 2). None where one side is empty.
pub fn auc(positive: &[f64], negative: &[f64]) -> Option<Measure> {
    let (p, n) = (positive.len() as f64, negative.len() as f64);
    if positive.is_empty() || negative.is_empty() {
        return None;
    }
    let mut wins = 0.0;
    for a in positive {
        for b in negative {
            wins += match a.total_cmp(b) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    let area = wins / (p * n);
    // Q1 = P(two positives above one negative), Q2 = P(one positive above two negatives), for exponential scores.
    let (q1, q2) = (area / (2.0 - area), 2.0 * area * area / (1.0 + area));
    let squared = area * area;
    let variance = (area * (1.0 - area) + (p - 1.0) * (q1 - squared) + (n - 1.0) * (q2 - squared)) / (p * n);
    Some(Measure {
        value: area,
        n: (positive.len() + negative.len()) as u64,
        se: Some(variance.max(0.0).sqrt()),
        higher_is_better: Some(true),
        headline: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_standard_error_of_four_numbers() {
        let measure = mean(&[0.0, 1.0, 1.0, 0.0]);
        assert_eq!((measure.value, measure.n), (0.5, 4));
        // s² = 1/3, se = √(1/3 / 4).
        assert!((measure.se.unwrap_or(0.0) - (1.0f64 / 12.0).sqrt()).abs() < 1e-15);
        assert_eq!(mean(&[0.3]).se, None, "one item has no spread");
    }

    #[test]
    fn auc_counts_ties_half_and_needs_both_sides() {
        let area = |p: &[f64], n: &[f64]| auc(p, n).map(|m| m.value);
        assert_eq!(area(&[0.9, 0.8], &[0.1, 0.2]), Some(1.0));
        assert_eq!(area(&[0.5, 0.5], &[0.5]), Some(0.5));
        assert_eq!(area(&[0.9, 0.2], &[0.5, 0.1]), Some(0.75));
        assert_eq!(area(&[0.1], &[0.9]), Some(0.0));
        assert_eq!(area(&[], &[0.9]), None);
    }

    #[test]
    fn an_average_adds_variances() {
        let (a, b) = (mean(&[0.0, 1.0]), mean(&[1.0, 1.0]));
        let both = average(&[&a, &b]);
        assert_eq!(both.value, 0.75);
        assert_eq!(both.se, a.se.map(|se| se / 2.0));
    }
}
