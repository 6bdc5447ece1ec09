//! The sandbox's speed, as ratios within one run where there are two sides, with the targets of the plugin platform.
//!
//! | row | what it is | target |
//! |---|---|---|
//! | `call: empty` | a sample without responses through a component that uses no SDK: the least a call can cost | |
//! | `call: bare` | 8 responses × 64 tokens (text, ids, log-probabilities, entropies) through the same | |
//! | `call: SDK` | the same through a scorer of the SDK that looks at nothing | 2 µs |
//! | `wasm / native` | the shipped semantic scorer on 20 TriviaQA answers, beside its native build at the same optimisation | 1.35 × |
//! | `threads: 2 / 1` | the same scoring on rayon, in samples a second | 1.8 × |
//! | `lm-polygraph / us` | ROUGE-L, EigV and degree of 500 questions × 20 answers, seconds of its classes over ours, one thread | 50 × |
//! | `start, slowest` | a plugin's file read, checked, loaded from the code cache and asked who it is | 1 ms |
//!
//! A time is the least of many short batches, because other work only ever adds to it; the two sides of a ratio take turns.
//! Builds the plugins it needs; must run where the repository is. The rows on TriviaQA need the data beside the checkout (or in
//! `UDASA_SHARED`) and say so where it is not there.

mod call;
mod data;
mod native;
mod peer;
mod sides;
mod start;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Options, Row, Tell};
use crate::config::{self, Limits, OnFault};
use crate::error::UserError;
use crate::plugin::build_quietly;
use crate::sandbox::{PluginDirectory, Scorer};

/// Every row of the table above.
pub fn rows(options: &Options, tell: &mut Tell) -> Result<()> {
    let bench = Bench::open()?;
    call::rows(&bench)?.into_iter().try_for_each(&mut *tell)?;
    match data::questions()? {
        Some(questions) => {
            sides::rows(&bench, &questions)?.into_iter().try_for_each(&mut *tell)?;
            peer::rows(&bench, &questions, options.peers.as_deref())?.into_iter().try_for_each(&mut *tell)?;
        }
        None => tell(Row {
            name: "TriviaQA".into(),
            value: 0.0,
            unit: "questions",
            note: "SKIPPED: three rows need ../shared/data/triviaqa-llama13b (or UDASA_SHARED)".to_owned(),
        })?,
    }
    start::rows(&bench)?.into_iter().try_for_each(tell)
}

/// The repository and the plugins that are measured.
struct Bench {
    root: PathBuf,
    directory: PathBuf,
    plugins: PluginDirectory,
}

impl Bench {
    fn open() -> Result<Self> {
        let root = std::env::current_dir()?;
        if !root.join("plugins/semantic").is_dir() {
            return Err(UserError::new("the plugins to be measured are not here")
                .hint("run it in the repository: cargo xtask bench plugins")
                .into());
        }
        let directory = root.join("target/bench-plugins");
        let crates = ["tests/fixtures/idle-scorer", "tests/fixtures/bad-plugin"].map(|path| root.join(path));
        let shipped = ["factual", "random-stages", "semantic", "sentiment", "terciles", "unstaged", "value"];
        let shipped = shipped.map(|name| root.join("plugins").join(name));
        build_quietly(&[&crates[..], &shipped[..]].concat(), &directory)?;
        let plugins = PluginDirectory::open(&directory)?;
        Ok(Self { root, directory, plugins })
    }

    fn scorer(&self, plugin: &str, settings: &[(&str, serde_json::Value)]) -> Result<Scorer> {
        self.plugins.scorer(&use_of(plugin, settings), &Limits::default())
    }
}

/// A scorer as a config would name it.
fn use_of(plugin: &str, settings: &[(&str, serde_json::Value)]) -> config::Scorer {
    let settings: BTreeMap<_, _> = settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    config::Scorer {
        plugin: plugin.to_owned(),
        name: None,
        weight: 1.0,
        grant: Vec::new(),
        settings,
        on_fault: OnFault::Stop,
        sha256: None,
        native: false,
    }
}

/// The least time of `work` over `batches`.
fn least(batches: usize, mut work: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut least = Duration::MAX;
    for _ in 0..batches {
        let started = Instant::now();
        work()?;
        least = least.min(started.elapsed());
    }
    Ok(least)
}

/// The least times of two works that take turns.
fn least_of_two(
    batches: usize,
    mut one: impl FnMut() -> Result<()>,
    mut other: impl FnMut() -> Result<()>,
) -> Result<(Duration, Duration)> {
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..batches {
        best.0 = best.0.min(least(1, &mut one)?);
        best.1 = best.1.min(least(1, &mut other)?);
    }
    Ok(best)
}
