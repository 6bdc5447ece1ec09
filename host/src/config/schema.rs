//! Checks a document against the JSON Schema of [`ConfigFile`](super::ConfigFile): unknown and missing keys, types, ranges, choices,
//! lengths and patterns. Collects every problem; knows nothing of what the keys mean to each other (that is `cross`'s).

use serde_json::{Map, Value};

use super::document::{Document, join};
use super::problem::Problem;

/// The schema and its definitions.
pub struct Schema {
    root: Value,
}

impl Schema {
    /// The schema of the config file.
    pub fn of_config() -> Self {
        Self { root: schemars::schema_for!(super::ConfigFile).into() }
    }

    /// The schema of the whole file.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// Follows references, and takes the form a written value has where `null` stands for a key left out. Of several forms, the first.
    pub fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        self.form(schema, |_| true).unwrap_or(schema)
    }

    /// The form that is a list, of a value that may also be something else: `train.loss`.
    pub fn list_form<'a>(&'a self, schema: &'a Value) -> Option<&'a Value> {
        let is_list = |schema: &Value| kind(schema) == "array";
        self.form(schema, is_list).filter(|_| !is_list(self.resolve(schema)))
    }

    /// The first form that fits, references followed.
    fn form<'a>(&'a self, schema: &'a Value, fits: impl Fn(&Value) -> bool + Copy) -> Option<&'a Value> {
        let reference = schema.get("$ref").and_then(Value::as_str);
        if let Some(definition) =
            reference.and_then(|r| r.strip_prefix("#/$defs/")).and_then(|name| self.root["$defs"].get(name))
        {
            return self.form(definition, fits);
        }
        match schema.get("anyOf").and_then(Value::as_array) {
            Some(forms) => forms.iter().filter(|form| form["type"] != "null").find_map(|form| self.form(form, fits)),
            None => Some(schema).filter(|schema| fits(schema)),
        }
    }

    /// Every problem of the document, in the order of the tree.
    pub fn check(&self, document: &Document) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.value(&document.root, &self.root, "", &mut problems);
        problems
    }

    fn value(&self, value: &Value, schema: &Value, path: &str, out: &mut Vec<Problem>) {
        let list = self.list_form(schema);
        let schema = match list {
            Some(list) if value.is_array() => list,
            _ => self.resolve(schema),
        };
        if let Some(choices) = choices(schema) {
            if !value.as_str().is_some_and(|text| choices.contains(&text)) {
                let allowed = quoted(&choices);
                let mut problem = Problem::new(path, format!("= {}: must be {allowed}", shown(value)));
                if let Some(near) = value.as_str().and_then(|text| nearest(text, &choices)) {
                    problem = problem.hint(format!("did you mean \"{near}\"?"));
                } else if let Some(list) = list {
                    problem = problem
                        .hint(format!("or a list of sections with the keys {}", self.keys(&list["items"]).join(", ")));
                }
                out.push(problem);
            }
            return;
        }
        match (kind(schema), value) {
            ("object", Value::Object(map)) => self.object(map, schema, path, out),
            ("array", Value::Array(items)) => self.array(items, schema, path, out),
            ("string", Value::String(text)) => string(text, schema, path, out),
            ("integer", Value::Number(n)) if !n.is_f64() => number(value, schema, path, out),
            ("number", Value::Number(_)) => number(value, schema, path, out),
            ("boolean", Value::Bool(_)) | ("", _) => {}
            (wanted, _) => out.push(wrong_type(wanted, value, schema, path)),
        }
    }

    fn object(&self, map: &Map<String, Value>, schema: &Value, path: &str, out: &mut Vec<Problem>) {
        let none = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&none);
        for (key, value) in map {
            let path = join(path, key);
            match (properties.get(key), &schema["additionalProperties"]) {
                (Some(property), _) => self.value(value, property, &path, out),
                (None, Value::Bool(false)) => out.push(self.unknown(key, &path, properties)),
                (None, other @ Value::Object(_)) => self.value(value, other, &path, out),
                (None, _) => {}
            }
        }
        let required = schema["required"].as_array().into_iter().flatten();
        for key in required.filter_map(Value::as_str) {
            if !map.contains_key(key) {
                let mut problem = Problem::new(join(path, key), "is missing");
                if let Some(meaning) = properties.get(key).and_then(|p| p["description"].as_str()) {
                    problem = problem.hint(format!("{key}: {meaning}"));
                }
                out.push(problem);
            }
        }
    }

    fn array(&self, items: &[Value], schema: &Value, path: &str, out: &mut Vec<Problem>) {
        let least = schema["minItems"].as_u64().unwrap_or(0);
        let most = schema["maxItems"].as_u64().unwrap_or(u64::MAX);
        let n = items.len() as u64;
        if n < least || n > most {
            let wanted = if least == most {
                format!("exactly {least}")
            } else if n < least {
                format!("at least {least}")
            } else {
                format!("at most {most}")
            };
            let message = format!("has {n} values: must have {wanted}");
            out.push(Problem::new(path, message));
        }
        for (i, item) in items.iter().enumerate() {
            self.value(item, &schema["items"], &join(path, &i.to_string()), out);
        }
    }

    fn unknown(&self, key: &str, path: &str, here: &Map<String, Value>) -> Problem {
        let known: Vec<&str> = here.keys().map(String::as_str).collect();
        let problem = Problem::new(path, "is not a key of the config");
        if let Some(near) = nearest(key, &known) {
            return problem.hint(format!("did you mean `{near}`?"));
        }
        match self.elsewhere(key) {
            Some(other) => problem.hint(format!("`{key}` belongs to [{other}]")),
            None => problem.hint(format!("the keys here are {}", known.join(", "))),
        }
    }

    /// The keys of a section.
    fn keys<'a>(&'a self, section: &'a Value) -> Vec<&'a str> {
        let properties = self.resolve(section)["properties"].as_object();
        properties.into_iter().flatten().map(|(key, _)| key.as_str()).collect()
    }

    /// The section that does have such a key, for keys written under the wrong header.
    fn elsewhere(&self, key: &str) -> Option<&str> {
        let sections = self.root["properties"].as_object()?;
        sections.iter().find_map(|(name, section)| {
            let section = self.resolve(section);
            section["properties"].get(key).map(|_| name.as_str())
        })
    }
}

