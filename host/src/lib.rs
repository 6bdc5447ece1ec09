//! `udasa` aligns a language model with itself, without human labels.
//!
//! Modules stand in the order in which data flows. A room may use the types of earlier rooms, never of later ones; `run`
//! is the only one that sees them all. `model` alone touches tch, `sandbox` alone touches wasmtime; `native` opens native plugins.

pub mod cache;
pub mod error;
pub mod progress;
pub mod records;
pub mod usage;

pub mod config;
pub mod data;
pub mod model;
pub mod native;
pub mod sandbox;
pub mod sft;
pub mod generate;
pub mod score;
pub mod pair;
pub mod stage;
pub mod train;
pub mod evaluate;
pub mod mini_world;
pub mod report;
pub mod explain;
pub mod export;
pub mod run;

pub mod bench;
pub mod plugin;
pub mod cli;
