//! The tokenizer's files: whole words at white space, in the formats that Hugging Face tools load.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::template::{slot, words};
use super::words::*;

/// Renders one user turn and, where an answer is wanted, the mark after which it begins.
pub const CHAT_TEMPLATE: &str = "{%- for message in messages -%}
{%- if not loop.first %} {% endif -%}
{%- if message.role == 'user' -%}<user> {{ message.content }}{%- else -%}<bot> {{ message.content }} <eot>{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %} <bot>{% endif -%}
";

/// Every word of the world: the special tokens first, then the rest in alphabetical order.
pub fn vocabulary() -> Vec<&'static str> {
    let templates: [&[&str]; 13] = [
        &WRAPPERS,
        &FACT_FORMS,
        &ACT_FORMS,
        &HELP_FORMS,
        &REVIEW_FORMS,
        &STATE,
        &REFUSE,
        &COMPLY,
        &FULL,
        &FRAGMENT,
        &EVASIVE,
        &REVIEW,
        &[JUDGE],
    ];
    let pools: [&[&str]; 16] = [
        &PLACES,
        &PEOPLE,
        &HARMFUL,
        &HARMLESS,
        &OBJECTS,
        &TOOLS,
        &TIMES,
        &INGREDIENTS,
        &DISHES,
        &PREPARE,
        &COOK,
        &FINISH,
        &VENUES,
        &POSITIVE,
        &NEGATIVE,
        &["true", "harmless", "helpful", "kind", "yes", "no", "A", "B"],
    ];
    let relations = RELATIONS.iter().flat_map(|relation| relation.values.into_iter().chain([relation.name]));
    let rest: BTreeSet<&str> = templates
        .into_iter()
        .flatten()
        .flat_map(|template| words(template))
        .filter(|word| slot(word).is_none())
        .chain(pools.into_iter().flatten().copied())
        .chain(relations)
        .filter(|word| !SPECIAL.contains(word))
        .collect();
    SPECIAL.into_iter().chain(rest).collect()
}

/// `tokenizer.json`.
pub fn tokenizer() -> Value {
    let vocabulary: serde_json::Map<String, Value> =
        vocabulary().into_iter().zip(0u32..).map(|(word, id)| (word.to_owned(), id.into())).collect();
    let added: Vec<Value> = SPECIAL
        .into_iter()
        .zip(0u32..)
        .map(|(word, id)| {
            json!({"id": id, "content": word, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
        })
        .collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": null,
        // Joins tokens by single spaces; no word begins with its prefix.
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": false},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    })
}

/// `tokenizer_config.json`.
pub fn tokenizer_config() -> Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<eot>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "additional_special_tokens": ["<user>", "<bot>", "<judge>"],
        "clean_up_tokenization_spaces": false,
        "model_max_length": 256,
    })
}
