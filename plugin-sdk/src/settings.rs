//! Settings from the config: JSON text to a typed value, or all that is wrong with it at once.
//!
//! serde stops at the first error, so the text is first walked against the JSON Schema of the type, which finds every
//! unknown key, wrong type, unknown name and value out of range. The walk is strict: a key that the type does not
//! have is a problem even without `deny_unknown_fields`, because a setting that is silently ignored is worse than an
//! error.

mod closest;
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
    let mut schema = schema.to_value();
    close(&mut schema);
    schema
}

/// Says of every table that says nothing of further keys that it has none, so that the schema a user is shown is as
/// strict as the check.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let is_table = fields.get("type").is_some_and(|name| name == "object");
            fields.values_mut().for_each(close);
            if is_table && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
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

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
