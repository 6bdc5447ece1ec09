//! The export room: a run's pairs as preference rows that TRL's DPOTrainer, or another run (`pairs.from`), trains on as they are.
//!
//! In: `pairs.jsonl`, those of stages whose prompts were sampled anew and, where there is one, `stages.jsonl`. Out: JSONL or Parquet with the columns of [`rows::Row`]. Loads no model and
//! computes nothing: a row says what the pair says.

mod rows;
mod columns;

use std::path::Path;

use anyhow::{Context, Result};

use crate::data::jsonl;
use crate::error::UserError;
use crate::progress::{print, say};
use crate::records::{Pair, PromptText, StageMember};
use crate::train::read_trained;
use rows::{Row, of_stage, stages, whole_run};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportFormat {
    /// One JSON object a line
    Jsonl,
    /// Parquet with Snappy pages
    Parquet,
}

impl ExportFormat {
    fn ending(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
        }
    }
}

/// All pairs in one file, or on stdout.
pub fn whole(run: &Path, format: ExportFormat, out: Option<&Path>) -> Result<()> {
    let (pairs, members) = read(run)?;
    let rows = whole_run(&pairs, &members);
    let bytes = written(&rows, format)?;
    match (out, format) {
        (Some(out), _) => {
            jsonl::write_bytes(out, &bytes)?;
            say("export", &format!("{} rows  {}", rows.len(), out.display()));
            Ok(())
        }
        (None, ExportFormat::Jsonl) => print(&String::from_utf8(bytes).context("JSON is UTF-8")?),
        (None, ExportFormat::Parquet) => {
            Err(UserError::new("Parquet is not written to stdout").hint("name a file with --out FILE").into())
        }
    }
}

/// One file a stage, in the order in which it is trained.
pub fn per_stage(run: &Path, format: ExportFormat, folder: &Path) -> Result<()> {
    let (pairs, members) = read(run)?;
    if members.is_empty() {
        return Err(UserError::new(format!("{} has no stages yet", run.display()))
            .hint("run the job to its stages first: `udasa stage CONFIG`; or leave --per-stage out")
            .into());
    }
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    for (number, name) in stages(&members) {
        let rows = of_stage(&pairs, &members, number);
        // A stage's name comes from a plugin: only what is harmless in a path is kept of it.
        let name: String = name.chars().take(40).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = folder.join(format!("{number}-{name}.{}", format.ending()));
        jsonl::write_bytes(&path, &written(&rows, format)?)?;
        say("export", &format!("{} rows  {}", rows.len(), path.display()));
    }
    Ok(())
}

fn written(rows: &[Row<'_>], format: ExportFormat) -> Result<Vec<u8>> {
    match format {
        ExportFormat::Parquet => columns::parquet(rows),
        ExportFormat::Jsonl => {
            let mut bytes = Vec::new();
            for row in rows {
                serde_json::to_writer(&mut bytes, row)?;
                bytes.push(b'\n');
            }
            Ok(bytes)
        }
    }
}

fn read(run: &Path) -> Result<(Vec<Pair>, Vec<StageMember>)> {
    let mut pairs: Vec<Pair> = jsonl::read_whole_lines(&run.join("pairs.jsonl"))?.unwrap_or_default();
    if pairs.is_empty() {
        return Err(UserError::new(format!("{} holds no pairs", run.display()))
            .hint("name a folder in which `udasa run` or `udasa pair` made pairs, such as runs/mini")
            .into());
    }
    for from in read_trained(run)?.iter().filter_map(|stage| stage.resampled.as_ref()) {
        pairs.extend(jsonl::read::<Pair>(&run.join(&from.folder).join("pairs.jsonl"))?);
    }
    let is_chat = |pair: &Pair| matches!(pair.prompt, PromptText::Chat(_));
    if pairs.iter().any(|pair| is_chat(pair) != is_chat(&pairs[0])) {
        return Err(UserError::new(
            "some prompts of the run are texts, others dialogues, and TRL trains on one kind at a time",
        )
        .hint("align the two kinds of prompts in runs of their own; pairs.jsonl holds both")
        .into());
    }
    Ok((pairs, jsonl::read_whole_lines(&run.join("stages.jsonl"))?.unwrap_or_default()))
}

#[cfg(test)]
mod tests;
