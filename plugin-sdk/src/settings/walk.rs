//! Walks a value against the part of JSON Schema that schemars writes, and reports every departure with its path.

use serde_json::{Map, Value};

use super::closest::closest;
use crate::Problem;

/// Every departure of the value from the schema.
pub(super) fn walk(schema: &Value, value: &Value) -> Vec<Problem> {
    let mut walk = Walk { path: Vec::new(), problems: Vec::new() };
    walk.value(schema, value);
    walk.problems
}

struct Walk {
    path: Vec<String>,
    problems: Vec<Problem>,
}

impl Walk {
    fn report(&mut self, message: String) {
        self.problems.push(Problem::new(self.path.join("."), message));
    }

    fn at(&mut self, step: impl ToString, schema: &Value, value: &Value) {
        self.path.push(step.to_string());
        self.value(schema, value);
        self.path.pop();
    }

    fn value(&mut self, schema: &Value, value: &Value) {
        // `true` and anything that is not a schema object allow every value.
        let Some(schema) = schema.as_object() else {
            return;
        };
        if let Some(names) = names(schema) {
            return self.name(&names, value);
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(branches) = schema.get(key).and_then(Value::as_array) {
                self.branches(branches, value);
            }
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.value(part, value);
        }
        let types = types(schema);
        if !types.is_empty() && !types.iter().any(|name| is_of(value, name)) {
            return self.report(format!("expected {}, found {}", expected(&types), found(value)));
        }
        match value {
            Value::Number(_) => self.range(schema, value),
            Value::Array(items) => self.items(schema, items),
            Value::Object(fields) => self.fields(schema, fields),
            Value::String(text) => {
                let limit = |key| schema.get(key).and_then(Value::as_u64);
                let count = text.chars().count() as u64;
                if let Some(least) = limit("minLength").filter(|least| count < *least) {
                    self.report(format!("needs at least {least} characters"));
                }
                if let Some(most) = limit("maxLength").filter(|most| count > *most) {
                    self.report(format!("has {count} characters, allowed: at most {most}"));
                }
            }
            _ => {}
        }
    }

    fn name(&mut self, names: &[&str], value: &Value) {
        match value.as_str() {
            Some(text) if names.contains(&text) => {}
            Some(text) => {
                let all = quoted(names);
                let cure = closest(text, names).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                self.report(format!("unknown value `{text}`, expected one of {all}{cure}"));
            }
            None => self.report(format!("expected one of {}, found {}", quoted(names), found(value))),
        }
    }

    /// Of several forms, the one whose type fits is held against the value.
    fn branches(&mut self, branches: &[Value], value: &Value) {
        let fits = |branch: &&Value| {
            let types = branch.as_object().map(types).unwrap_or_default();
            types.is_empty() || types.iter().any(|name| is_of(value, name))
        };
        let candidates: Vec<&Value> = branches.iter().filter(fits).collect();
        if candidates.is_empty() {
            let all: Vec<&str> = branches.iter().filter_map(Value::as_object).flat_map(types).collect();
            return self.report(format!("expected {}, found {}", expected(&all), found(value)));
        }
        let mut fewest: Option<Vec<Problem>> = None;
        for branch in candidates {
            let mut inner = Walk { path: self.path.clone(), problems: Vec::new() };
            inner.value(branch, value);
            if fewest.as_ref().is_none_or(|problems| inner.problems.len() < problems.len()) {
                fewest = Some(inner.problems);
            }
        }
        self.problems.extend(fewest.unwrap_or_default());
    }

    fn range(&mut self, schema: &Map<String, Value>, value: &Value) {
        let Some(number) = value.as_f64() else { return };
        // Bounds are printed as JSON values: formatting floats would cost every plugin 15 KB.
        let broken = |key: &str, breaks: fn(f64, f64) -> bool| {
            schema.get(key).filter(|bound| bound.as_f64().is_some_and(|bound| breaks(number, bound)))
        };
        let allowed = if broken("minimum", |x, low| x < low).or(broken("maximum", |x, high| x > high)).is_some() {
            match (schema.get("minimum"), schema.get("maximum")) {
                (Some(low), Some(high)) => format!("between {low} and {high}"),
                (Some(low), None) => format!("at least {low}"),
                (None, high) => format!("at most {}", high.unwrap_or(&Value::Null)),
            }
        } else if let Some(low) = broken("exclusiveMinimum", |x, low| x <= low) {
            format!("above {low}")
        } else if let Some(high) = broken("exclusiveMaximum", |x, high| x >= high) {
            format!("below {high}")
        } else if let Some(most) = fits(schema, value).err() {
            most
        } else {
            return;
        };
        self.report(format!("{value} is out of range, allowed: {allowed}"));
    }

