//! `udasa plugin list --markdown`: a page about the plugins of a directory, made from what each says of itself.
//! `docs/plugins.md` is this page of the shipped ones.

use std::fmt::Write;

use serde_json::Value;

use crate::sandbox::{PluginFile, PluginKind};

use super::show::{asks, dimension};

const OPENING: &str = "\
# Plugins

What the plugins of this directory say of themselves: what they are, and what a config may set. A setting that is not in a
plugin's table is an error. This page is made from the plugins: renew it with
`udasa plugin list --plugins plugins-built --markdown > docs/plugins.md`.
";

/// The whole page.
pub fn page(plugins: &[PluginFile]) -> String {
    let mut text = OPENING.to_owned();
    let kinds = [
        (PluginKind::Scorer, "Scorers", "named by `plugin` in a `[[scorer]]`, set in `[scorer.settings]`"),
        (PluginKind::StagingPolicy, "Staging policies", "named by `policy` in `[stage]`, set in `[stage.settings]`"),
    ];
    for (kind, title, place) in kinds {
        let of_kind: Vec<&PluginFile> = plugins.iter().filter(|plugin| plugin.kind == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "\n## {title}\n\nEach is {place}.\n");
        for plugin in of_kind {
            let it = &plugin.description;
            let _ =
                write!(text, "\n### `{}` {}\n\n{}.\n\n", it.name, it.version, inline(it.summary.trim_end_matches('.')));
            if kind == PluginKind::Scorer {
                let _ = write!(text, "Dimension: {}. Asks: {}.\n\n", dimension(it.dimension), asks(&it.asks));
            }
            text += &settings(&it.settings_schema);
        }
    }
    text
}

fn settings(schema: &Value) -> String {
    let mut rows = Vec::new();
    collect("", schema, &mut rows);
    if rows.is_empty() {
        return "It has no settings.\n".to_owned();
    }
    let mut text = "| setting | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    for [key, kind, default, meaning] in rows {
        let _ = writeln!(text, "| `{key}` | {kind} | {default} | {meaning} |");
    }
    text
}

/// One row a setting; those inside a table follow it, by their dotted path.
fn collect(path: &str, schema: &Value, rows: &mut Vec<[String; 4]>) {
    let required = |key: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == key));
    for (key, setting) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let default = match setting.get("default") {
            _ if required(key) => "**required**".to_owned(),
            None | Some(Value::Null) => "—".to_owned(),
            Some(value) => format!("`{}`", cell(&as_toml(value))),
        };
        let meaning = setting["description"].as_str().unwrap_or_default();
        rows.push([cell(&path), type_of(setting), default, inline(meaning) + &choices(setting)]);
        if setting["properties"].is_object() {
            collect(&path, setting, rows);
        }
    }
}

/// The type in words, with its range.
fn type_of(schema: &Value) -> String {
    let forms = ["anyOf", "oneOf"].iter().find_map(|key| schema[*key].as_array());
    if schema["enum"].is_array() || forms.is_some_and(|forms| forms.iter().all(|form| form["const"].is_string())) {
        return "choice".into();
    }
    if let Some(forms) = forms {
        let mut words: Vec<String> = Vec::new();
        for form in forms.iter().filter(|form| form["type"] != "null") {
            let word = type_of(form);
            if !words.contains(&word) {
                words.push(word);
            }
        }
        return words.join(" or ");
    }
    let kind = match &schema["type"] {
        Value::String(one) => one.as_str(),
        Value::Array(several) => several.iter().filter_map(Value::as_str).find(|t| *t != "null").unwrap_or_default(),
        _ => "",
    };
    let range = range(schema);
    match kind {
        "string" => "text".into(),
        "boolean" => "true or false".into(),
        "integer" => format!("whole number{range}"),
        "number" => format!("number{range}"),
        "array" => {
            let n = match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
                (Some(least), Some(most)) if least == most => format!("{least} × "),
                (Some(least), _) => format!("at least {least} × "),
                _ => String::new(),
            };
            format!("list of {n}{}", type_of(&schema["items"]))
        }
        "object" if schema["properties"].is_object() => "table".into(),
        "object" => "table of anything".into(),
        _ => "anything".into(),
    }
}

fn range(schema: &Value) -> String {
    match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(low), Some(high)) => format!(", between {low} and {high}"),
        (Some(low), None) => format!(", at least {low}"),
        (None, Some(high)) => format!(", at most {high}"),
        (None, None) => String::new(),
    }
}

/// Each choice with its meaning; those without one are named.
fn choices(schema: &Value) -> String {
    if let Some(names) = schema["enum"].as_array() {
        let names: Vec<String> = names.iter().map(|name| format!("`{}`", cell(&as_toml(name)))).collect();
        return format!("<br>{}", names.join(", "));
    }
    let forms = schema["oneOf"].as_array().into_iter().flatten();
    forms
        .filter_map(|form| {
            let name = form["const"].as_str()?;
            let meaning = form["description"].as_str().map_or(String::new(), |text| format!(": {}", inline(text)));
            Some(format!("<br>`\"{}\"`{meaning}", cell(name)))
        })
        .collect()
}

fn as_toml(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(as_toml).collect::<Vec<_>>().join(", ")),
        Value::Object(map) if map.is_empty() => "{}".into(),
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key} = {}", as_toml(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

/// Text from a plugin, fit for a table: one line, no cell of its own, no HTML.
fn inline(text: &str) -> String {
    // What stands in backticks is shown as it is.
    let shown = |(i, part): (usize, &str)| if i % 2 == 0 { part.replace('<', "&lt;") } else { part.to_owned() };
    let parts: Vec<String> = text.split('`').enumerate().map(shown).collect();
    cell(&parts.join("`"))
}

fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(setting: Value) -> String {
        let text = settings(&json!({ "properties": { "x": setting } }));
        text.lines().nth(2).unwrap_or_default().to_owned()
    }

    #[test]
    fn types_ranges_defaults_and_choices_are_told() {
        let number =
            json!({"type": "number", "minimum": 0.0, "maximum": 1.0, "default": 0.7, "description": "How much."});
        assert_eq!(row(number), "| `x` | number, between 0 and 1 | `0.7` | How much. |");
        let form = |kind: &str| json!({"type": kind});
        let list = json!({"type": "array", "items": form("integer"), "minItems": 2, "maxItems": 2, "default": [1, 2]});
        assert_eq!(row(list), "| `x` | list of 2 × whole number | `[1, 2]` |  |");
        let nested = json!({"anyOf": [{"anyOf": [form("number"), {"type": "array", "items": form("number")}]}, form("null")], "default": null});
        assert_eq!(row(nested), "| `x` | number or list of number | — |  |");
        let choice = json!({"oneOf": [{"const": "a", "description": "One."}, {"const": "b"}], "default": "a"});
        assert_eq!(row(choice), "| `x` | choice | `\"a\"` | <br>`\"a\"`: One.<br>`\"b\"` |");
        assert_eq!(settings(&json!({"type": "object"})), "It has no settings.\n");
    }

    #[test]
    fn settings_inside_a_table_follow_it_and_required_ones_say_so() {
        let schema = json!({
            "required": ["t"],
            "properties": {"t": {"type": "object", "properties": {"v": {"type": "boolean", "default": true}}}},
        });
        let text = settings(&schema);
        assert!(text.contains("| `t` | table | **required** |  |\n| `t.v` | true or false | `true` |  |\n"), "{text}");
    }

    #[test]
    fn a_plugins_words_make_no_cells_no_lines_and_no_html() {
        assert_eq!(inline("a | b\nc <script> `<x>`"), "a \\| b c &lt;script> `<x>`");
    }
}
