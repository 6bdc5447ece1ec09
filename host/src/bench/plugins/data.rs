//! Sampled answers to real questions: 250 of TriviaQA, 20 answers of LLaMA-13B each, as Lin et al. published them. Not part of
//! the repository.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::data::jsonl;
use crate::records::{PromptText, Response, Sample};

/// The file of answers, as the peer reads it too.
pub(super) const ANSWERS: &str = "data/triviaqa-llama13b/generations.jsonl";

/// A file beside the checkout, or where `UDASA_SHARED` says; none where it is not there.
pub(in crate::bench) fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("UDASA_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    Some(root.join(path)).filter(|path| path.exists())
}

#[derive(Deserialize)]
struct Question {
    id: String,
    question: String,
    generations: Generations,
}

#[derive(Deserialize)]
struct Generations {
    text_cleaned: Vec<String>,
}

/// The questions as samples; none without the data.
pub(super) fn questions() -> Result<Option<Vec<Sample>>> {
    let Some(path) = shared(ANSWERS) else { return Ok(None) };
    let questions: Vec<Question> = jsonl::read(&path).context("reading the answers")?;
    let sample = |row: Question| Sample {
        id: row.id,
        prompt: PromptText::Text(row.question),
        group: None,
        prompt_token_ids: Vec::new(),
        responses: row
            .generations
            .text_cleaned
            .into_iter()
            .map(|text| Response { text, ..Response::default() })
            .collect(),
    };
    Ok(Some(questions.into_iter().map(sample).collect()))
}
