//! How each stage departs from the config's training settings: the part of a staging policy's settings that does not
//! depend on which pairs a stage holds, shared so that a control differs from the method in membership only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Overrides, Problem};

/// One value for all stages, or a list with one for each.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum PerStage<T> {
    /// The same for all.
    All(T),
    /// One for each, in order.
    Each(Vec<T>),
}

impl<T: Copy> PerStage<T> {
    /// The value of a stage; the last one where the list is too short.
    pub fn get(&self, stage: usize) -> Option<T> {
        match self {
            Self::All(value) => Some(*value),
            Self::Each(values) => values.get(stage).or(values.last()).copied(),
        }
    }
}

/// The training settings of the stages. Flatten it into a policy's settings.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Schedule {
    /// Passes over a stage's pairs: one number for all stages, or a list. Left out: as the config says.
    pub epochs: Option<PerStage<u32>>,
    /// Factor on the learning rate: one number or a list. Left out: falling from 1 over 0.7 to 0.5.
    pub learning_rate_scale: Option<PerStage<f64>>,
    /// cDPO's ε, the share of labels taken to be wrong: one number or a list. Left out: rising from 0 over 0.05 to 0.1.
    pub label_smoothing: Option<PerStage<f64>>,
    /// β of the loss: one number or a list. Left out: as the config says.
    pub beta: Option<PerStage<f64>>,
    /// Whether the reference model becomes the policy model as it is before each stage (Curri-DPO); otherwise it stays
    /// the initial model.
    pub refresh_reference: bool,
    /// Whether the prompts of every stage but the first are sampled, scored and paired anew by the model as it is before
    /// the stage, which is then trained on those pairs. The first stage has its responses from the same model already.
    pub resample: bool,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            epochs: None,
            learning_rate_scale: None,
            label_smoothing: None,
            beta: None,
            refresh_reference: true,
            resample: false,
        }
    }
}

/// Later stages hold smaller gaps, whose labels are noisier: smaller steps, softer labels.
const LEARNING_RATE_SCALE: [f64; 3] = [1.0, 0.7, 0.5];
const LABEL_SMOOTHING: [f64; 3] = [0.0, 0.05, 0.1];

impl Schedule {
    /// What stage `stage` of `stages` departs from in the config. A single stage departs in nothing that is not set.
    pub fn overrides(&self, stage: usize, stages: usize) -> Overrides {
        let course = |values: &[f64; 3]| (stages > 1).then(|| interpolate(values, stage, stages));
        Overrides {
            epochs: self.epochs.as_ref().and_then(|epochs| epochs.get(stage)),
            beta: self.beta.as_ref().and_then(|beta| beta.get(stage)),
            learning_rate_scale: self
                .learning_rate_scale
                .as_ref()
                .map_or_else(|| course(&LEARNING_RATE_SCALE), |scale| scale.get(stage)),
            label_smoothing: self
                .label_smoothing
                .as_ref()
                .map_or_else(|| course(&LABEL_SMOOTHING), |smoothing| smoothing.get(stage)),
            nll_weight: None,
            loss: None,
        }
    }

    /// Whether a stage's prompts are sampled anew before it.
    pub fn resamples(&self, stage: usize) -> bool {
        self.resample && stage > 0
    }

    /// What is wrong with it for so many stages.
    pub fn check(&self, stages: usize) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut each = |path: &str, values: Option<Vec<f64>>, least: f64, most: f64| {
            let Some(values) = values else { return };
            if values.len() != 1 && values.len() != stages {
                problems.push(Problem::new(
                    path,
                    format!("has {} values for {stages} stages; give one number, or one for each stage", values.len()),
                ));
            }
            for value in values.iter().filter(|value| !(least..=most).contains(*value)) {
                problems
                    .push(Problem::new(path, format!("{value} is out of range, allowed: between {least} and {most}")));
            }
        };
        each("epochs", self.epochs.as_ref().map(|epochs| listed(epochs, f64::from)), 0.0, 1000.0);
        each("learning_rate_scale", self.learning_rate_scale.as_ref().map(|scale| listed(scale, |x| x)), 0.0, 100.0);
        each("label_smoothing", self.label_smoothing.as_ref().map(|smoothing| listed(smoothing, |x| x)), 0.0, 0.5);
        each("beta", self.beta.as_ref().map(|beta| listed(beta, |x| x)), 0.0, 100.0);
        problems
    }
}

fn listed<T: Copy>(values: &PerStage<T>, number: impl Fn(T) -> f64) -> Vec<f64> {
    match values {
        PerStage::All(value) => vec![number(*value)],
        PerStage::Each(values) => values.iter().map(|value| number(*value)).collect(),
    }
}

/// The value at a stage's place between the first, the middle and the last.
fn interpolate(values: &[f64; 3], stage: usize, stages: usize) -> f64 {
    let place = 2.0 * stage as f64 / (stages - 1) as f64;
    let (from, to, share) =
        if place <= 1.0 { (values[0], values[1], place) } else { (values[1], values[2], place - 1.0) };
    from + (to - from) * share
}

/// How `items` are divided over stages, as evenly as can be, earlier stages first, and none empty: fewer stages where
/// there are fewer items.
///
/// ```
/// use udasa_plugin_sdk::schedule::stage_sizes;
/// assert_eq!(stage_sizes(8, 3), [3, 3, 2]);
/// assert_eq!(stage_sizes(2, 3), [1, 1]);
/// assert!(stage_sizes(0, 3).is_empty());
/// ```
pub fn stage_sizes(items: usize, stages: usize) -> Vec<usize> {
    let stages = stages.min(items);
    (0..stages).map(|stage| items / stages + usize::from(stage < items % stages)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_falls_from_stage_to_stage_and_leaves_a_single_stage_alone() {
        let schedule = Schedule::default();
        let scales: Vec<_> = (0..3).map(|stage| schedule.overrides(stage, 3).learning_rate_scale).collect();
        assert_eq!(scales, [Some(1.0), Some(0.7), Some(0.5)]);
        let smoothing: Vec<_> = (0..3).map(|stage| schedule.overrides(stage, 3).label_smoothing).collect();
        assert_eq!(smoothing, [Some(0.0), Some(0.05), Some(0.1)]);
        assert_eq!(schedule.overrides(0, 1), Overrides::default());
        assert_eq!(schedule.overrides(1, 2).learning_rate_scale, Some(0.5));
    }

    #[test]
    fn one_number_holds_for_all_and_a_list_for_each() {
        let schedule = Schedule {
            epochs: Some(PerStage::Each(vec![5, 3, 1])),
            learning_rate_scale: Some(PerStage::All(1.0)),
            ..Schedule::default()
        };
        let last = schedule.overrides(2, 3);
        assert_eq!((last.epochs, last.learning_rate_scale), (Some(1), Some(1.0)));
        assert!(schedule.check(3).is_empty());
    }

    #[test]
    fn the_first_stage_is_never_sampled_anew_and_none_unless_asked() {
        let stages = |resample| [0, 1, 2].map(|stage| Schedule { resample, ..Schedule::default() }.resamples(stage));
        assert_eq!((stages(true), stages(false)), ([false, true, true], [false; 3]));
    }

    #[test]
    fn lists_of_another_length_and_values_out_of_range_are_all_reported() {
        let schedule = Schedule {
            epochs: Some(PerStage::Each(vec![1, 2])),
            label_smoothing: Some(PerStage::All(0.7)),
            beta: Some(PerStage::All(f64::NAN)),
            ..Schedule::default()
        };
        let paths: Vec<String> = schedule.check(3).into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["epochs", "label_smoothing", "beta"]);
    }
}
