//! Walks a value against the part of JSON Schema that schemars writes, and reports every departure with its path.

use serde_json::{Map, Value};

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
                if let Some(least) = schema.get("minLength").and_then(Value::as_u64) {
                    if (text.chars().count() as u64) < least {
                        self.report(format!("needs at least {least} characters"));
                    }
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

/// The name within a third of its length in edits.
fn closest<'a>(text: &str, names: &[&'a str]) -> Option<&'a str> {
    let near = names.iter().map(|name| (edits(text, name), *name)).min()?;
    (near.0 * 3 <= text.chars().count().max(3)).then_some(near.1)
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::settings::parse;

    #[derive(Debug, Deserialize, JsonSchema, Default)]
    #[serde(default)]
    struct Example {
        /// A range.
        #[schemars(range(min = 0.0, max = 1.0))]
        share: f64,
        count: Option<u32>,
        mode: Mode,
        pair: [String; 2],
        words: BTreeMap<String, f64>,
        #[schemars(length(min = 1))]
        parts: Option<Vec<Part>>,
        each: Option<OneOrMany>,
        #[serde(flatten)]
        more: More,
    }

    #[derive(Debug, Deserialize, JsonSchema, Default)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        /// With a doc.
        #[default]
        FirstMode,
        /// With another.
        SecondMode,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    struct Part {
        #[expect(dead_code, reason = "only its presence is checked")]
        text: String,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(untagged)]
    enum OneOrMany {
        One(#[expect(dead_code, reason = "only its type is checked")] f64),
        Many(#[expect(dead_code, reason = "only its type is checked")] Vec<f64>),
    }

    #[derive(Debug, Deserialize, JsonSchema, Default)]
    #[serde(default)]
    struct More {
        flat: bool,
    }

    fn problems(json: &str) -> Vec<String> {
        parse::<Example>(json).map_or_else(|problems| problems.iter().map(ToString::to_string).collect(), |_| vec![])
    }

    #[test]
    fn right_settings_pass_and_an_empty_table_is_the_default() {
        assert_eq!(problems("{}"), [""; 0]);
        let all = r#"{"share": 1, "count": 3, "mode": "second-mode", "pair": ["a", "b"], "words": {"x": -1.5},
            "parts": [{"text": "t"}], "each": [1, 2.5], "flat": true}"#;
        assert_eq!(problems(all), [""; 0]);
        assert_eq!(problems(r#"{"each": 2, "count": null}"#), [""; 0]);
        let parsed = parse::<Example>(all).ok();
        assert!(parsed.is_some_and(|example| example.more.flat && example.count == Some(3)));
    }

    #[test]
    fn all_problems_are_found_at_once_each_with_its_path() {
        let wrong = r#"{"shar": 0.5, "share": 2, "count": 1.5, "mode": "secondmode", "pair": ["a"], "words": {"x": "y"},
            "parts": [{"text": 1}, {}], "each": "x", "flat": "no"}"#;
        assert_eq!(
            problems(wrong),
            [
                "count: expected a whole number, found 1.5",
                "each: expected a number or a list, found the text \"x\"",
                "flat: expected true or false, found the text \"no\"",
                "mode: unknown value `secondmode`, expected one of `first-mode`, `second-mode`; did you mean `second-mode`?",
                "pair: has 1 items, allowed: exactly 2",
                "parts.0.text: expected a text, found 1",
                "parts.1: `text` is missing",
                "shar: unknown key; did you mean `share`?",
                "share: 2 is out of range, allowed: between 0.0 and 1.0",
                "words.x: expected a number, found the text \"y\"",
            ]
        );
    }

    #[test]
    fn what_is_not_a_table_or_not_json_is_one_problem() {
        assert_eq!(problems("[]"), ["expected a table, found a list"]);
        assert!(problems("{")[0].starts_with("the settings are not JSON: "));
        assert_eq!(problems(r#"{"parts": []}"#), ["parts: has 0 items, allowed: at least 1"]);
        assert_eq!(problems(r#"{"each": [1, "x"]}"#), ["each.1: expected a number, found the text \"x\""]);
    }
}
