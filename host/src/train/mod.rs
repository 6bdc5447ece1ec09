//! Trains the policy model on preference pairs, stage by stage.
//!
//! Comes in: pairs with token ids, a staging policy, the initial model. Goes out: `metrics.jsonl` (the same as `tensorboard/` and
//! `trainer_state.json`), `training.json`, a checkpoint per stage, and `model/` or `adapter/`. Optimizer and schedule start fresh in each stage;
//! within one, a checkpoint is written every few steps, and a run resumed from any of them equals an unbroken one. It samples nothing, scores
//! nothing and measures nothing itself: what is wanted between the stages it asks for (`between`).

mod loss;
mod schedule;
mod batches;
mod logps;
mod sums;
mod limits;
mod stage_training;
mod trained;
mod known;
mod between;
mod events;
mod trainer_state;
mod metrics;
mod room;

pub use between::{Between, Resampling};
pub use logps::{ReferenceLogps, log_probabilities};
pub use room::room;
pub use stage_training::{StageRun, StageSettings, train as train_stage};
pub use trained::{TrainedStage, Training, load_trained, read_trained};
