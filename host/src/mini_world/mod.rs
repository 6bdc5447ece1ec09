//! The mini world: an invented world whose truths are known exactly, written out from a seed.
//!
//! Owns the facts, the corpus to pre-train on, the prompts to align on, the evaluation set and the tokenizer. In: a seed and two
//! counts. Out: files that the other rooms read as they would read a user's. Trains and measures nothing. See docs/mini-world.md.

mod corpus;
mod draw;
mod evaluation;
mod facts;
mod prompts;
mod request;
mod template;
mod tokenizer;
mod words;
mod world;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use corpus::Corpus;
use draw::{Draw, Purpose};
use world::World;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldSummary {
    /// Lines of `corpus.jsonl`.
    pub documents: usize,
    /// Words of the corpus, special tokens included: its length in tokens.
    pub words: usize,
    /// Lines of `prompts.jsonl`.
    pub prompts: usize,
    /// Lines of `evaluation.jsonl`.
    pub evaluation_lines: usize,
    /// Entries of the tokenizer.
    pub vocabulary: usize,
}

/// Writes the world of a seed into a folder, which is made where it is missing. The same seed gives the same bytes, and the facts
/// do not depend on the counts.
///
/// # Errors
/// A folder that cannot be written, and more prompts than the world has.
pub fn write(dir: &Path, seed: u64, documents: usize, prompts: usize) -> Result<WorldSummary> {
    std::fs::create_dir_all(dir).with_context(|| format!("making the folder {}", dir.display()))?;
    let world = World::new(seed);
    let prompts = prompts::draw(&world, prompts, &mut Draw::new(seed, Purpose::Prompts))?;
    let evaluation = evaluation::draw(&world, &mut Draw::new(seed, Purpose::Evaluation));

    let mut words = 0;
    let mut corpus = Corpus::new(&world, Draw::new(seed, Purpose::Corpus));
    write_lines(
        &dir.join("corpus.jsonl"),
        (0..documents).map(|_| {
            let text = corpus.document();
            words += template::words(&text).count();
            serde_json::json!({ "text": text })
        }),
    )?;
    write_lines(&dir.join("prompts.jsonl"), prompts.iter())?;
    write_lines(&dir.join("evaluation.jsonl"), evaluation.iter())?;
    write_text(&dir.join("tokenizer.json"), &serde_json::to_string_pretty(&tokenizer::tokenizer())?)?;
    write_text(&dir.join("tokenizer_config.json"), &serde_json::to_string_pretty(&tokenizer::tokenizer_config())?)?;
    write_text(&dir.join("chat_template.jinja"), tokenizer::CHAT_TEMPLATE)?;
    Ok(WorldSummary {
        documents,
        words,
        prompts: prompts.len(),
        evaluation_lines: evaluation.len(),
        vocabulary: tokenizer::vocabulary().len(),
    })
}

fn write_lines<T: Serialize>(path: &Path, lines: impl Iterator<Item = T>) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(writing)?);
    for line in lines {
        serde_json::to_writer(&mut file, &line).with_context(writing)?;
        file.write_all(b"\n").with_context(writing)?;
    }
    file.flush().with_context(writing)
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests;
