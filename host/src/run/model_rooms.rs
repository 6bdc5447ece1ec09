//! The rooms that load the model: `sft`, `generate`, `train`, `evaluate`, and the answers to scorers' questions.

use anyhow::Result;

use super::folder::Begin;
use super::{Context, Room};
use crate::error::UserError;
use crate::score::Answerer;

/// Trains a small model on text.
pub fn sft(_ctx: &mut Context, _begin: Begin) -> Result<String> {
    not_wired(Room::Sft)
}

/// Samples responses to every prompt.
pub fn generate(_ctx: &mut Context, _begin: Begin) -> Result<String> {
    not_wired(Room::Generate)
}

/// Trains over the stages.
pub fn train(_ctx: &mut Context, _begin: Begin) -> Result<String> {
    not_wired(Room::Train)
}

/// Measures before and after.
pub fn evaluate(_ctx: &mut Context, _begin: Begin) -> Result<String> {
    not_wired(Room::Evaluate)
}

/// The model as the one who answers scorers' questions. Loads it.
pub fn answerer(_ctx: &Context) -> Result<Box<dyn Answerer>> {
    not_wired(Room::Score)
}

fn not_wired<T>(room: Room) -> Result<T> {
    Err(UserError::new(format!("`{room}` is not wired to the model"))
        .hint("this part of the program is still being built")
        .into())
}
