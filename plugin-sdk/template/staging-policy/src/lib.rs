//! Clear pairs first, in equal parts: a staging policy to start from.

use schemars::JsonSchema;
use serde::Deserialize;
use udasa_plugin_sdk::{Fault, Overrides, Pair, PastStage, Stage, StagingPolicy};

/// The policy.
pub struct Plugin;

/// What a config may set. Doc comments become descriptions, ranges are checked.
#[derive(Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// How many stages the pairs are divided into.
    #[schemars(range(min = 1))]
    pub stages: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { stages: 2 }
    }
}

impl StagingPolicy for Plugin {
    type Settings = Settings;
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Clear pairs first, in equal parts";

    // Called before every stage with the stages so far; `None` stops.
    fn next_stage(
        settings: &Settings,
        _seed: u64,
        pairs: &[Pair],
        history: &[PastStage],
    ) -> Result<Option<Stage>, Fault> {
        let mut order: Vec<u32> = (0..pairs.len() as u32).collect();
        // The widest gap first; the sort keeps the order of equal ones.
        order.sort_by(|a, b| pairs[*b as usize].gap.total_cmp(&pairs[*a as usize].gap));
        let size = pairs.len().div_ceil(settings.stages as usize).max(1);
        let Some(members) = order.chunks(size).nth(history.len()) else {
            return Ok(None);
        };
        Ok(Some(Stage {
            name: format!("part-{}", history.len() + 1),
            pairs: members.to_vec(),
            overrides: Overrides::default(),
            refresh_reference: true,
            resample: false,
            reason: "the widest gaps that are left".to_owned(),
        }))
    }
}

udasa_plugin_sdk::export_staging_policy!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;
    use udasa_plugin_sdk::test_kit::{pairs, run_policy, try_run_policy};

    #[test]
    fn wide_gaps_come_first() {
        let pairs = pairs(&[("", 0.1), ("", 0.9), ("", 0.5)]);
        let stages = run_policy::<Plugin>("{}", 1, &pairs);
        let members: Vec<&[u32]> = stages.iter().map(|stage| stage.pairs.as_slice()).collect();
        assert_eq!(members, [&[1, 2][..], &[0][..]]);
        assert_eq!(stages[0].name, "part-1");
    }

    #[test]
    fn no_stages_are_refused() {
        let refused = try_run_policy::<Plugin>(r#"{"stages": 0}"#, 1, &pairs(&[("", 0.5)]));
        assert!(refused.is_err_and(|error| error.contains("stages: 0 is out of range")));
    }
}
