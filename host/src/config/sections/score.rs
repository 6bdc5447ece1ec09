//! `[score]`: how scores become one `u`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Scaling and combining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Score {
    /// How a scorer's values are brought to one scale, over the whole data set.
    pub scale: Scale,
    /// How the dimensions become one `u`.
    pub combine: Combine,
    /// Weights of the dimensions, by name; those left out weigh 1, and they are normalised over the dimensions scored.
    pub weights: BTreeMap<String, f64>,
    /// A response whose raw value uncertainty is above this may never be chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub veto_value_above: Option<f64>,
    /// A scaler that an earlier run saved (`scaler.json`), used instead of fitting one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaler: Option<PathBuf>,
}

impl Default for Score {
    fn default() -> Self {
        Self {
            scale: Scale::Robust,
            combine: Combine::Mean,
            weights: BTreeMap::new(),
            veto_value_above: None,
            scaler: None,
        }
    }
}

/// Scaling over the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// (x − median) / IQR through a logistic.
    Robust,
    /// Linear from the 5 % to the 95 % quantile, clipped.
    Quantile,
    /// Rank among all values, ties sharing their mean rank.
    Rank,
    /// As the plugin gave it.
    None,
}

/// Combining dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// Weighted mean.
    Mean,
    /// The largest.
    Max,
}
