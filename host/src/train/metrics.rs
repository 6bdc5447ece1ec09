//! `metrics.jsonl`: a line for every step that the model holds.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::data::jsonl;
use crate::records::StepMetrics;

/// `metrics.jsonl`, cut back to the steps that the model holds when a run is resumed or taken back.
pub struct Metrics {
    path: PathBuf,
    file: jsonl::Appender<StepMetrics>,
    /// Lines in the file.
    pub steps: u64,
    /// Of the stages so far.
    tokens_before: u64,
}

impl Metrics {
    /// The file of a run folder, with what is there.
    pub fn open(run: &Path) -> Result<Self> {
        let path = run.join("metrics.jsonl");
        let (kept, file) = jsonl::Appender::<StepMetrics>::open(&path)?;
        Ok(Self { path, file, steps: kept.len() as u64, tokens_before: 0 })
    }

    /// Keeps the steps of the stages before and of the one that goes on.
    pub fn resume(&mut self, before: u64, step: u64) -> Result<()> {
        let (mut kept, _) = jsonl::Appender::<StepMetrics>::open(&self.path)?;
        let wanted = usize::try_from(before + step)?;
        if kept.len() > wanted {
            kept.truncate(wanted);
            jsonl::write(&self.path, &kept)?;
            self.file = jsonl::Appender::open(&self.path)?.1;
        }
        self.steps = kept.len() as u64;
        let last = usize::try_from(before)?.checked_sub(1).and_then(|last| kept.get(last));
        self.tokens_before = last.map_or(0, |last| last.num_tokens);
        Ok(())
    }

    /// A stage counts its tokens from 0, the file from the first stage on.
    pub fn add(&mut self, metrics: &StepMetrics) -> Result<()> {
        let num_tokens = self.tokens_before + metrics.num_tokens;
        self.file.append([&StepMetrics { num_tokens, ..metrics.clone() }])?;
        self.steps = metrics.step;
        Ok(())
    }

    /// A stage that began after `before` steps has ended with so many of its own.
    pub fn end_stage(&mut self, before: u64, steps: u64) -> Result<()> {
        self.resume(before + steps, 0)
    }
}
