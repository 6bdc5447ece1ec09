//! Is it a JSON Schema, and does a value pass it? As much of draft 2020-12 as describes settings; what else it holds is
//! taken on trust, as the host never relies on it: the plugin itself has the last word on its settings.

use std::cell::Cell;

use serde_json::{Map, Value};

const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];
/// Keys whose value is a schema, a list of schemas, or an object of schemas.
const ONE: [&str; 10] = [
    "additionalProperties",
    "items",
    "not",
    "contains",
    "propertyNames",
    "if",
    "then",
    "else",
    "unevaluatedProperties",
    "unevaluatedItems",
];
const LISTS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
const TABLES: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
const COUNTS: [&str; 6] = ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];
const BOUNDS: [&str; 5] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
/// A reference that leads to itself must not lead us on for ever, nor one that does so in several branches.
const MOST_DEPTH: usize = 64;
const MOST_STEPS: usize = 100_000;

/// What keeps it from being a schema, with the place of each.
pub(super) fn defects(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Shape { root: schema, found: &mut found }.schema(schema, "", 0);
    found
}

struct Shape<'a> {
    root: &'a Value,
    found: &'a mut Vec<String>,
}

impl Shape<'_> {
    fn defect(&mut self, at: &str, what: String) {
        let at = if at.is_empty() { "the schema" } else { at };
        self.found.push(format!("{at} {what}"));
    }

    fn schema(&mut self, schema: &Value, at: &str, depth: usize) {
        let fields = match schema {
            Value::Bool(_) => return,
            Value::Object(fields) => fields,
            other => return self.defect(at, format!("is {other}, not an object, true or false")),
        };
        if depth > MOST_DEPTH {
            return self.defect(at, format!("lies more than {MOST_DEPTH} deep"));
        }
        for (key, value) in fields {
            let here = format!("{at}/{key}");
            match key.as_str() {
                "type" => self.types(value, &here),
                "enum" if !value.is_array() => self.defect(&here, "is not a list".to_owned()),
                "required" if !is_strings(value) => self.defect(&here, "is not a list of names".to_owned()),
                "title" | "description" | "pattern" | "format" if !value.is_string() => {
                    self.defect(&here, "is not a text".to_owned());
                }
                "$ref" => match value.as_str() {
                    None => self.defect(&here, "is not a text".to_owned()),
                    Some(reference) if resolve(self.root, reference).is_none() => {
                        self.defect(&here, format!("points to {reference}, which is not there"));
                    }
                    Some(_) => {}
                },
                key if ONE.contains(&key) => self.schema(value, &here, depth + 1),
                key if LISTS.contains(&key) => match value.as_array().filter(|list| !list.is_empty()) {
                    None => self.defect(&here, "is not a list of schemas".to_owned()),
                    Some(list) => {
                        for (index, part) in list.iter().enumerate() {
                            self.schema(part, &format!("{here}/{index}"), depth + 1);
                        }
                    }
                },
                key if TABLES.contains(&key) => match value.as_object() {
                    None => self.defect(&here, "is not an object of schemas".to_owned()),
                    Some(table) => {
                        for (name, part) in table {
                            self.schema(part, &format!("{here}/{name}"), depth + 1);
                        }
                    }
                },
                key if COUNTS.contains(&key) && value.as_u64().is_none() => {
                    self.defect(&here, "is not a whole number from 0".to_owned());
                }
                key if BOUNDS.contains(&key) && !value.is_number() => {
                    self.defect(&here, "is not a number".to_owned());
                }
                _ => {}
            }
        }
    }

    fn types(&mut self, value: &Value, at: &str) {
        let names: Vec<&Value> = match value {
            Value::Array(names) => names.iter().collect(),
            name => vec![name],
        };
        for name in names {
            if !name.as_str().is_some_and(|name| TYPES.contains(&name)) {
                self.defect(at, format!("is {name}, which is no type"));
            }
        }
    }
}

/// How the value departs from the schema; empty where it passes.
pub(super) fn departures(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Walk { root: schema, steps: Cell::new(0) }.departs(schema, value, "", 0, &mut found);
    found
}

struct Walk<'a> {
    root: &'a Value,
    steps: Cell<usize>,
}