/// The texts an enumeration allows; none where the schema is no enumeration.
pub fn choices(schema: &Value) -> Option<Vec<&str>> {
    if let Some(texts) = schema["enum"].as_array() {
        return Some(texts.iter().filter_map(Value::as_str).collect());
    }
    let forms = schema["oneOf"].as_array()?;
    let mut out = Vec::new();
    for form in forms {
        match (form["const"].as_str(), form["enum"].as_array()) {
            (Some(text), _) => out.push(text),
            (None, Some(texts)) => out.extend(texts.iter().filter_map(Value::as_str)),
            (None, None) => return None,
        }
    }
    Some(out)
}

/// The schema's type, without the `null` of optional keys; empty where any is allowed.
pub fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(one) => one,
        Value::Array(several) => several.iter().filter_map(Value::as_str).find(|t| *t != "null").unwrap_or_default(),
        _ => "",
    }
}

/// `between 0 and 100`, `at least 1`; none where any number will do.
pub fn range(schema: &Value) -> Option<String> {
    let bound = |key: &str| schema[key].as_f64();
    match (bound("minimum"), bound("maximum")) {
        (Some(low), Some(high)) => Some(format!("between {low} and {high}")),
        (Some(low), None) => Some(format!("at least {low}")),
        (None, Some(high)) => Some(format!("at most {high}")),
        (None, None) => None,
    }
}

/// The likeliest of the known words for a mistyped one.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), *candidate))
        // A third of the letters may be wrong, and one always.
        .filter(|(wrong, candidate)| *wrong <= (candidate.len().max(word.len()) / 3).max(1))
        .min_by_key(|(wrong, _)| *wrong)
        .map(|(_, candidate)| candidate)
}

/// `"a", "b" or "c"`.
fn quoted(words: &[&str]) -> String {
    match words {
        [] => "nothing".into(),
        [only] => format!("\"{only}\""),
        [all @ .., last] => {
            let all: Vec<String> = all.iter().map(|w| format!("\"{w}\"")).collect();
            format!("{} or \"{last}\"", all.join(", "))
        }
    }
}

/// A value as the user wrote it, cut where it is long.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "{ … }".into(),
        other => {
            let text = other.to_string();
            match text.char_indices().nth(60) {
                Some((cut, _)) => format!("{}…", &text[..cut]),
                None => text,
            }
        }
    }
}

fn number(value: &Value, schema: &Value, path: &str, out: &mut Vec<Problem>) {
    let x = value.as_f64().unwrap_or(f64::NAN);
    let low = schema["minimum"].as_f64().unwrap_or(f64::NEG_INFINITY);
    let high = schema["maximum"].as_f64().unwrap_or(f64::INFINITY);
    if x < low || x > high {
        let allowed = range(schema).unwrap_or_default();
        out.push(Problem::new(path, format!("= {value}: must be {allowed}")));
    }
}

fn string(text: &str, schema: &Value, path: &str, out: &mut Vec<Problem>) {
    let Some(pattern) = schema["pattern"].as_str() else {
        return;
    };
    if regex::Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text)) {
        let mut problem = Problem::new(path, format!("= {text:?}: must match {pattern}"));
        if let Some(meaning) = schema["description"].as_str() {
            problem = problem.hint(meaning);
        }
        out.push(problem);
    }
}

