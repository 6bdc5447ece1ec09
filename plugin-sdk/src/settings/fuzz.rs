//! Arbitrary settings and arbitrary schemas: no panic, and what the walk accepts deserialises.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::tests::Example;
use super::walk::walk;
use super::{parse, schema};

/// The cases that the environment asks for, or so many.
fn cases(brief: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(brief), failure_persistence: None, ..ProptestConfig::default() }
}

fn leaf() -> impl Strategy<Value = Value> {
    let edges =
        vec![json!(0), json!(-1), json!(0.5), json!(1u64 << 32), json!(u64::MAX), json!(i64::MIN), json!(1e300)];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        select(edges),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(vec!["first-mode", "second-mode", "", "x", "text"]).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
}

fn value_with(keys: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let key = move || prop_oneof![9 => select(keys).prop_map(str::to_owned), 1 => any::<String>()];
    leaf().prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key(), inner), 0..7).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Settings of [`Example`], mostly of the right types, so that many are accepted.
fn near() -> impl Strategy<Value = Value> {
    let number = || prop_oneof![Just(json!(0)), Just(json!(0.25)), Just(json!(1)), any::<f64>().prop_map(Value::from)];
    let whole = || {
        prop_oneof![
            any::<u32>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from)
        ]
    };
    let text =
        || prop_oneof!["[a-z]{0,2}".prop_map(Value::from), any::<char>().prop_map(|c| Value::from(c.to_string()))];
    let field = prop_oneof![
        number().prop_map(|v| ("share", v)),
        whole().prop_map(|v| ("count", v)),
        whole().prop_map(|v| ("offset", v)),
        whole().prop_map(|v| ("most", v)),
        text().prop_map(|v| ("initial", v)),
        select(vec!["first-mode", "second-mode"]).prop_map(|v| ("mode", v.into())),
        vec(text(), 2).prop_map(|v| ("pair", v.into())),
        vec(("[a-z]{0,3}", number()), 0..3).prop_map(|v| ("words", Value::Object(v.into_iter().collect()))),
        vec(text().prop_map(|text| json!({"text": text})), 1..3).prop_map(|v| ("parts", v.into())),
        prop_oneof![number(), vec(number(), 0..3).prop_map(Value::from)].prop_map(|v| ("each", v)),
        any::<bool>().prop_map(|v| ("flat", v.into())),
        leaf().prop_map(|v| ("count", v)),
        leaf().prop_map(|v| ("each", v)),
    ];
    vec(field, 0..8).prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

const FIELDS: &[&str] =
    &["share", "count", "mode", "pair", "words", "parts", "each", "flat", "text", "initial", "offset"];
const KEYWORDS: &[&str] = &[
    "type",
    "enum",
    "const",
    "oneOf",
    "anyOf",
    "allOf",
    "properties",
    "additionalProperties",
    "required",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "format",
    "$ref",
];

/// As [`value_with`], but types and formats have names that the walk knows.
fn any_schema() -> impl Strategy<Value = Value> {
    let names = vec!["object", "array", "string", "integer", "number", "boolean", "null", "uint32", "int64", "uint"];
    (value_with(KEYWORDS), select(names)).prop_map(|(mut schema, name)| {
        fn named(schema: &mut Value, name: &str) {
            match schema {
                Value::Object(fields) => fields.iter_mut().for_each(|(key, value)| match key.as_str() {
                    "type" | "format" if value.is_number() || value.is_string() => *value = name.into(),
                    _ => named(value, name),
                }),
                Value::Array(items) => items.iter_mut().for_each(|item| named(item, name)),
                _ => {}
            }
        }
        named(&mut schema, name);
        schema
    })
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn no_schema_and_no_value_make_the_walk_panic(schema in any_schema(), value in value_with(FIELDS)) {
        walk(&schema, &value);
    }

    #[test]
    fn what_the_walk_accepts_deserialises(value in prop_oneof![3 => near(), 1 => value_with(FIELDS)]) {
        if walk(&schema::<Example>(), &value).is_empty() {
            let parsed = serde_json::from_value::<Example>(value.clone());
            prop_assert!(parsed.is_ok(), "{value}: {:?}", parsed.err());
        }
    }

    #[test]
    fn any_text_is_settings_or_problems_that_say_something(text in any::<String>()) {
        if let Err(problems) = parse::<Example>(&text) {
            prop_assert!(!problems.is_empty());
            prop_assert!(problems.iter().all(|problem| !problem.message.is_empty()));
        }
    }
}
