//! One JSON line to a prompt: which field, which shapes, and what to say where it is neither.

use serde_json::{Map, Value};

use crate::records::{Message, PromptText};

/// A line as an object, or the reason why it is none.
pub(super) fn object(line: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(format!("{}, not a JSON object", kind(&other))),
        Err(error) => {
            let text = error.to_string();
            // serde_json appends "at line 1 column n"; the line is known better here.
            let reason = text.split(" at line ").next().unwrap_or(&text);
            Err(format!("not JSON ({reason}, column {})", error.column()))
        }
    }
}

/// The field of this name; else, a dotted path into nested objects. `null` counts as absent.
pub(super) fn find<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let found = match object.get(path) {
        Some(value) => value,
        None => {
            let mut names = path.split('.');
            let mut value = object.get(names.next()?)?;
            for name in names {
                value = value.as_object()?.get(name)?;
            }
            value
        }
    };
    (!found.is_null()).then_some(found)
}

/// Why a field is missing: names the fields that are there.
pub(super) fn missing(object: &Map<String, Value>, field: &str) -> String {
    if object.is_empty() {
        return format!("no field `{field}`, the object is empty");
    }
    let names: Vec<String> = object.keys().take(10).map(|name| format!("`{name}`")).collect();
    format!("no field `{field}` among {}", names.join(", "))
}

/// A string, or a list of messages.
pub(super) fn prompt(value: &Value, field: &str) -> Result<PromptText, String> {
    let prompt = match value {
        Value::String(text) => PromptText::Text(text.clone()),
        Value::Array(messages) if !messages.is_empty() => PromptText::Chat(
            messages
                .iter()
                .enumerate()
                .map(|(n, value)| message(value).map_err(|e| format!("`{field}[{n}]`: {e}")))
                .collect::<Result<_, _>>()?,
        ),
        Value::Array(_) => return Err(format!("`{field}` is an empty list of messages")),
        other => {
            return Err(format!("`{field}` is {}, not a string or a list of messages", kind(other)));
        }
    };
    match &prompt {
        PromptText::Text(text) if text.trim().is_empty() => Err(format!("`{field}` is empty")),
        _ => Ok(prompt),
    }
}

fn message(value: &Value) -> Result<Message, String> {
    let Value::Object(object) = value else {
        return Err(format!("{}, not a message", kind(value)));
    };
    let text = |name: &str| match object.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("`{name}` is {}, not a string", kind(other))),
        None => Err(format!("a message needs `{name}`")),
    };
    let message = Message { role: text("role")?, content: text("content")? };
    match object.keys().find(|key| *key != "role" && *key != "content") {
        // A message with more (tool calls, names) would lose it here: say so instead.
        Some(key) => Err(format!("a message has `role` and `content`, not `{key}`")),
        None => Ok(message),
    }
}

/// A group's name: a string, or a number (a cluster) written as one.
pub(super) fn group(value: Option<&Value>, field: &str) -> Result<Option<String>, String> {
    match value {
        None => Ok(None),
        Some(Value::String(name)) if name.trim().is_empty() => Ok(None),
        Some(Value::String(name)) => Ok(Some(name.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(other) => Err(format!("`{field}` is {}, not a string", kind(other))),
    }
}

/// A value's kind, with its article.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Map<String, Value> {
        object(text).expect("an object")
    }

    #[test]
    fn a_dotted_path_reaches_nested_fields_and_a_name_with_a_dot_comes_first() {
        assert_eq!(find(&map(r#"{"a":{"b":1}}"#), "a.b"), Some(&Value::from(1)));
        assert_eq!(find(&map(r#"{"a":{"b":1},"a.b":2}"#), "a.b"), Some(&Value::from(2)));
        assert_eq!(find(&map(r#"{"a":[1]}"#), "a.b"), None);
        assert_eq!(find(&map(r#"{"a":null}"#), "a"), None);
    }

    #[test]
    fn lines_that_are_no_objects_say_what_they_are() {
        assert_eq!(object("[1]"), Err("a list, not a JSON object".into()));
        assert!(object("hello").is_err_and(|e| e.starts_with("not JSON (expected")));
        assert!(object("{\"a\": ").is_err_and(|e| e.contains("EOF")));
    }

    #[test]
    fn prompts_of_the_wrong_shape_say_where() {
        let reason = |text: &str| {
            let value: Value = serde_json::from_str(text).expect("JSON");
            prompt(&value, "prompt").expect_err("wrong shape")
        };
        assert_eq!(reason("3"), "`prompt` is a number, not a string or a list of messages");
        assert_eq!(reason("\" \\n\""), "`prompt` is empty");
        assert_eq!(reason("[]"), "`prompt` is an empty list of messages");
        assert_eq!(reason(r#"[{"role":"user"}]"#), "`prompt[0]`: a message needs `content`");
        assert_eq!(
            reason(r#"[{"role":"user","content":"a","name":"b"}]"#),
            "`prompt[0]`: a message has `role` and `content`, not `name`"
        );
    }
}