fn wrong_type(wanted: &str, value: &Value, schema: &Value, path: &str) -> Problem {
    let name = match wanted {
        "object" => "a section of keys",
        "array" => "a list",
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        other => other,
    };
    let range = range(schema).map_or(String::new(), |range| format!(", {range}"));
    let problem = Problem::new(path, format!("= {}: must be {name}{range}", shown(value)));
    match (wanted, value) {
        ("array", Value::String(_)) => problem.hint(format!("write it as [{}]", shown(value))),
        ("string", Value::Number(_) | Value::Bool(_)) => problem.hint(format!("write it as \"{}\"", shown(value))),
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let document = Document::parse(text).expect("valid TOML");
        Schema::of_config()
            .check(&document)
            .iter()
            .map(|p| match &p.hint {
                Some(hint) => format!("{p} | {hint}"),
                None => p.to_string(),
            })
            .collect()
    }

    fn one(text: &str) -> String {
        let all = problems(&format!("name = \"x\"\n{text}"));
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    #[test]
    fn unknown_keys_get_a_suggestion_from_here_or_from_another_section() {
        assert_eq!(one("[train]\nbta = 0.1"), "train.bta is not a key of the config | did you mean `beta`?");
        assert_eq!(
            one("[generate]\nbeta = 0.1"),
            "generate.beta is not a key of the config | `beta` belongs to [train]"
        );
        assert!(one("[stage]\npolicy = \"x\"\nqqqqqqq = 1").contains("the keys here are native, policy"));
    }

    #[test]
    fn numbers_out_of_range_name_the_range() {
        assert_eq!(one("[train]\nbeta = 200"), "train.beta = 200: must be between 0 and 100");
        assert_eq!(one("[train.lora]\nrank = 8\nalpha = -1.5"), "train.lora.alpha = -1.5: must be at least 0.000001");
        assert_eq!(
            one("[generate]\nresponses = 2.5"),
            "generate.responses = 2.5: must be a whole number, between 2 and 1024"
        );
    }

    #[test]
    fn choices_types_lengths_and_patterns_are_checked() {
        assert_eq!(
            one("[train]\nloss = \"dop\""),
            "train.loss = \"dop\": must be \"dpo\", \"cdpo\", \"robust\", \"ipo\", \"hinge\", \"sigmoid-norm\", \"simpo\", \"orpo\", \
             \"kto\", \"nca\", \"apo-zero\", \"apo-down\" or \"nll\" | did you mean \"dpo\"?"
        );
        assert_eq!(one("[data]\npaths = \"a\""), "data.paths = \"a\": must be a list | write it as [\"a\"]");
        assert_eq!(one("[train]\nadam_betas = [0.9]"), "train.adam_betas has 1 values: must have exactly 2");
        assert!(problems("name = \"a b\"")[0].contains("= \"a b\": must match"));
        assert!(one("[[scorer]]\nplugin = \"x\"\ngrant = [\"chose\"]").contains("scorer.0.grant.0"));
        assert_eq!(one("[world]\ndocuments = 5"), "world.kind is missing | kind: Which world; `mini` is the only one.");
    }

    #[test]
    fn a_value_of_two_forms_is_checked_as_the_form_that_was_written() {
        assert!(problems("name = \"x\"\n[train]\nloss = \"simpo\"").is_empty());
        assert!(
            problems("name = \"x\"\n[train]\nloss = [{ name = \"dpo\" }, { name = \"nca\", weight = 0.5 }]").is_empty()
        );
        assert_eq!(one("[[train.loss]]\nname = \"dpo\"\nweight = -1"), "train.loss.0.weight = -1: must be at least 0");
        assert!(one("[[train.loss]]\nname = \"dop\"").ends_with("| did you mean \"dpo\"?"));
        assert!(one("[[train.loss]]\nname = \"dpo\"\nwieght = 1").ends_with("| did you mean `weight`?"));
        assert_eq!(one("[train]\nloss = []"), "train.loss has 0 values: must have at least 1");
        assert!(
            one("[train]\nloss = { dpo = 1 }").ends_with("| or a list of sections with the keys beta, name, weight")
        );
        assert!(one("[train]\nloss = [\"dpo\"]").starts_with("train.loss.0 = \"dpo\": must be a section of keys"));
    }

    #[test]
    fn settings_of_plugins_and_names_of_gates_are_free() {
        assert!(
            problems(
                "name = \"x\"\n[[scorer]]\nplugin = \"x\"\n[scorer.settings]\nany = [1, \"a\"]\n[evaluate.gates]\n\"a/b\" = 0.5"
            )
            .is_empty()
        );
    }
}
