//! `metrics.jsonl` and TensorBoard's file: a line, and an event, for every step that the model holds.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::events::Events;
use crate::data::jsonl;
use crate::records::StepMetrics;

/// `metrics.jsonl` and the event file, cut back to the steps that the model holds when a run is resumed or taken back.
pub struct Metrics {
    run: PathBuf,
    path: PathBuf,
    file: jsonl::Appender<StepMetrics>,
    events: Events,
    /// Every step.
    pub all: Vec<StepMetrics>,
    /// Of the stages so far.
    tokens_before: u64,
}

impl Metrics {
    /// The files of a run folder, with what is there.
    pub fn open(run: &Path) -> Result<Self> {
        let path = run.join("metrics.jsonl");
        let (all, file) = jsonl::Appender::<StepMetrics>::open(&path)?;
        let events = Events::create(run, &all)?;
        Ok(Self { run: run.to_owned(), path, file, events, all, tokens_before: 0 })
    }

    /// Keeps the steps of the stages before and of the one that goes on.
    pub fn resume(&mut self, before: u64, step: u64) -> Result<()> {
        let wanted = usize::try_from(before + step)?;
        if self.all.len() > wanted {
            self.all.truncate(wanted);
            jsonl::write(&self.path, &self.all)?;
            self.file = jsonl::Appender::open(&self.path)?.1;
            self.events = Events::create(&self.run, &self.all)?;
        }
        let last = usize::try_from(before)?.checked_sub(1).and_then(|last| self.all.get(last));
        self.tokens_before = last.map_or(0, |last| last.num_tokens);
        Ok(())
    }

    /// A stage counts its tokens from 0, the file from the first stage on.
    pub fn add(&mut self, metrics: &StepMetrics) -> Result<()> {
        let num_tokens = self.tokens_before + metrics.num_tokens;
        let metrics = StepMetrics { num_tokens, ..metrics.clone() };
        self.file.append([&metrics])?;
        self.events.add(&metrics)?;
        self.all.push(metrics);
        Ok(())
    }

    /// A stage that began after `before` steps has ended with so many of its own.
    pub fn end_stage(&mut self, before: u64, steps: u64) -> Result<()> {
        self.resume(before + steps, 0)
    }
}
