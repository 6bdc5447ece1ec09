//! One shuffled stage: the control without which a gain from staging cannot be claimed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use udasa_plugin_sdk::rng::Rng;
use udasa_plugin_sdk::schedule::Schedule;
use udasa_plugin_sdk::{Fault, Pair, PastStage, Problem, Stage, StagingPolicy};

/// The policy.
pub struct Unstaged;

/// The settings: only how the stage departs from the config's training settings.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// How the stage is trained.
    #[serde(flatten)]
    pub schedule: Schedule,
}

impl StagingPolicy for Unstaged {
    type Settings = Settings;
    const NAME: &'static str = "unstaged";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "One shuffled stage with all pairs: a control";

    fn check(settings: &Settings) -> Vec<Problem> {
        settings.schedule.check(1)
    }

    fn next_stage(
        settings: &Settings,
        seed: u64,
        pairs: &[Pair],
        history: &[PastStage],
    ) -> Result<Option<Stage>, Fault> {
        if !history.is_empty() || pairs.is_empty() {
            return Ok(None);
        }
        let mut all: Vec<u32> = (0..pairs.len() as u32).collect();
        Rng::keyed(seed, "unstaged").shuffle(&mut all);
        Ok(Some(Stage {
            name: "all".to_owned(),
            pairs: all,
            overrides: settings.schedule.overrides(0, 1),
            refresh_reference: settings.schedule.refresh_reference,
            resample: settings.schedule.resamples(0),
            reason: "all pairs, shuffled: a control".to_owned(),
        }))
    }
}

udasa_plugin_sdk::export_staging_policy!(Unstaged);

#[cfg(test)]
mod tests {
    use super::*;
    use udasa_plugin_sdk::test_kit::{pairs, run_policy, try_run_policy};

    #[test]
    fn one_stage_holds_every_pair_shuffled_by_the_seed() {
        let pairs = pairs(&[("", 0.5); 50]);
        let stages = run_policy::<Unstaged>("{}", 1, &pairs);
        assert_eq!(stages.len(), 1);
        let mut sorted = stages[0].pairs.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<u32>>());
        assert_ne!(stages[0].pairs, sorted);
        assert_ne!(stages[0].pairs, run_policy::<Unstaged>("{}", 2, &pairs)[0].pairs);
    }

    #[test]
    fn it_departs_from_the_config_only_where_it_is_told_to() {
        let one = pairs(&[("", 0.5)]);
        assert_eq!(run_policy::<Unstaged>("{}", 1, &one)[0].overrides, Default::default());
        let stage = &run_policy::<Unstaged>(r#"{"learning_rate_scale": 1.0, "epochs": 9}"#, 1, &one)[0];
        assert_eq!((stage.overrides.learning_rate_scale, stage.overrides.epochs), (Some(1.0), Some(9)));
        assert!(try_run_policy::<Unstaged>(r#"{"epochs": [3, 2]}"#, 1, &one).is_err());
        assert!(
            try_run_policy::<Unstaged>(r#"{"epoch": 3}"#, 1, &one).is_err_and(|e| e.contains("did you mean `epochs`?"))
        );
    }

    #[test]
    fn no_pairs_no_stage() {
        assert!(run_policy::<Unstaged>("{}", 1, &[]).is_empty());
    }
}
