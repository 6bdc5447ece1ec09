//! Stages by quantiles of the uncertainty gap within each group of prompts: the default staging policy.
//!
//! Quantiles over a whole, mixed data set are harmful: tasks separate by their gaps, the last stage is nearly all of
//! one task, and it undoes the others (see docs/mini-world.md). So each group is divided by itself.

mod divide;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use udasa_plugin_sdk::rng::Rng;
use udasa_plugin_sdk::schedule::Schedule;
use udasa_plugin_sdk::{Fault, Pair, PastStage, Problem, Stage, StagingPolicy};

/// The policy.
pub struct Terciles;

/// Where gaps are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Within {
    /// Within each group of prompts; pairs without a group are one group.
    #[default]
    Group,
    /// Over all pairs. Harmful where tasks are mixed.
    All,
}

/// Which end of the gaps comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Clear, trusted pairs first.
    #[default]
    LargeFirst,
    /// Ambiguous pairs first.
    SmallFirst,
}

/// The settings.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Where gaps are compared.
    pub within: Within,
    /// Which end of the gaps comes first.
    pub direction: Direction,
    /// The stages' names, in order; as many stages as names.
    #[schemars(length(min = 1))]
    pub stages: Vec<String>,
    /// How each stage is trained.
    #[serde(flatten)]
    pub schedule: Schedule,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            within: Within::default(),
            direction: Direction::default(),
            stages: ["conservative", "moderate", "exploratory"].map(str::to_owned).to_vec(),
            schedule: Schedule::default(),
        }
    }
}

impl StagingPolicy for Terciles {
    type Settings = Settings;
    const NAME: &'static str = "terciles";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Conservative, moderate, exploratory: quantiles of the gap within each group";

    fn check(settings: &Settings) -> Vec<Problem> {
        let mut problems = settings.schedule.check(settings.stages.len());
        for (index, name) in settings.stages.iter().enumerate() {
            if name.is_empty() {
                problems.push(Problem::new(format!("stages.{index}"), "a stage needs a name"));
            } else if settings.stages[..index].contains(name) {
                problems.push(Problem::new(format!("stages.{index}"), format!("`{name}` is used twice")));
            }
        }
        problems
    }

    fn next_stage(
        settings: &Settings,
        seed: u64,
        pairs: &[Pair],
        history: &[PastStage],
    ) -> Result<Option<Stage>, Fault> {
        let stages = divide::divide(pairs, settings.stages.len(), settings.within, settings.direction);
        let index = history.len();
        let (Some(members), Some(name)) = (stages.get(index), settings.stages.get(index)) else {
            return Ok(None);
        };
        let mut members = members.clone();
        let reason = reason(settings, pairs, &members, index, stages.len());
        // Sorted members would be trained group by group.
        Rng::keyed(seed, name).shuffle(&mut members);
        Ok(Some(Stage {
            name: name.clone(),
            pairs: members,
            overrides: settings.schedule.overrides(index, stages.len()),
            refresh_reference: settings.schedule.refresh_reference,
            resample: settings.schedule.resamples(index),
            reason,
        }))
    }
}

fn reason(settings: &Settings, pairs: &[Pair], members: &[u32], index: usize, stages: usize) -> String {
    let gaps = members.iter().filter_map(|member| pairs.get(*member as usize)).map(|pair| pair.gap);
    let (low, high) = gaps.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), gap| (low.min(gap), high.max(gap)));
    let end = match settings.direction {
        Direction::LargeFirst => "largest",
        Direction::SmallFirst => "smallest",
    };
    let within = match settings.within {
        Within::Group => "within each group",
        Within::All => "over all pairs",
    };
    format!("part {} of {stages} by gap, {end} first, {within}: gaps from {low:.3} to {high:.3}", index + 1)
}

udasa_plugin_sdk::export_staging_policy!(Terciles);

#[cfg(test)]
mod tests;
