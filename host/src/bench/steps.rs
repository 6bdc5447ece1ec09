//! Steps of preference training, timed: what the benchmarks of training have in common.

use anyhow::Result;

use crate::config::{Lora, Schedule, Train};
use crate::model::Model;
use crate::records::{Overrides, Pair};
use crate::train::{self, ReferenceLogps, StageRun, StageSettings};

/// Pairs a step.
pub(super) const BATCH: usize = 8;

/// What was measured, in seconds of the caller's clock.
pub(super) struct Steps {
    /// The reference's log-probabilities of all pairs.
    pub reference: f64,
    /// The median step.
    pub step: f64,
    /// The first step's and the last one's.
    pub losses: [f64; 2],
}

/// Settings that leave the rate as it is; `activation_memory` in MiB.
pub(super) fn settings(lora: Option<Lora>, activation_memory: usize) -> Train {
    Train {
        batch: BATCH,
        learning_rate: Some(1e-4),
        schedule: Schedule::Constant,
        warmup: 0.0,
        activation_memory,
        lora,
        ..Train::default()
    }
}

/// Trains one epoch, with a new adapter where the settings have one.
pub(super) fn timed(
    name: &str,
    model: &mut Model,
    pairs: &[Pair],
    config: &Train,
    clock: &dyn Fn() -> f64,
) -> Result<Steps> {
    if let Some(lora) = &config.lora {
        let mut draws = (0_u32..).map(|n| (n.wrapping_mul(2_654_435_761) >> 8) as f32 / (1_u32 << 24) as f32);
        model.attach_new(lora, || draws.next().unwrap_or_default())?;
    }
    let pairs: Vec<&Pair> = pairs.iter().collect();
    let settings = StageSettings::new(config, &Overrides::default())?;
    let started = clock();
    let known = ReferenceLogps { pairs: train::log_probabilities(model, &pairs, false)?, ..ReferenceLogps::default() };
    let reference = clock() - started;
    let stage = StageRun {
        name,
        pairs: &pairs,
        reference: Some(&known),
        at_reference: true,
        config,
        settings: &settings,
        seed: (1, 0),
        limits: None,
        checkpoints: None,
    };
    let (mut seconds, mut last, mut losses) = (Vec::new(), clock(), Vec::new());
    train::train_stage(model, &stage, None, |step| {
        seconds.push(clock() - last);
        losses.push(step.loss);
        last = clock();
        Ok(())
    })?;
    seconds.sort_by(f64::total_cmp);
    let step = seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN);
    Ok(Steps { reference, step, losses: [losses.first(), losses.last()].map(|l| l.copied().unwrap_or_default()) })
}
