//! `trainer_state.json`: the steps in the shape in which transformers' Trainer, and so TRL, leaves them.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::trained::TrainedStage;
use crate::config::Train;
use crate::data::jsonl;
use crate::records::StepMetrics;

const FILE: &str = "trainer_state.json";

/// Writes the state after these stages, whose steps are `metrics`.
pub fn write(run: &Path, done: &[TrainedStage], metrics: &[StepMetrics], train: &Train) -> Result<()> {
    jsonl::write_json(&run.join(FILE), &state(done, metrics, train)?)
}

/// In a log entry `epoch` counts over all stages, as TRL's does over a run; `stage` is ours.
fn state(done: &[TrainedStage], metrics: &[StepMetrics], train: &Train) -> Result<Value> {
    let mut history = Vec::new();
    let mut steps = metrics.iter();
    let mut before = 0.0;
    for stage in done {
        for step in steps.by_ref().take(usize::try_from(stage.steps)?) {
            let mut entry = serde_json::to_value(step)?;
            entry["epoch"] = json!(before + step.epoch);
            history.push(entry);
        }
        before += f64::from(stage.epochs);
    }
    let steps: u64 = done.iter().map(|stage| stage.steps).sum();
    Ok(json!({
        "best_global_step": null,
        "best_metric": null,
        "best_model_checkpoint": null,
        "epoch": before,
        "eval_steps": steps,
        "global_step": steps,
        "is_hyper_param_search": false,
        "is_local_process_zero": true,
        "is_world_process_zero": true,
        "log_history": history,
        "logging_steps": 1,
        "max_steps": steps,
        "num_input_tokens_seen": metrics.last().map_or(0, |last| last.num_tokens),
        "num_train_epochs": before,
        "save_steps": steps,
        "stateful_callbacks": {},
        "total_flos": 0.0,
        "train_batch_size": train.batch,
        "trial_name": null,
        "trial_params": null,
    }))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::records::Overrides;

    /// A step with numbers that tell it from others.
    pub fn step(n: u64) -> StepMetrics {
        StepMetrics {
            step: n,
            stage: "x".into(),
            epoch: n as f64 / 4.0,
            loss: 1.0 / n as f64,
            grad_norm: 2.0,
            learning_rate: 1e-4,
            rewards_chosen: 0.1,
            rewards_rejected: -0.1,
            rewards_accuracies: 0.75,
            rewards_margins: 0.2,
            logps_chosen: -10.0,
            logps_rejected: -12.0,
            nll_loss: None,
            kl: None,
            num_tokens: 100 * n,
            tokens_per_second: 5.0,
            memory: None,
        }
    }

    fn stage(epochs: u32, steps: u64) -> TrainedStage {
        TrainedStage {
            name: "x".into(),
            pairs: vec![],
            epochs,
            steps,
            seconds: 0.0,
            reason: String::new(),
            refreshed: false,
            overrides: Overrides::default(),
            outcome: None,
            checkpoint: String::new(),
            checksum: String::new(),
            stopped: None,
            resampled: None,
            evaluated: None,
        }
    }

    #[test]
    fn epochs_go_on_from_stage_to_stage() -> Result<()> {
        let metrics = [step(1), step(2), StepMetrics { epoch: 0.5, ..step(3) }];
        let state = state(&[stage(2, 2), stage(1, 1)], &metrics, &Train::default())?;
        let epochs: Vec<&Value> =
            state["log_history"].as_array().into_iter().flatten().map(|entry| &entry["epoch"]).collect();
        assert_eq!(epochs, [0.25, 0.5, 2.5]);
        assert_eq!((&state["epoch"], &state["global_step"]), (&json!(3.0), &json!(3)));
        assert_eq!(state["log_history"][1]["rewards/margins"], 0.2);
        Ok(())
    }
}
