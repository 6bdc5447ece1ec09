//! Settings from the config: JSON text to a typed value, or all that is wrong with it at once.
//!
//! serde stops at the first error, so the text is first walked against the JSON Schema of the type, which finds every
//! unknown key, wrong type, unknown name and value out of range. The walk is strict: a key that the type does not
//! have is a problem even without `deny_unknown_fields`, because a setting that is silently ignored is worse than an
//! error.

mod walk;

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Problem;

/// What every type of settings must be; implemented for all that are.
pub trait Settings: DeserializeOwned + JsonSchema + Default + 'static {}

impl<T: DeserializeOwned + JsonSchema + Default + 'static> Settings for T {}

/// The JSON Schema of a type of settings (draft 2020-12, everything in place, no `$ref`).
pub fn schema<T: Settings>() -> Value {
    let mut generator = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into_generator();
    let schema: Schema = T::json_schema(&mut generator);
    schema.to_value()
}

/// The settings, or all that is wrong with the text.
pub fn parse<T: Settings>(json: &str) -> Result<T, Vec<Problem>> {
    let value: Value = serde_json::from_str(json)
        .map_err(|error| vec![Problem::new("", format!("the settings are not JSON: {error}"))])?;
    let problems = walk::walk(&schema::<T>(), &value);
    if !problems.is_empty() {
        return Err(problems);
    }
    // What the schema cannot say (a custom `Deserialize`, say) is still caught, one problem at a time.
    serde_json::from_value(value).map_err(|error| vec![Problem::new("", error.to_string())])
}
