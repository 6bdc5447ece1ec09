//! The lines of an evaluation file (JSONL), as written: see docs/evaluate.md.
//!
//! Owns the shapes and how a line is recognised by its keys; compiles nothing, measures nothing.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::records::PromptText;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// Which measures are shown first, and which are averages of others. At most one a file.
    Header(Header),
    /// A prompt whose sampled responses are classified by patterns.
    Generation(GenerationItem),
    /// A question with options, of which one is correct.
    Choose(ChooseItem),
}

/// Known by `headline` or `averages`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Header {
    /// The headline measures, in order of importance.
    pub headline: Vec<String>,
    /// Measures that are the plain mean of others.
    pub averages: BTreeMap<String, Vec<String>>,
}

/// Known by `prompt`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationItem {
    /// What is continued.
    pub prompt: PromptText,
    /// The measures it counts towards.
    pub measures: Vec<String>,
    /// Patterns of a good response.
    pub good: Vec<String>,
    /// Patterns of other kinds of response, by name; the first name in alphabetical order that matches counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Vec<String>>,
    /// Patterns of anything else that is still language. Where this is given (even empty), a response that matches nothing is garbled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub well_formed: Option<Vec<String>>,
}

/// Known by `choose`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChooseItem {
    /// The question.
    pub choose: Choose,
    /// Index of the correct option.
    pub correct: usize,
    /// The measures it counts towards.
    pub measures: Vec<String>,
    /// Whether the correct option is the one that means yes. Where all items of a measure say so, its AUC is measured too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive: Option<bool>,
    /// Items of one id are one question in several option orders: their probabilities are averaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// A question with options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choose {
    /// What stands before the option.
    pub prompt: PromptText,
    /// At least two continuations.
    pub options: Vec<String>,
}

impl Line {
    /// Reads a line; the error says what is wrong with it, without its number.
    pub fn parse(text: &str) -> Result<Self> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        let keys = value.as_object().ok_or_else(|| anyhow!("not a JSON object"))?;
        let has = |key| keys.contains_key(key);
        if has("choose") {
            Ok(Self::Choose(serde_json::from_value(value)?))
        } else if has("prompt") {
            Ok(Self::Generation(serde_json::from_value(value)?))
        } else if has("headline") || has("averages") {
            Ok(Self::Header(serde_json::from_value(value)?))
        } else {
            Err(anyhow!("none of `prompt`, `choose`, `headline` or `averages` is given"))
        }
    }
}
