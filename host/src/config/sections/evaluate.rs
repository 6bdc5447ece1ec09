//! `[evaluate]`: what is measured before and after.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Data, Encoding};

/// Evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evaluate {
    /// JSONL of prompts with labelled patterns (see docs/evaluate.md). Left out where `[world]` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patterns: Option<PathBuf>,
    /// Mean probability of a class, by a bag-of-words classifier trained on labelled texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier: Option<Classifier>,
    /// Responses sampled per evaluation prompt, at temperature 1.
    #[serde(default = "eval_responses")]
    #[schemars(range(min = 1, max = 1024))]
    pub responses: usize,
    /// Also measure after every stage, not only before and after.
    #[serde(default)]
    pub every_stage: bool,
    /// Measure every stage as soon as it is trained, and tell the staging policy the headline measures. A policy that decides by them trains
    /// towards this evaluation set: keep another one for the final word.
    #[serde(default)]
    pub tell_policy: bool,
    /// Conditions on the model before alignment: measure name to its least value. A gate that fails is shown; the run goes on.
    #[serde(default)]
    pub gates: BTreeMap<String, f64>,
}

fn eval_responses() -> usize {
    4
}

/// A bag-of-words classifier that neither the scorers nor the training saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Classifier {
    /// Name of the class that is measured, such as `positive`.
    pub class: String,
    /// Files or folders of texts of that class: every line of a file, every file of a folder is one text.
    #[schemars(length(min = 1))]
    pub texts: Vec<PathBuf>,
    /// Likewise, of the other class.
    #[schemars(length(min = 1))]
    pub other_texts: Vec<PathBuf>,
    /// Encoding of those files.
    #[serde(default)]
    pub encoding: Encoding,
    /// Prompts whose continuations are classified; the run's own prompts come from the same kind of section.
    pub prompts: Data,
    /// Labelled lines to state the classifier's own accuracy on: [files of the class, files of the other].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<[PathBuf; 2]>,
}
