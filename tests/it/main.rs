//! Everything that is tested through the real binary. One file per topic; [`support`], [`small`], [`compare`],
//! [`tensors`] and [`witness`] are what they share.

mod compare;
mod small;
mod support;
mod tensors;
mod witness;

mod authors;
mod bad_input;
mod bad_model;
mod cli;
mod data;
mod docs;
mod interop;
mod interrupted;
mod killed;
mod languages;
mod model;
mod native;
mod outside;
mod pipeline;
mod python;
mod questions;
mod rerun;
mod resampled;
mod reviews;
mod sandbox;
mod smoke;
mod told;
mod tutorial;
mod usage;
mod wasm_target;
mod watch;