    fn items(&mut self, schema: &Map<String, Value>, items: &[Value]) {
        let limit = |key| schema.get(key).and_then(Value::as_u64);
        let count = items.len() as u64;
        if limit("minItems").is_some_and(|least| count < least) || limit("maxItems").is_some_and(|most| count > most) {
            let allowed = match (limit("minItems"), limit("maxItems")) {
                (Some(least), Some(most)) if least == most => format!("exactly {least}"),
                (Some(least), Some(most)) => format!("{least} to {most}"),
                (Some(least), None) => format!("at least {least}"),
                (_, most) => format!("at most {}", most.unwrap_or(u64::MAX)),
            };
            self.report(format!("has {count} items, allowed: {allowed}"));
        }
        let first = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(index).or(schema.get("items")) {
                self.at(index, schema, item);
            }
        }
    }

    fn fields(&mut self, schema: &Map<String, Value>, fields: &Map<String, Value>) {
        let known = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties").filter(|others| others.as_bool() != Some(false));
        for (key, value) in fields {
            match (known.and_then(|known| known.get(key)), others) {
                (Some(schema), _) | (None, Some(schema)) => self.at(key, schema, value),
                (None, None) => {
                    let names: Vec<&str> = known.into_iter().flat_map(Map::keys).map(String::as_str).collect();
                    let cure = closest(key, &names).map_or_else(
                        || {
                            if names.is_empty() { String::new() } else { format!("; known are {}", quoted(&names)) }
                        },
                        |near| format!("; did you mean `{near}`?"),
                    );
                    self.path.push(key.clone());
                    self.report(format!("unknown key{cure}"));
                    self.path.pop();
                }
            }
        }
        for key in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(key) {
                self.report(format!("`{key}` is missing"));
            }
        }
    }
}

/// The names of an enum without content: schemars writes `enum`, or `oneOf` of `const` where variants have docs.
fn names(schema: &Map<String, Value>) -> Option<Vec<&str>> {
    if let Some(name) = schema.get("const").and_then(Value::as_str) {
        return Some(vec![name]);
    }
    if let Some(names) = schema.get("enum").and_then(Value::as_array) {
        return names.iter().map(Value::as_str).collect();
    }
    let branches = schema.get("oneOf").or(schema.get("anyOf"))?.as_array()?;
    let parts: Option<Vec<Vec<&str>>> = branches.iter().map(|branch| names(branch.as_object()?)).collect();
    parts.map(|parts| parts.concat())
}

/// Whether a whole number fits the Rust type that schemars names in `format`; the error is what would. Of the wider types
/// schemars writes no bounds.
fn fits(schema: &Map<String, Value>, value: &Value) -> Result<(), String> {
    fn of<T: TryFrom<u64> + TryFrom<i64>>(value: &Value, allowed: String) -> Result<(), String> {
        let unsigned = value.as_u64().map(|n| T::try_from(n).is_ok());
        let signed = value.as_i64().map(|n| T::try_from(n).is_ok());
        if unsigned.or(signed).unwrap_or(true) { Ok(()) } else { Err(allowed) }
    }
    match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => of::<u32>(value, format!("0 to {}", u32::MAX)),
        Some("uint64") => of::<u64>(value, format!("0 to {}", u64::MAX)),
        Some("uint") => of::<usize>(value, format!("0 to {}", usize::MAX)),
        Some("int32") => of::<i32>(value, format!("{} to {}", i32::MIN, i32::MAX)),
        Some("int64") => of::<i64>(value, format!("{} to {}", i64::MIN, i64::MAX)),
        Some("int") => of::<isize>(value, format!("{} to {}", isize::MIN, isize::MAX)),
        _ => Ok(()),
    }
}

fn types(schema: &Map<String, Value>) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ if names(schema).is_some() => vec!["string"],
        _ => Vec::new(),
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn expected(types: &[&str]) -> String {
    let words: Vec<&str> = types
        .iter()
        .filter(|name| **name != "null")
        .map(|name| match *name {
            "boolean" => "true or false",
            "integer" => "a whole number",
            "number" => "a number",
            "string" => "a text",
            "array" => "a list",
            _ => "a table",
        })
        .collect();
    words.join(" or ")
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        Value::String(_) => format!("the text {value}"),
        _ => format!("{value}"),
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
