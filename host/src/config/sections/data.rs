//! `[data]`: where the prompts come from.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file of prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The files, in order.
    #[schemars(length(min = 1))]
    pub paths: Vec<PathBuf>,
    /// `jsonl` (one object a line), `csv` (a header line) or `text` (one prompt a line). By the file's ending where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<DataFormat>,
    /// The JSONL field or CSV column that holds the prompt: a string, or a list of messages in JSONL.
    #[serde(default = "prompt_field")]
    pub field: String,
    /// The JSONL field or CSV column that holds the group, where there is one.
    #[serde(default = "group_field")]
    pub group_field: String,
    /// `utf-8` or `latin-1`.
    #[serde(default)]
    pub encoding: Encoding,
    /// Keep this many prompts at the most, the first ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub limit: Option<usize>,
    /// Use only one part of the lines, divided by a hash of their content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Cut every text prompt to its first n words, n drawn per prompt from this closed range. Prompts with fewer words are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_words: Option<[usize; 2]>,
}

fn prompt_field() -> String {
    "prompt".into()
}
fn group_field() -> String {
    "group".into()
}

/// How prompts are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DataFormat {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated, with a header line.
    Csv,
    /// One prompt a line.
    Text,
}

/// How text is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Encoding {
    /// UTF-8.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// ISO 8859-1.
    #[serde(rename = "latin-1")]
    Latin1,
}

/// A part of the lines of a file: those whose content hashes into [from, to) of the unit interval. Two configs that name
/// the same parts divide the same file the same way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Included.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub from: f64,
    /// Excluded.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub to: f64,
}
