//! `[[scorer]]`: the plugins that score.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::records::QuestionKind;

use super::one_f;

/// One scorer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scorer {
    /// The plugin's name, as it describes itself.
    pub plugin: String,
    /// Name of this use of it in records and the report; the plugin's name where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Weight among the scorers of the same dimension.
    #[serde(default = "one_f")]
    #[schemars(range(min = 0.0))]
    pub weight: f64,
    /// Kinds of question it may ask.
    #[serde(default)]
    pub grant: Vec<QuestionKind>,
    /// The plugin's own settings.
    #[serde(default)]
    pub settings: BTreeMap<String, serde_json::Value>,
    /// What happens to a sample on which it fails.
    #[serde(default)]
    pub on_fault: OnFault,
    /// Hex SHA-256 that the plugin's file must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// Run the shared library `PLUGIN.so` of the plugin directory instead of the component: without a sandbox and without
    /// limits, so `sha256` must pin it.
    #[serde(default)]
    pub native: bool,
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFault {
    /// The run stops; what was computed stays.
    #[default]
    Stop,
    /// The sample is recorded as faulty and makes no pair.
    Skip,
}
