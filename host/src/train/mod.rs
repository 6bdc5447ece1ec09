//! Trains the policy model on preference pairs, stage by stage.
//!
//! Comes in: pairs with token ids, a staging policy, the initial model. Goes out: `metrics.jsonl` (the same as `tensorboard/` and
//! `trainer_state.json`), `training.json`, a checkpoint per stage, and `model/` or `adapter/`. A stage is the grain of resume: optimizer and schedule start fresh in each, so a run resumed from the last
//! stage's checkpoint equals an unbroken one. It samples nothing and scores nothing.

mod loss;
mod schedule;
mod batches;
mod stage_training;
mod events;
mod trainer_state;
mod room;

pub use room::{TrainedStage, Training, load_trained, read_trained, room};
pub use stage_training::{ReferenceLogps, StageSettings, log_probabilities, train as train_stage};
