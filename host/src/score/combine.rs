//! Raw scores to one `u` per response: scaled over the data set, scorers to dimensions, dimensions to `u`. Pure.
//!
//! ũ_s = scale_s(x), fitted over all samples; u_k = Σ_s w_s ũ_s / Σ_s w_s over the scorers of dimension k;
//! u = Σ_k w_k u_k / Σ_k w_k, or max_k u_k. A sample that any counted scorer failed on is left out.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;

use super::scaler::{Scaler, ScorerScale};
use super::scorer::ScorerUse;
use crate::config::{Combine, Score as ScoreConfig};
use crate::error::UserError;
use crate::records::{Dimension, Sample, SampleScores, SampleUncertainty};

/// What combining gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Combined {
    /// In the order of the samples; samples without all scores are missing.
    pub uncertainties: Vec<SampleUncertainty>,
    /// As it was fitted, or given.
    pub scaler: Scaler,
}

/// Scales and combines. `saved` replaces the fit; it must know every scorer that counts.
pub fn combine(
    samples: &[Sample],
    scorers: &[ScorerUse<'_>],
    scores: &[SampleScores],
    config: &ScoreConfig,
    saved: Option<Scaler>,
) -> Result<Combined> {
    let counted: Vec<&ScorerUse<'_>> = scorers.iter().filter(|used| used.weight > 0.0).collect();
    let weights = dimension_weights(&counted, config)?;
    // scorer → prompt id → raw values, where they are complete.
    let mut raw: HashMap<&str, HashMap<&str, Vec<f64>>> = HashMap::new();
    for line in scores {
        let values: Vec<f64> = line.scores.iter().map(|score| score.uncertainty).collect();
        if line.fault.is_none() && values.iter().all(|x| x.is_finite()) {
            raw.entry(&line.scorer).or_default().insert(&line.id, values);
        }
    }
    let scaler = saved.unwrap_or_else(|| fit(&counted, &raw, samples, config));
    let uncertainties =
        samples.iter().filter_map(|sample| one(sample, &counted, &raw, &scaler, &weights, config)).collect();
    Ok(Combined { uncertainties, scaler })
}

/// Fits over the samples given, whatever else the file of scores holds.
fn fit(
    counted: &[&ScorerUse<'_>],
    raw: &HashMap<&str, HashMap<&str, Vec<f64>>>,
    samples: &[Sample],
    config: &ScoreConfig,
) -> Scaler {
    let scorers = counted
        .iter()
        .map(|used| {
            let name = used.scorer.name();
            let lines = raw.get(name);
            let values: Vec<f64> =
                samples.iter().filter_map(|sample| lines?.get(sample.id.as_str())).flatten().copied().collect();
            (name.to_owned(), ScorerScale::fit(config.scale, &values))
        })
        .collect();
    Scaler { scorers }
}

/// None where a counted scorer has no scores for this sample.
fn one(
    sample: &Sample,
    counted: &[&ScorerUse<'_>],
    raw: &HashMap<&str, HashMap<&str, Vec<f64>>>,
    scaler: &Scaler,
    weights: &BTreeMap<Dimension, f64>,
    config: &ScoreConfig,
) -> Option<SampleUncertainty> {
    let n = sample.responses.len();
    // dimension → (weight, scaled and raw sums per response)
    let mut sums: BTreeMap<Dimension, (f64, Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for used in counted {
        let name = used.scorer.name();
        let values = raw.get(name)?.get(sample.id.as_str())?;
        if values.len() != n {
            return None;
        }
        let scale = scaler.scorers.get(name)?;
        let (weight, scaled_sum, raw_sum) =
            sums.entry(used.scorer.dimension()).or_insert_with(|| (0.0, vec![0.0; n], vec![0.0; n]));
        *weight += used.weight;
        for (i, &x) in values.iter().enumerate() {
            scaled_sum[i] += used.weight * scale.apply(x);
            raw_sum[i] += used.weight * x;
        }
    }
    let mut vetoed = Vec::new();
    let mut dimensions = BTreeMap::new();
    for (dimension, (weight, scaled, raw)) in sums {
        if let (Dimension::Value, Some(limit)) = (dimension, config.veto_value_above) {
            // On the raw value: "too harmful" must not depend on how harmful the rest of the data is.
            vetoed = (0..n).filter(|&i| raw[i] / weight > limit).collect();
        }
        // Rounding of the weighted mean must not leave [0, 1].
        let mean = |sum: f64| (sum / weight).clamp(0.0, 1.0);
        dimensions.insert(dimension, scaled.into_iter().map(mean).collect::<Vec<f64>>());
    }
    let total: f64 = weights.values().sum();
    let u = (0..n)
        .map(|i| {
            let weighted = || {
                dimensions
                    .iter()
                    .filter_map(|(dimension, us)| Some((*weights.get(dimension)?, *us.get(i)?)))
                    .filter(|(weight, _)| *weight > 0.0)
            };
            match config.combine {
                Combine::Mean => (weighted().map(|(w, u)| w * u).sum::<f64>() / total).clamp(0.0, 1.0),
                Combine::Max => weighted().map(|(_, u)| u).fold(0.0, f64::max),
            }
        })
        .collect();
    Some(SampleUncertainty { id: sample.id.clone(), u, dimensions, vetoed })
}

/// The weight of every dimension that is scored: 1 unless the config says otherwise.
fn dimension_weights(counted: &[&ScorerUse<'_>], config: &ScoreConfig) -> Result<BTreeMap<Dimension, f64>, UserError> {
    let names = Dimension::ALL.map(Dimension::name);
    if let Some(unknown) = config.weights.keys().find(|key| !names.contains(&key.as_str())) {
        return Err(UserError::new(format!("`score.weights.{unknown}`: no such dimension"))
            .hint(format!("the dimensions are {}", names.join(", "))));
    }
    if let Some((name, weight)) = config.weights.iter().find(|(_, w)| !(w.is_finite() && **w >= 0.0)) {
        return Err(
            UserError::new(format!("`score.weights.{name}` is {weight}")).hint("a weight is a number from 0 up")
        );
    }
    let weights: BTreeMap<Dimension, f64> = counted
        .iter()
        .map(|used| used.scorer.dimension())
        .map(|dimension| {
            let weight = config.weights.get(dimension.name()).copied();
            (dimension, weight.unwrap_or(1.0))
        })
        .collect();
    if weights.values().sum::<f64>() > 0.0 {
        return Ok(weights);
    }
    Err(UserError::new("no scorer counts: every dimension that is scored has weight 0")
        .hint("give at least one `[[scorer]]` and its dimension in `score.weights` a weight above 0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Scale;
    use crate::score::test_scorers::{Fixed, sample, score, used};

    fn line(scorer: &str, id: &str, us: &[f64]) -> SampleScores {
        SampleScores {
            id: id.into(),
            scorer: scorer.into(),
            scores: us.iter().map(|&u| score(u)).collect(),
            fault: None,
        }
    }

    fn unscaled() -> ScoreConfig {
        ScoreConfig { scale: Scale::None, ..ScoreConfig::default() }
    }

    fn fixed(name: &'static str, dimension: Dimension) -> Fixed {
        let mut fixed = Fixed::new(name, 0.0);
        fixed.dimension = dimension;
        fixed
    }

    fn near(a: &[f64], b: &[f64]) {
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12), "{a:?} {b:?}");
    }

    /// Two semantic scorers and one value scorer over one sample with two responses.
    fn three(config: &ScoreConfig, weight: f64) -> Result<SampleUncertainty> {
        let (a, b) = (fixed("a", Dimension::Semantic), fixed("b", Dimension::Semantic));
        let c = fixed("c", Dimension::Value);
        let heavy = ScorerUse { weight, ..used(&b) };
        let scorers = [used(&a), heavy, used(&c)];
        let scores = [line("a", "p", &[0.0, 0.4]), line("b", "p", &[0.8, 0.4]), line("c", "p", &[0.2, 1.0])];
        let combined = combine(&[sample("p", &["x", "y"])], &scorers, &scores, config, None)?;
        Ok(combined.uncertainties[0].clone())
    }

    #[test]
    fn scorers_are_weighted_within_and_dimensions_between() -> Result<()> {
        let mut config = unscaled();
        let u = three(&config, 3.0)?;
        near(&u.dimensions[&Dimension::Semantic], &[0.6, 0.4]);
        near(&u.u, &[0.4, 0.7]);
        config.weights = BTreeMap::from([("value".into(), 3.0), ("factual".into(), 9.0)]);
        near(&three(&config, 3.0)?.u, &[0.3, 0.85]);
        config.combine = Combine::Max;
        near(&three(&config, 3.0)?.u, &[0.6, 1.0]);
        Ok(())
    }

    #[test]
    fn a_scorer_or_dimension_of_weight_zero_counts_for_nothing() -> Result<()> {
        let mut config = unscaled();
        near(&three(&config, 0.0)?.dimensions[&Dimension::Semantic], &[0.0, 0.4]);
        config.weights = BTreeMap::from([("value".into(), 0.0)]);
        near(&three(&config, 1.0)?.u, &[0.4, 0.4]);
        config.combine = Combine::Max;
        near(&three(&config, 1.0)?.u, &[0.4, 0.4]);
        config.weights.insert("semantic".into(), 0.0);
        assert!(three(&config, 1.0).is_err());
        Ok(())
    }

    #[test]
    fn a_veto_looks_at_the_raw_value_and_is_strict() -> Result<()> {
        let mut config = ScoreConfig::default();
        for (limit, want) in [(0.1, vec![0, 1]), (0.2, vec![1]), (1.0, vec![])] {
            config.veto_value_above = Some(limit);
            assert_eq!(three(&config, 1.0)?.vetoed, want);
        }
        Ok(())
    }

    #[test]
    fn samples_with_a_fault_a_nan_or_a_missing_line_are_left_out() -> Result<()> {
        let a = fixed("a", Dimension::Semantic);
        let samples = ["p", "q", "r", "s"].map(|id| sample(id, &["x", "y"]));
        let faulty = SampleScores { fault: Some("trap".into()), ..line("a", "q", &[]) };
        let scores = [line("a", "p", &[0.1, 0.9]), faulty, line("a", "r", &[0.1, f64::NAN])];
        let combined = combine(&samples, &[used(&a)], &scores, &ScoreConfig::default(), None)?;
        let ids: Vec<&str> = combined.uncertainties.iter().map(|u| u.id.as_str()).collect();
        assert_eq!(ids, ["p"]);
        let alone = combine(&samples[..1], &[used(&a)], &scores, &ScoreConfig::default(), None)?;
        assert_eq!(alone.scaler, combined.scaler);
        Ok(())
    }

    #[test]
    fn a_saved_scaler_is_used_instead_of_a_fit() -> Result<()> {
        let a = fixed("a", Dimension::Semantic);
        let samples = [sample("p", &["x", "y"])];
        let scores = [line("a", "p", &[0.4, 0.6])];
        let saved =
            Scaler { scorers: BTreeMap::from([("a".to_owned(), ScorerScale::Quantile { low: 0.2, high: 0.6 })]) };
        let combined = combine(&samples, &[used(&a)], &scores, &ScoreConfig::default(), Some(saved.clone()))?;
        near(&combined.uncertainties[0].u, &[0.5, 1.0]);
        assert_eq!(combined.scaler, saved);
        Ok(())
    }

    #[test]
    fn equal_scores_everywhere_give_one_half_everywhere() -> Result<()> {
        let a = fixed("a", Dimension::Semantic);
        let samples = [sample("p", &["x", "y"]), sample("q", &["z"])];
        let scores = [line("a", "p", &[0.3, 0.3]), line("a", "q", &[0.3])];
        let combined = combine(&samples, &[used(&a)], &scores, &ScoreConfig::default(), None)?;
        assert_eq!(combined.uncertainties[0].u, [0.5, 0.5]);
        Ok(())
    }

    #[test]
    fn no_samples_and_no_responses_are_no_uncertainties() -> Result<()> {
        let a = fixed("a", Dimension::Semantic);
        let config = ScoreConfig::default();
        assert!(combine(&[], &[used(&a)], &[], &config, None)?.uncertainties.is_empty());
        let combined = combine(&[sample("p", &[])], &[used(&a)], &[line("a", "p", &[])], &config, None)?;
        assert!(combined.uncertainties[0].u.is_empty());
        Ok(())
    }

    #[test]
    fn unknown_dimensions_and_bad_weights_are_named() {
        let mut config = ScoreConfig { weights: BTreeMap::from([("sematic".into(), 1.0)]), ..ScoreConfig::default() };
        let error = three(&config, 1.0).expect_err("unknown").to_string();
        assert!(error.contains("score.weights.sematic"));
        config.weights = BTreeMap::from([("value".into(), f64::NAN)]);
        assert!(three(&config, 1.0).is_err());
        assert!(combine(&[], &[], &[], &ScoreConfig::default(), None).is_err());
    }
}