impl Walk<'_> {
    fn departs(&self, schema: &Value, value: &Value, at: &str, depth: usize, found: &mut Vec<String>) {
        self.steps.set(self.steps.get() + 1);
        let mut say = |what: String| found.push(if at.is_empty() { what } else { format!("{at}: {what}") });
        let fields = match schema {
            Value::Bool(false) => return say("nothing is allowed here".to_owned()),
            Value::Object(fields) if depth <= MOST_DEPTH && self.steps.get() <= MOST_STEPS => fields,
            _ => return,
        };
        if let Some(types) = types(fields)
            && !types.iter().any(|name| is_of(value, name))
        {
            return say(format!("{value} is not of type {}", types.join(" or ")));
        }
        if let Some(choices) = fields.get("enum").and_then(Value::as_array)
            && !choices.contains(value)
        {
            say(format!("{value} is none of the choices"));
        }
        if let Some(only) = fields.get("const")
            && only != value
        {
            say(format!("{value} is not {only}"));
        }
        if let Some(number) = value.as_f64() {
            let bound = |key: &str| fields.get(key).and_then(Value::as_f64);
            let out = bound("minimum").is_some_and(|low| number < low)
                || bound("maximum").is_some_and(|high| number > high)
                || bound("exclusiveMinimum").is_some_and(|low| number <= low)
                || bound("exclusiveMaximum").is_some_and(|high| number >= high);
            if out {
                say(format!("{value} is out of range"));
            }
        }
        let count = match value {
            Value::String(text) => Some((text.chars().count(), "Length")),
            Value::Array(items) => Some((items.len(), "Items")),
            Value::Object(fields) => Some((fields.len(), "Properties")),
            _ => None,
        };
        if let Some((count, what)) = count {
            let limit = |end: &str| fields.get(&format!("{end}{what}")).and_then(Value::as_u64);
            if limit("min").is_some_and(|least| (count as u64) < least)
                || limit("max").is_some_and(|most| count as u64 > most)
            {
                say(format!("{value} is too long or too short"));
            }
        }
        for key in fields.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if value.as_object().is_some_and(|value| !value.contains_key(key)) {
                say(format!("`{key}` is missing"));
            }
        }
        let below = |part: &Value, value: &Value, at: &str, found: &mut Vec<String>| {
            self.departs(part, value, at, depth + 1, found);
        };
        if let Some(target) =
            fields.get("$ref").and_then(Value::as_str).and_then(|reference| resolve(self.root, reference))
        {
            below(target, value, at, found);
        }
        for part in fields.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            below(part, value, at, found);
        }
        for key in ["anyOf", "oneOf"] {
            let Some(branches) = fields.get(key).and_then(Value::as_array) else { continue };
            let passes = |branch: &&Value| {
                let mut inner = Vec::new();
                below(branch, value, at, &mut inner);
                inner.is_empty()
            };
            if !branches.iter().any(|branch| passes(&branch)) {
                found.push(format!(
                    "{}{value} fits none of the forms",
                    if at.is_empty() { String::new() } else { format!("{at}: ") }
                ));
            }
        }
        members(fields, value, at, found, &below);
    }
}

/// Checks a part of the schema against the value below a path, and adds what it finds.
type Below<'a> = &'a dyn Fn(&Value, &Value, &str, &mut Vec<String>);

fn members(fields: &Map<String, Value>, value: &Value, at: &str, found: &mut Vec<String>, below: Below<'_>) {
    let inside = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    if let Value::Object(members) = value {
        let known = fields.get("properties").and_then(Value::as_object);
        let others = fields.get("additionalProperties").filter(|_| !fields.contains_key("patternProperties"));
        for (name, member) in members {
            if let Some(part) = known.and_then(|known| known.get(name)).or(others) {
                below(part, member, &inside(name), found);
            }
        }
    }
    if let Value::Array(items) = value {
        let first = fields.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (index, item) in items.iter().enumerate() {
            if let Some(part) = first.get(index).or(fields.get("items")) {
                below(part, item, &inside(&index.to_string()), found);
            }
        }
    }
}

fn types(fields: &Map<String, Value>) -> Option<Vec<&str>> {
    match fields.get("type")? {
        Value::String(name) => Some(vec![name]),
        Value::Array(names) => Some(names.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|x| x.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

fn is_strings(value: &Value) -> bool {
    value.as_array().is_some_and(|names| names.iter().all(Value::is_string))
}

/// Within the schema only: nothing is fetched.
fn resolve<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    root.pointer(reference.strip_prefix('#')?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_no_schema_is_named_with_its_place() {
        assert_eq!(
            defects(&json!({"type": "object", "properties": {"a": {"type": ["integer", "null"]}, "b": true}})),
            [""; 0]
        );
        let cases = [
            (json!({"type": "float"}), "/type is \"float\", which is no type"),
            (json!({"properties": {"a": 3}}), "/properties/a is 3, not an object, true or false"),
            (json!({"properties": []}), "/properties is not an object of schemas"),
            (json!({"anyOf": []}), "/anyOf is not a list of schemas"),
            (json!({"required": "a"}), "/required is not a list of names"),
            (json!({"items": {"minLength": -1}}), "/items/minLength is not a whole number from 0"),
            (json!({"minimum": "0"}), "/minimum is not a number"),
            (json!({"$ref": "#/$defs/a"}), "/$ref points to #/$defs/a, which is not there"),
        ];
        for (schema, defect) in cases {
            assert_eq!(defects(&schema), [defect]);
        }
    }

    #[test]
    fn a_value_that_departs_is_named_with_its_place() {
        let schema = json!({
            "type": "object",
            "required": ["kind"],
            "additionalProperties": false,
            "properties": {
                "kind": {"enum": ["a", "b"]},
                "n": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
                "list": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/word"}}
            },
            "$defs": {"word": {"type": "string", "minLength": 1}}
        });
        assert_eq!(defects(&schema), [""; 0]);
        let passes = |value: Value| departures(&schema, &value);
        assert_eq!(passes(json!({"kind": "a", "n": null, "list": ["x"]})), [""; 0]);
        assert_eq!(passes(json!({})), ["`kind` is missing"]);
        assert_eq!(passes(json!({"kind": "c"})), ["kind: \"c\" is none of the choices"]);
        assert_eq!(passes(json!({"kind": "a", "n": 0})), ["n: 0 fits none of the forms"]);
        assert_eq!(passes(json!({"kind": "a", "m": 0})), ["m: nothing is allowed here"]);
        assert_eq!(passes(json!({"kind": "a", "list": [""]})), ["list.0: \"\" is too long or too short"]);
        assert_eq!(passes(json!([])), ["[] is not of type object"]);
    }

    #[test]
    fn a_schema_that_refers_to_itself_comes_to_an_end() {
        let twice = json!({"anyOf": [{"$ref": "#"}, {"$ref": "#", "type": "array"}], "type": "object"});
        assert_eq!(departures(&twice, &json!({})), [""; 0]);
        let schema = json!({"$ref": "#"});
        assert_eq!((defects(&schema), departures(&schema, &json!({}))), (vec![], vec![]));
    }
}
