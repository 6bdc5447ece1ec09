//! Finds what an id means: a pair, or a prompt with or without pairs. An unknown one is an error with the nearest ids.

use std::path::Path;

use crate::error::UserError;
use crate::records::Sample;
use crate::report::read::{RunFiles, each_line};

/// What is to be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The prompt.
    pub prompt_id: String,
    /// Indices into the pairs: the one asked for, or all of the prompt's.
    pub pairs: Vec<usize>,
}

/// Finds it.
pub fn find(run: &Path, files: &RunFiles, id: &str) -> Result<Subject, UserError> {
    let pairs = files.pairs.as_deref().unwrap_or_default();
    if let Some(at) = pairs.iter().position(|pair| pair.id == id) {
        return Ok(Subject { prompt_id: pairs[at].prompt_id.clone(), pairs: vec![at] });
    }
    let own: Vec<usize> = (0..pairs.len()).filter(|&i| pairs[i].prompt_id == id).collect();
    let dropped = files.drops.iter().flatten().any(|drop| drop.prompt_id == id);
    let mut prompts: Vec<String> = Vec::new();
    // A prompt without pair or drop is still known by its responses.
    let read = each_line(run, "responses.jsonl", "generation has not run", |sample: Sample| {
        prompts.push(sample.id);
    });
    if !own.is_empty() || dropped || prompts.iter().any(|prompt| prompt == id) {
        return Ok(Subject { prompt_id: id.into(), pairs: own });
    }
    match (&files.pairs, read) {
        (Err(absent), Err(_)) => {
            Err(UserError::new(format!("{} holds nothing to explain: {}", run.display(), absent.0))
                .hint("run the job first: `udasa run CONFIG`"))
        }
        _ => Err(unknown(run, id, pairs.iter().map(|p| p.id.as_str()), &prompts)),
    }
}

/// Ids offered.
const OFFERED: usize = 3;
/// A typed id as like as this to a known one is taken for a slip (Jaro–Winkler).
const ALIKE: f64 = 0.8;

fn unknown<'a>(run: &Path, id: &str, pairs: impl Iterator<Item = &'a str>, prompts: &'a [String]) -> UserError {
    let error = UserError::new(format!("{} knows no pair or prompt `{id}`", run.display()));
    let mut near: Vec<(f64, &str)> = pairs
        .chain(prompts.iter().map(String::as_str))
        .map(|known| {
            // The beginning of an id is as good as a slip.
            let likeness = if !id.is_empty() && known.starts_with(id) { 1.0 } else { strsim::jaro_winkler(id, known) };
            (likeness, known)
        })
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.truncate(OFFERED);
    if near.is_empty() {
        return error.hint("ids stand in pairs.jsonl (pairs) and drops.jsonl (prompts that made none)");
    }
    let offered: Vec<&str> = near.into_iter().map(|(_, known)| known).collect();
    error.hint(format!("did you mean {}?", offered.join(" or ")))
}
