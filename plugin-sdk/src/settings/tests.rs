//! Right and wrong settings.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::parse;

#[derive(Debug, Deserialize, JsonSchema, Default)]
#[serde(default)]
pub(super) struct Example {
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
    initial: Option<char>,
    offset: i64,
    most: usize,
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
fn a_number_too_large_for_its_type_is_told_with_its_path_like_any_other_problem() {
    assert_eq!(problems(r#"{"count": 4294967295, "offset": -9223372036854775808}"#), [""; 0]);
    assert_eq!(
        problems(r#"{"count": 4294967296, "offset": 9223372036854775808, "initial": "ab", "most": -1}"#),
        [
            "count: 4294967296 is out of range, allowed: 0 to 4294967295",
            "initial: has 2 characters, allowed: at most 1",
            "most: -1 is out of range, allowed: at least 0",
            "offset: 9223372036854775808 is out of range, allowed: -9223372036854775808 to 9223372036854775807",
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

#[test]
fn the_schema_that_is_shown_is_as_strict_as_the_check() {
    let schema = super::schema::<Example>();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["words"]["additionalProperties"]["type"], "number");
    assert!(schema["properties"]["flat"].is_object(), "flattened keys stand beside the others");
}
