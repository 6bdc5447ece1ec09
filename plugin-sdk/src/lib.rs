//! Write a plugin for `udasa`: a scorer, or a staging policy.
//!
//! A plugin is a pure function. It is called with everything it may know, imports nothing but a log sink, and keeps
//! no state that changes an answer. A scorer that needs a model *returns questions* and is called again with the
//! answers. This crate hides the sandbox: implement [`Scorer`] (or the shorter [`SimpleScorer`], or
//! [`StagingPolicy`]), call [`export_scorer!`] or [`export_staging_policy!`] once, and set
//! `crate-type = ["cdylib", "rlib"]`. The same crate runs natively under `cargo test` with the [`test_kit`], and can be
//! built as a shared library for a profiler.
//!
//! ```
//! use udasa_plugin_sdk::{Answer, Dimension, Fault, Question, Sample, Score, SimpleScorer};
//!
//! /// Doubts long answers.
//! struct Brevity;
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(default)]
//! struct Settings {
//!     /// Words at which an answer is doubted fully.
//!     #[schemars(range(min = 1))]
//!     limit: u32,
//! }
//!
//! impl Default for Settings {
//!     fn default() -> Self {
//!         Self { limit: 100 }
//!     }
//! }
//!
//! impl SimpleScorer for Brevity {
//!     type Settings = Settings;
//!     const NAME: &'static str = "brevity";
//!     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
//!     const SUMMARY: &'static str = "Doubts long answers";
//!     const DIMENSION: Dimension = Dimension::Value;
//!
//!     fn scores(settings: &Settings, sample: &Sample, _: &[Answer]) -> Result<Vec<Score>, Fault> {
//!         let limit = f64::from(settings.limit);
//!         Ok(sample
//!             .responses
//!             .iter()
//!             .map(|response| {
//!                 let words = response.text.split_whitespace().count() as f64;
//!                 Score::new((words / limit).min(1.0)).note("words", words)
//!             })
//!             .collect())
//!     }
//! }
//!
//! udasa_plugin_sdk::export_scorer!(Brevity);
//!
//! use udasa_plugin_sdk::test_kit;
//! let sample = test_kit::sample("Why is the sky blue?", &["Air scatters blue light most.", "No idea"]);
//! let run = test_kit::run_scorer::<Brevity>(r#"{"limit": 10}"#, &sample, test_kit::no_questions);
//! assert_eq!(run.uncertainties(), [0.5, 0.2]);
//! test_kit::check_scorer::<Brevity>("{}", &[sample], test_kit::no_questions);
//! ```
#![deny(missing_docs)]
#![cfg_attr(not(target_arch = "wasm32"), deny(unsafe_code))]

mod fault;
mod panic;
mod question;
mod sample;
mod scorer;
mod staging;

pub mod judge;
pub mod log;
pub mod math;
pub mod rng;
pub mod schedule;
pub mod settings;
pub mod template;

pub mod adapter;
#[cfg(any(test, all(target_arch = "wasm32", feature = "allocator")))]
mod allocator;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;
#[cfg(target_endian = "little")]
#[doc(hidden)]
pub mod block;
mod export;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(not(target_arch = "wasm32"))]
pub mod test_kit;

pub use fault::{Fault, Problem};
pub use question::{Answer, Answers, Entailment, Likelihood, Question, QuestionKind};
pub use sample::{Message, Prompt, Response, Sample};
pub use scorer::{Dimension, Note, Score, Scorer, SimpleScorer, Step};
pub use staging::{Measure, Outcome, Overrides, Pair, PastStage, Stage, StagingPolicy};

#[cfg(all(target_arch = "wasm32", not(target_feature = "atomics"), feature = "allocator"))]
#[global_allocator]
static ALLOCATOR: allocator::Blocks = allocator::Blocks::new();

#[doc(hidden)]
pub use export::{__assert_scorer, __assert_staging_policy};

/// The tutorial's code, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/write-a-plugin.md")]
struct WriteAPlugin;
