//! The data room: prompts from JSONL, CSV or text lines, and responses and preference rows made elsewhere.
//!
//! Owns how files are read and how content becomes a stable id. In: `config::Data` and the run's seed. Out:
//! [`DataRead`], whose prompts are `prompts.jsonl`. A line that cannot be read is an error that names it; nothing is
//! skipped in silence. Does not know models, tokens or templates.

mod bad_lines;
mod fields;
mod hash;
pub mod jsonl;
mod parquet;
mod preferences;
mod prefix;
mod responses;
mod rows;
mod rows_csv;
#[cfg(test)]
pub(crate) mod test_folder;
mod text;
mod texts;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::config;
use crate::error::UserError;
use crate::records::{Prompt, PromptText};

pub use hash::{digest, hex, in_part, prompt_id, seed_for, sha256_hex, unit_draw};
pub use preferences::{Preference, dimension_column, read_preferences};
pub use responses::{read_responses, read_sample};
pub use texts::read_texts;

/// What was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DataRead {
    /// In the order of the files, each content once.
    pub prompts: Vec<Prompt>,
    /// Lines whose prompt stood on an earlier line.
    pub duplicates: Vec<Duplicate>,
    /// Lines that are right but make no prompt.
    pub dropped: Dropped,
}

/// A prompt that was read before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicate {
    /// Its file.
    pub path: PathBuf,
    /// Its line, from 1.
    pub line: usize,
    /// Where the one that is kept stands.
    pub first_path: PathBuf,
    /// Its line, from 1.
    pub first_line: usize,
}

/// Why lines made no prompt, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dropped {
    /// Their content hashes outside `part`.
    pub other_part: usize,
    /// Too short for `prefix_words`: a prefix must leave at least one word out.
    pub too_few_words: usize,
    /// Cut by `prefix_words` to a prompt that an earlier line was cut to.
    pub same_prefix: usize,
    /// Behind `limit`.
    pub over_limit: usize,
}

impl DataRead {
    /// What a person should know about the reading, one line each.
    pub fn notes(&self) -> Vec<String> {
        let shown = self.duplicates.iter().take(bad_lines::SHOWN).map(|d| {
            let place = if d.path == d.first_path {
                format!("line {}", d.first_line)
            } else {
                format!("{}:{}", d.first_path.display(), d.first_line)
            };
            format!("{}:{}: the same prompt as {place}; kept once", d.path.display(), d.line)
        });
        let mut notes: Vec<String> = shown.collect();
        if self.duplicates.len() > bad_lines::SHOWN {
            notes.push(format!("{} duplicates in all", self.duplicates.len()));
        }
        let dropped = &self.dropped;
        for (count, why) in [
            (dropped.other_part, "outside `part`"),
            (dropped.too_few_words, "with too few words for `prefix_words`"),
            (dropped.same_prefix, "cut to a prefix that an earlier line has"),
            (dropped.over_limit, "behind `limit`"),
        ] {
            if count > 0 {
                notes.push(format!("{count} lines {why}"));
            }
        }
        notes
    }
}

/// Reads the prompts and writes `prompts.jsonl`.
pub fn room(data: &config::Data, seed: u64, prompts_file: &Path) -> Result<DataRead> {
    let read = read(data, seed)?;
    jsonl::write(prompts_file, &read.prompts)?;
    Ok(read)
}

/// Reads the prompts that a `[data]` section names.
pub fn read(data: &config::Data, seed: u64) -> Result<DataRead> {
    if let Some(words) = data.prefix_words {
        prefix::check(words)?;
    }
    let rows = rows::read(data)?;
    let lines = rows.len();
    let mut read = DataRead::default();
    // id of the whole content → the row it was first seen on.
    let mut seen: HashMap<String, (PathBuf, usize)> = HashMap::new();
    let mut seen_prefixes: HashSet<String> = HashSet::new();
    for row in rows {
        if data.part.is_some_and(|part| !in_part(&row.content, &part)) {
            read.dropped.other_part += 1;
            continue;
        }
        let whole_id = prompt_id(&row.prompt);
        if let Some((first_path, first_line)) = seen.get(&whole_id) {
            read.duplicates.push(Duplicate {
                path: row.path,
                line: row.line,
                first_path: first_path.clone(),
                first_line: *first_line,
            });
            continue;
        }
        seen.insert(whole_id.clone(), (row.path.clone(), row.line));
        let (prompt, id) = match (data.prefix_words, row.prompt) {
            (None, prompt) => (prompt, whole_id),
            (Some(words), PromptText::Text(text)) => {
                let Some(prefix) = prefix::cut(&text, words, seed, &whole_id) else {
                    read.dropped.too_few_words += 1;
                    continue;
                };
                let prompt = PromptText::Text(prefix.to_owned());
                let id = prompt_id(&prompt);
                if !seen_prefixes.insert(id.clone()) {
                    read.dropped.same_prefix += 1;
                    continue;
                }
                (prompt, id)
            }
            (Some(_), PromptText::Chat(_)) => {
                return Err(UserError::new(format!(
                    "{}:{}: `prefix_words` cuts text prompts, and this one is a list of messages",
                    row.path.display(),
                    row.line
                ))
                .hint("remove `prefix_words`, or give the prompts as strings")
                .into());
            }
        };
        if data.limit.is_some_and(|limit| read.prompts.len() >= limit) {
            read.dropped.over_limit += 1;
            continue;
        }
        read.prompts.push(Prompt { id, prompt, group: row.group });
    }
    if read.prompts.is_empty() {
        return Err(no_prompts(data, lines, &read).into());
    }
    Ok(read)
}

fn no_prompts(data: &config::Data, lines: usize, read: &DataRead) -> UserError {
    let files: Vec<String> = data.paths.iter().map(|path| path.display().to_string()).collect();
    let files = files.join(", ");
    if lines == 0 {
        return UserError::new(format!("{files}: no prompts, the data is empty"))
            .hint("`data.paths` must name files with at least one prompt");
    }
    UserError::new(format!("{files}: none of the {lines} prompts is left ({})", read.notes().join(", ")))
        .hint("widen `data.part` or `data.prefix_words`")
}

#[cfg(test)]
mod tests;
