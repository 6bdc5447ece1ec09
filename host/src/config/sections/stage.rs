//! `[stage]`: the staging policy.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Staging.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageSection {
    /// The staging policy's name, as it describes itself.
    pub policy: String,
    /// The policy's own settings.
    #[serde(default)]
    pub settings: BTreeMap<String, serde_json::Value>,
    /// Hex SHA-256 that the plugin's file must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// Run the shared library `POLICY.so` of the plugin directory instead of the component: without a sandbox and without
    /// limits, so `sha256` must pin it.
    #[serde(default)]
    pub native: bool,
}
