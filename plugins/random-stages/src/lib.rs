//! Random stages under the same schedule as `terciles`: the control that tells the order of stages from the fresh
//! schedules and references that come with having stages at all.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use udasa_plugin_sdk::rng::Rng;
use udasa_plugin_sdk::schedule::{Schedule, stage_sizes};
use udasa_plugin_sdk::{Fault, Pair, PastStage, Problem, Stage, StagingPolicy};

/// The policy.
pub struct RandomStages;

/// The settings.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// How many stages.
    #[schemars(range(min = 1, max = 1000))]
    pub stages: usize,
    /// How each stage is trained; the same keys and defaults as in `terciles`.
    #[serde(flatten)]
    pub schedule: Schedule,
}

impl Default for Settings {
    fn default() -> Self {
        Self { stages: 3, schedule: Schedule::default() }
    }
}

impl StagingPolicy for RandomStages {
    type Settings = Settings;
    const NAME: &'static str = "random-stages";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Random stages of equal size, trained like those of `terciles`: a control";

    fn check(settings: &Settings) -> Vec<Problem> {
        settings.schedule.check(settings.stages)
    }

    fn next_stage(
        settings: &Settings,
        seed: u64,
        pairs: &[Pair],
        history: &[PastStage],
    ) -> Result<Option<Stage>, Fault> {
        let sizes = stage_sizes(pairs.len(), settings.stages);
        let index = history.len();
        let Some(size) = sizes.get(index) else {
            return Ok(None);
        };
        let mut all: Vec<u32> = (0..pairs.len() as u32).collect();
        Rng::keyed(seed, "random-stages").shuffle(&mut all);
        let start: usize = sizes[..index].iter().sum();
        Ok(Some(Stage {
            name: format!("random-{}", index + 1),
            pairs: all[start..start + size].to_vec(),
            overrides: settings.schedule.overrides(index, sizes.len()),
            refresh_reference: settings.schedule.refresh_reference,
            resample: settings.schedule.resamples(index),
            reason: format!("{size} pairs drawn at random: a control"),
        }))
    }
}

udasa_plugin_sdk::export_staging_policy!(RandomStages);

#[cfg(test)]
mod tests {
    use super::*;
    use udasa_plugin_sdk::test_kit::{pairs, run_policy};

    #[test]
    fn stages_are_equal_in_size_random_in_membership_and_cover_every_pair_once() {
        let gaps: Vec<(&str, f64)> = (0..100).map(|i| ("", f64::from(i) / 100.0)).collect();
        let stages = run_policy::<RandomStages>("{}", 7, &pairs(&gaps));
        assert_eq!(stages.iter().map(|stage| stage.pairs.len()).collect::<Vec<_>>(), [34, 33, 33]);
        let mut all: Vec<u32> = stages.iter().flat_map(|stage| stage.pairs.clone()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<u32>>());
        // The mean gap of a random third is near that of all: 0.495 ± 3 · 0.289 / √33.
        for stage in &stages {
            let mean = stage.pairs.iter().map(|i| gaps[*i as usize].1).sum::<f64>() / stage.pairs.len() as f64;
            assert!((mean - 0.495).abs() < 0.15, "{mean}");
        }
    }

    #[test]
    fn the_schedule_is_that_of_the_method() {
        let stages = run_policy::<RandomStages>("{}", 7, &pairs(&[("", 0.5); 9]));
        let scales: Vec<_> = stages.iter().map(|stage| stage.overrides.learning_rate_scale).collect();
        assert_eq!(scales, [Some(1.0), Some(0.7), Some(0.5)]);
        assert!(stages.iter().all(|stage| stage.refresh_reference && !stage.resample));
    }

    #[test]
    fn fewer_pairs_than_stages_make_fewer_stages_and_none_empty() {
        assert_eq!(run_policy::<RandomStages>("{}", 7, &pairs(&[("", 0.5); 2])).len(), 2);
        assert!(run_policy::<RandomStages>("{}", 7, &[]).is_empty());
        assert_eq!(run_policy::<RandomStages>(r#"{"stages": 5}"#, 7, &pairs(&[("", 0.5); 9])).len(), 5);
    }
}
