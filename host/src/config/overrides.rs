//! `--set key=value`: a dotted path and a TOML value, written over the file's before anything is checked.
//!
//! A scorer is named by its number or its name: `scorer.1.weight=2`, `scorer.value.weight=2`. A value that is not TOML and does
//! not look like it is taken as text, so that `--set stage.policy=unstaged` needs no quotes.

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::document::{Document, join, value_of};
use super::problem::{Origin, Problem};

/// Applies the overrides in order; the ones that cannot be applied are problems.
pub fn apply(document: &mut Document, overrides: &[String]) -> Vec<Problem> {
    overrides
        .iter()
        .filter_map(|raw| {
            apply_one(document, raw).err().map(|mut problem| {
                problem.origin = Some(Origin::Set(raw.clone()));
                problem
            })
        })
        .collect()
}

fn apply_one(document: &mut Document, raw: &str) -> Result<(), Problem> {
    let form = "the form is --set section.key=value, such as --set train.beta=0.2";
    let Some((keys, text)) = split(raw) else {
        return Err(Problem::new("", "is not of the form key=value").hint(form));
    };
    let Some(keys) = keys else {
        return Err(Problem::new("", "has a key that is not a dotted TOML key").hint(form));
    };
    let value = parse_value(text).map_err(|message| Problem::new("", message))?;

    let mut path = String::new();
    let mut made = None;
    let mut place = &mut document.root;
    for key in &keys {
        place = match place {
            Value::Object(map) => {
                path = join(&path, key);
                // A missing section is made: `--set train.lora.rank=8` turns LoRA on.
                if !map.contains_key(key) {
                    made.get_or_insert_with(|| path.clone());
                }
                map.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()))
            }
            Value::Array(items) => {
                let Some(i) = element(items, key) else {
                    let known = names(items);
                    return Err(
                        Problem::new("", format!("`{path}` has no element `{key}`")).hint(format!("it has {known}"))
                    );
                };
                path = join(&path, &i.to_string());
                &mut items[i]
            }
            _ => {
                return Err(Problem::new("", format!("`{path}` is a value, not a section")));
            }
        };
    }
    *place = value;
    let from = made.unwrap_or(path);
    document.set_origin(&from, Origin::Set(raw.to_owned()));
    Ok(())
}

/// Divides at the first `=` outside quotes, and the key at its dots. None: no `=`; inner none: not a key.
fn split(raw: &str) -> Option<(Option<Vec<String>>, &str)> {
    let mut quote = None;
    let at = raw.char_indices().find_map(|(i, c)| {
        match (quote, c) {
            (None, '=') => return Some(i),
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            _ => {}
        }
        None
    })?;
    Some((keys(&raw[..at]), raw[at + 1..].trim()))
}

/// TOML itself reads the key, so that quoting works as in the file.
fn keys(text: &str) -> Option<Vec<String>> {
    let line = format!("{text} = 0");
    let parsed = DeTable::parse(&line).ok()?;
    let mut table = parsed.get_ref();
    let mut out = Vec::new();
    loop {
        let mut entries = table.iter();
        let (key, value) = entries.next()?;
        if entries.next().is_some() {
            return None;
        }
        out.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return Some(out),
        }
    }
}

fn parse_value(text: &str) -> Result<Value, String> {
    match DeValue::parse(text) {
        Ok(value) => value_of(value.get_ref()),
        Err(error) if text.starts_with(['[', '{', '"', '\'']) => {
            Err(format!("has a value that is not TOML: {}", error.message()))
        }
        Err(_) => Ok(Value::String(text.to_owned())),
    }
}

fn element(items: &[Value], key: &str) -> Option<usize> {
    if let Ok(i) = key.parse::<usize>() {
        return (i < items.len()).then_some(i);
    }
    let called = |field: &str| items.iter().position(|item| item.get(field).and_then(Value::as_str) == Some(key));
    called("name").or_else(|| called("plugin"))
}

fn names(items: &[Value]) -> String {
    if items.is_empty() {
        return "no elements".into();
    }
    let named: Vec<String> = items
        .iter()
        .enumerate()
        .map(|(i, item)| {
            let name = item.get("name").or_else(|| item.get("plugin"));
            match name.and_then(Value::as_str) {
                Some(name) => format!("`{i}` or `{name}`"),
                None => format!("`{i}`"),
            }
        })
        .collect();
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(overrides: &[&str]) -> (Document, Vec<String>) {
        let mut document = Document::parse(
            "name = \"x\"\n[train]\nbeta = 0.1\n[[scorer]]\nplugin = \"semantic\"\n[[scorer]]\nplugin = \"value\"\n",
        )
        .expect("valid TOML");
        let raw: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
        let problems = apply(&mut document, &raw);
        (document, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn values_are_toml_and_bare_words_are_text() {
        let (document, problems) = after(&[
            "train.beta=0.2",
            "stage.policy=random-stages",
            "evaluate.gates.\"facts/river\"=0.5",
            "scorer.value.weight=2",
            "scorer.0.grant=[\"choose\"]",
            "name=2026-01-01",
        ]);
        assert!(problems.is_empty(), "{problems:?}");
        let get = |path: &str| document.get(path).cloned().unwrap_or_default();
        assert_eq!(get("train.beta"), 0.2);
        assert_eq!(get("stage.policy"), "random-stages");
        assert_eq!(get("evaluate.gates.\"facts/river\""), 0.5);
        assert_eq!(get("scorer.1.weight"), 2);
        assert_eq!(get("scorer.0.grant.0"), "choose");
        assert_eq!(get("name"), "2026-01-01");
        assert_eq!(document.origin("train.beta"), Some(&Origin::Set("train.beta=0.2".into())));
    }

    #[test]
    fn an_override_that_cannot_be_applied_says_why() {
        let (_, problems) = after(&["train.beta", "a b=1", "train.beta.x=1", "scorer.v.weight=1", "a=[1"]);
        assert_eq!(problems.len(), 5, "{problems:?}");
        assert_eq!(problems[0], "--set train.beta: is not of the form key=value");
        assert!(problems[1].contains("not a dotted TOML key"));
        assert!(problems[2].contains("`train.beta` is a value, not a section"));
        assert!(problems[3].contains("`scorer` has no element `v`"));
        assert!(problems[4].contains("a value that is not TOML"));
    }
}
