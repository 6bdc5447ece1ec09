//! Files to rows: every prompt with its place, before parts, duplicates and limits.

use std::path::{Path, PathBuf};

use super::bad_lines::BadLines;
use super::{fields, hash, rows_csv, text};
use crate::config::{Data, DataFormat};
use crate::error::UserError;
use crate::records::PromptText;

/// The default of `data.group_field`, which need not exist in the data.
pub(super) const DEFAULT_GROUP: &str = "group";

/// One prompt and where it stood.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub path: PathBuf,
    /// From 1.
    pub line: usize,
    /// What `part` hashes.
    pub content: String,
    pub prompt: PromptText,
    pub group: Option<String>,
}

impl Row {
    pub fn new(path: &Path, line: usize, prompt: PromptText, group: Option<String>) -> Self {
        Self { path: path.to_owned(), line, content: hash::content(&prompt), prompt, group }
    }
}

/// All rows of all files. All bad lines at once.
pub(super) fn read(data: &Data) -> Result<Vec<Row>, UserError> {
    let mut rows = Vec::new();
    let mut bad = BadLines::default();
    let mut hint = "";
    let mut jsonl_lines = 0;
    for path in &data.paths {
        let format = format(path, data.format)?;
        let text = text::read(path, data.encoding, text::SET_ENCODING)?;
        match format {
            DataFormat::Text => rows.extend(
                text::lines(&text)
                    .filter(|(_, line)| !line.trim().is_empty())
                    .map(|(n, line)| Row::new(path, n, PromptText::Text(line.to_owned()), None)),
            ),
            DataFormat::Jsonl => {
                hint = "JSONL holds one object a line, such as {\"prompt\": \"…\"}; `data.field` names the prompt's field, `data.format` another format";
                for (n, line) in text::lines(&text) {
                    if line.trim().is_empty() {
                        continue;
                    }
                    jsonl_lines += 1;
                    match jsonl_row(line, data) {
                        Ok((prompt, group)) => rows.push(Row::new(path, n, prompt, group)),
                        Err(reason) => bad.push(path, n, &reason, line),
                    }
                }
            }
            DataFormat::Csv => {
                hint = "every line needs as many cells as the header; a cell with commas, quotes or line ends stands in double quotes";
                rows_csv::read(path, &text, data, &mut rows, &mut bad)?;
            }
        }
    }
    bad.check(hint)?;
    // A column that the user named and that no line has is a typing error, not a set without groups.
    let named = data.group_field != DEFAULT_GROUP;
    if named && jsonl_lines > 0 && rows.iter().all(|row| row.group.is_none()) {
        return Err(UserError::new(format!("no line has the group field `{}`", data.group_field))
            .hint("correct `data.group_field`, or remove it"));
    }
    Ok(rows)
}

fn jsonl_row(line: &str, data: &Data) -> Result<(PromptText, Option<String>), String> {
    let object = fields::object(line)?;
    let value = fields::find(&object, &data.field).ok_or_else(|| fields::missing(&object, &data.field))?;
    let prompt = fields::prompt(value, &data.field)?;
    let group = fields::group(fields::find(&object, &data.group_field), &data.group_field)?;
    Ok((prompt, group))
}

/// As the config says, or by the file's ending.
fn format(path: &Path, stated: Option<DataFormat>) -> Result<DataFormat, UserError> {
    if let Some(format) = stated {
        return Ok(format);
    }
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("jsonl" | "ndjson" | "json") => Ok(DataFormat::Jsonl),
        Some("csv") => Ok(DataFormat::Csv),
        Some("txt" | "text") => Ok(DataFormat::Text),
        _ => Err(UserError::new(format!("{}: the ending does not tell the format", path.display()))
            .hint("set `data.format` to \"jsonl\", \"csv\" or \"text\"")),
    }
}
