//! Rank correlations of uncertainty: with length, and between dimensions. Pure.
//!
//! A scorer that dislikes long responses makes a model terse, one that likes them makes it wordy; so the correlation
//! with length is always reported.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::records::{Dimension, Sample, SampleUncertainty};

/// Spearman correlation of uncertainty with response length, over all responses of all samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LengthCorrelation {
    /// What length is counted in.
    pub unit: LengthUnit,
    /// Responses compared.
    pub n: usize,
    /// Of the combined `u`; none where either is constant.
    pub u: Option<f64>,
    /// Of each scaled dimension.
    pub dimensions: BTreeMap<Dimension, Option<f64>>,
}

/// What length is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LengthUnit {
    /// Sampled tokens.
    Tokens,
    /// White-space words: some responses came without token ids.
    Words,
}

/// Length of every response of every sample: tokens where all responses have ids, else words.
pub fn lengths(samples: &[Sample]) -> (LengthUnit, Vec<Vec<usize>>) {
    let responses = || samples.iter().flat_map(|sample| &sample.responses);
    let has_ids = responses().all(|r| !r.token_ids.is_empty() || r.text.is_empty());
    // Texts made elsewhere may be empty without ids; a set of only those has no tokens to count.
    let unit =
        if has_ids && responses().any(|r| !r.token_ids.is_empty()) { LengthUnit::Tokens } else { LengthUnit::Words };
    let lengths = samples
        .iter()
        .map(|sample| {
            sample
                .responses
                .iter()
                .map(|response| match unit {
                    LengthUnit::Tokens => response.token_ids.len(),
                    LengthUnit::Words => response.text.split_whitespace().count(),
                })
                .collect()
        })
        .collect();
    (unit, lengths)
}

/// Correlation of `u`, and of every dimension, with length.
pub fn length_correlation(samples: &[Sample], uncertainties: &[SampleUncertainty]) -> LengthCorrelation {
    let (unit, lengths) = lengths(samples);
    let of_id: HashMap<&str, &Vec<usize>> = samples.iter().map(|sample| sample.id.as_str()).zip(&lengths).collect();
    let against = |values: &dyn Fn(&SampleUncertainty) -> Option<&[f64]>| {
        let (mut xs, mut ys) = (Vec::new(), Vec::new());
        for uncertainty in uncertainties {
            let Some(lengths) = of_id.get(uncertainty.id.as_str()) else {
                continue;
            };
            for (u, &length) in values(uncertainty).unwrap_or_default().iter().zip(*lengths) {
                xs.push(*u);
                ys.push(length as f64);
            }
        }
        (xs.len(), spearman(&xs, &ys))
    };
    let (n, u) = against(&|uncertainty| Some(&uncertainty.u));
    let dimensions = Dimension::ALL
        .into_iter()
        .filter(|dimension| uncertainties.iter().any(|u| u.dimensions.contains_key(dimension)))
        .map(|dimension| {
            let (_, rho) = against(&|u| u.dimensions.get(&dimension).map(Vec::as_slice));
            (dimension, rho)
        })
        .collect();
    LengthCorrelation { unit, n, u, dimensions }
}

/// Spearman correlation between each two dimensions that were scored, as `semantic/factual`.
pub(super) fn agreement(uncertainties: &[SampleUncertainty]) -> BTreeMap<String, Option<f64>> {
    let column = |dimension| -> Vec<f64> {
        uncertainties
            .iter()
            .filter_map(|uncertainty| uncertainty.dimensions.get(&dimension))
            .flatten()
            .copied()
            .collect()
    };
    let mut pairs = BTreeMap::new();
    for (n, a) in Dimension::ALL.into_iter().enumerate() {
        for b in Dimension::ALL.into_iter().skip(n + 1) {
            let (xs, ys) = (column(a), column(b));
            if !xs.is_empty() && !ys.is_empty() {
                pairs.insert(format!("{}/{}", a.name(), b.name()), spearman(&xs, &ys));
            }
        }
    }
    pairs
}

/// Pearson's correlation of the ranks, ties sharing their mean rank. None for fewer than two values, for different
/// lengths, for a constant side, and where a value is not finite.
pub fn spearman(xs: &[f64], ys: &[f64]) -> Option<f64> {
    let finite = xs.iter().chain(ys).all(|x| x.is_finite());
    if xs.len() != ys.len() || xs.len() < 2 || !finite {
        return None;
    }
    let (rx, ry) = (ranks(xs), ranks(ys));
    // Mean ranks always average to (n + 1) / 2.
    let mean = (xs.len() as f64 + 1.0) / 2.0;
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 { rx.iter().zip(&ry).map(|(x, y)| f(x - mean, y - mean)).sum() };
    let (xy, xx, yy) = (sum(&|x, y| x * y), sum(&|x, _| x * x), sum(&|_, y| y * y));
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

/// Ranks from 1, ties sharing their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for ties in order.chunk_by(|a, b| a.1 == b.1) {
        for &(index, _) in ties {
            ranks[index] = below as f64 + (ties.len() as f64 + 1.0) / 2.0;
        }
        below += ties.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::test_scorers::sample;

    #[test]
    fn spearman_is_scipys() {
        // scipy.stats.spearmanr([1, 2, 2, 4, 5], [5, 6, 7, 8, 7]).statistic
        let rho = spearman(&[1.0, 2.0, 2.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]);
        assert!(rho.is_some_and(|rho| (rho - 0.763_157_894_736_842_1).abs() < 1e-12), "{rho:?}");
        assert_eq!(spearman(&[1.0, 2.0, 9.0], &[3.0, 2.0, 1.0]), Some(-1.0));
    }

    #[test]
    fn what_has_no_correlation_gives_none() {
        assert_eq!(spearman(&[], &[]), None);
        assert_eq!(spearman(&[1.0], &[1.0]), None);
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0, f64::NAN], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0, 2.0], &[1.0]), None);
    }

    #[test]
    fn length_is_tokens_only_where_every_response_has_them() {
        let mut samples = [sample("a", &["one two three", "one"])];
        assert_eq!(lengths(&samples), (LengthUnit::Words, vec![vec![3, 1]]));
        samples[0].responses[0].token_ids = vec![1, 2];
        assert_eq!(lengths(&samples).0, LengthUnit::Words);
        samples[0].responses[1].token_ids = vec![1, 2, 3, 4];
        assert_eq!(lengths(&samples), (LengthUnit::Tokens, vec![vec![2, 4]]));
        assert_eq!(lengths(&[sample("a", &[""])]).0, LengthUnit::Words);
    }

    #[test]
    fn uncertain_because_long_shows_as_plus_one() {
        let samples = [sample("a", &["x", "x x"]), sample("b", &["x x x"]), sample("c", &["x"])];
        let row = |id: &str, u: &[f64]| SampleUncertainty {
            id: id.into(),
            u: u.into(),
            dimensions: BTreeMap::from([(Dimension::Value, u.iter().map(|u| -u).collect())]),
            vetoed: Vec::new(),
        };
        // `c` failed and has no row.
        let rho = length_correlation(&samples, &[row("a", &[0.1, 0.2]), row("b", &[0.9])]);
        assert_eq!((rho.n, rho.u), (3, Some(1.0)));
        assert_eq!(rho.dimensions, BTreeMap::from([(Dimension::Value, Some(-1.0))]));
    }
}
