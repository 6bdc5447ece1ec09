//! `docs/config-reference.md`, made from the schema, so that it cannot say anything else than the program does.

use std::fmt::Write;

use serde_json::Value;

use super::schema::{Schema, choices, kind, range};

/// The sections in the order in which data flows; one that is missing here comes last.
const ORDER: [&str; 12] =
    ["world", "data", "model", "sft", "generate", "scorer", "score", "pair", "pairs", "stage", "train", "evaluate"];

const OPENING: &str = "\
# Config reference

A config is one TOML file. Every key the program knows is on this page; any other is an error. `udasa plan CONFIG` checks a
config without running it and reports every problem at once.

- Relative paths start from the folder in which `udasa` is started, not from the config's own folder.
- `--set section.key=value` writes over the file: `--set train.beta=0.2`, `--set stage.policy=unstaged`. The value is TOML; a bare
  word is text. A scorer is named by its number or its name: `--set scorer.value.weight=2`.
- **required** keys have no default. A section that is optional and left out is not used.

This page is made from the program's types: renew it with `udasa config-reference > docs/config-reference.md`.
";

/// The whole page, in Markdown.
pub fn config_reference() -> String {
    let schema = Schema::of_config();
    let mut page = Page { schema: &schema, text: OPENING.to_owned() };
    let root = schema.root();
    page.heading("Top level", None);
    page.table(root, |key| !page_of_its_own(&schema, &root["properties"][key]));
    for name in sections(root) {
        let property = &root["properties"][name];
        if page_of_its_own(&schema, property) {
            page.section(name, property);
        }
    }
    page.text
}

struct Page<'a> {
    schema: &'a Schema,
    text: String,
}

impl Page<'_> {
    fn heading(&mut self, title: &str, description: Option<&str>) {
        let _ = write!(self.text, "\n## {title}\n\n");
        if let Some(description) = description {
            let _ = write!(self.text, "{description}\n\n");
        }
    }

    /// One section and, after it, the sections inside it.
    fn section(&mut self, path: &str, property: &Value) {
        let schema = self.schema;
        let list = kind(property) == "array";
        let element = if list { &property["items"] } else { property };
        let title = if list { format!("`[[{path}]]`") } else { format!("`[{path}]`") };
        self.heading(&title, property["description"].as_str());
        let section = schema.resolve(element);
        self.table(section, |key| !page_of_its_own(schema, &section["properties"][key]));
        let inner = section["properties"].as_object().into_iter().flatten();
        for (key, property) in inner {
            let path = format!("{path}.{key}");
            if page_of_its_own(schema, property) {
                self.section(&path, property);
            } else if let Some(list) = schema.list_form(property).filter(|list| page_of_its_own(schema, list)) {
                let meaning = schema.resolve(&list["items"])["description"].as_str();
                self.heading(&format!("`[[{path}]]`"), meaning);
                self.table(schema.resolve(&list["items"]), |_| true);
            }
        }
    }

    fn table(&mut self, section: &Value, shown: impl Fn(&str) -> bool) {
        let Some(properties) = section["properties"].as_object() else {
            return;
        };
        let required = |key: &str| {
            let all = section["required"].as_array();
            all.is_some_and(|all| all.iter().any(|k| k == key))
        };
        let mut keys: Vec<&String> = properties.keys().filter(|key| shown(key)).collect();
        keys.sort_by_key(|key| (!required(key), key.as_str()));
        if keys.is_empty() {
            return;
        }
        self.text += "| key | type | default | meaning |\n|---|---|---|---|\n";
        for key in keys {
            let property = &properties[key];
            let default = match &property["default"] {
                _ if required(key) => "**required**".into(),
                Value::Null => "—".into(),
                value => format!("`{}`", as_toml(value)),
            };
            let kind = self.kind(property);
            let mut meaning = property["description"].as_str().unwrap_or("").to_owned();
            meaning += &self.choices(property);
            let _ = writeln!(
                self.text,
                "| `{key}` | {kind} | {default} | {} |",
                meaning.replace('|', "\\|").replace('\n', " ")
            );
        }
    }

    /// The type in words, with its range.
    fn kind(&self, property: &Value) -> String {
        let list = self.schema.list_form(property).map_or("", |_| ", or list of sections");
        let schema = self.schema.resolve(property);
        if choices(schema).is_some() {
            return format!("choice{list}");
        }
        let range = range(schema).map_or(String::new(), |range| format!(", {range}"));
        match kind(schema) {
            "array" => {
                let n = match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
                    (Some(least), Some(most)) if least == most => format!("{least} × "),
                    (Some(least), _) => format!("at least {least} × "),
                    _ => String::new(),
                };
                format!("list of {n}{}", self.kind(&schema["items"]))
            }
            "object" => match &schema["additionalProperties"] {
                inner @ Value::Object(_) => format!("section of {}", self.kind(inner)),
                _ => "section of anything".into(),
            },
            "string" => "text".into(),
            "integer" => format!("whole number{range}"),
            "number" => format!("number{range}"),
            "boolean" => "true or false".into(),
            _ => "anything".into(),
        }
    }

    /// Each choice with its meaning.
    fn choices(&self, property: &Value) -> String {
        let schema = self.schema.resolve(property);
        let schema = match kind(schema) {
            "array" => self.schema.resolve(&schema["items"]),
            _ => schema,
        };
        let Some(forms) = schema["oneOf"].as_array() else {
            return String::new();
        };
        forms
            .iter()
            .filter_map(|form| {
                let name = form["const"].as_str()?;
                let meaning = form["description"].as_str().unwrap_or_default();
                Some(format!("<br>`\"{name}\"`: {meaning}"))
            })
            .collect()
    }
}

/// Whether a key is a section with keys of its own. Small fixed ones are too: they can be written as `[section.key]`.
fn page_of_its_own(schema: &Schema, property: &Value) -> bool {
    let resolved = schema.resolve(property);
    let element = match kind(resolved) {
        "array" => schema.resolve(&resolved["items"]),
        _ => resolved,
    };
    element["properties"].is_object()
}

fn sections(root: &Value) -> Vec<&str> {
    let place = |name: &str| ORDER.iter().position(|o| *o == name).unwrap_or(ORDER.len());
    let mut names: Vec<&str> = root["properties"]
        .as_object()
        .into_iter()
        .flat_map(|properties| properties.keys().map(String::as_str))
        .collect();
    names.sort_by_key(|name| (place(name), *name));
    names
}

fn as_toml(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(as_toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) if map.is_empty() => "{}".into(),
        other => other.to_string(),
    }
}
