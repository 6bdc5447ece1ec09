//! Typed access to `config.json`, with errors that name the field, and a memory of which fields were asked for.
//!
//! What nobody asked for is not ignored: [`Fields::finish`] refuses a field that is not known to leave the mathematics alone.

use std::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use crate::error::UserError;

/// The cure for a `config.json` that cannot be right.
pub const SAVED: &str = "take config.json from the model's original folder, as transformers' save_pretrained wrote it";

/// One JSON object.
pub struct Fields<'a> {
    value: &'a Value,
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Fields<'a> {
    /// Over an object; of anything else every field is missing.
    pub fn new(value: &'a Value) -> Self {
        Self { value, asked: RefCell::default() }
    }

    /// The field, unless it is missing.
    pub fn raw(&self, key: &str) -> Option<&'a Value> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.value.get(key)
    }

    /// The field, unless it is missing or null.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.raw(key).filter(|v| !v.is_null())
    }

    /// A string.
    pub fn text(&self, key: &str) -> Result<&'a str> {
        self.raw(key).and_then(Value::as_str).ok_or_else(|| wrong(key, "a string"))
    }

    /// A string, or what it is where it is left out.
    pub fn text_or(&self, key: &str, default: &'a str) -> Result<&'a str> {
        if self.get(key).is_none() { Ok(default) } else { self.text(key) }
    }

    /// A finite number.
    pub fn number(&self, key: &str) -> Result<f64> {
        self.raw(key).and_then(Value::as_f64).filter(|v| v.is_finite()).ok_or_else(|| wrong(key, "a number"))
    }

    /// A finite number, or what it is where it is left out.
    pub fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        if self.get(key).is_none() { Ok(default) } else { self.number(key) }
    }

    /// A number that may be switched off by null; left out, it is the default.
    pub fn switched_number(&self, key: &str, default: Option<f64>) -> Result<Option<f64>> {
        match self.raw(key) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(_) => self.number(key).map(Some),
        }
    }

    /// A positive whole number.
    pub fn size(&self, key: &str) -> Result<i64> {
        // Above 2³¹ no real size lies, and products of two stay within i64.
        self.raw(key)
            .and_then(Value::as_i64)
            .filter(|v| (1..1 << 31).contains(v))
            .ok_or_else(|| wrong(key, "a positive whole number"))
    }

    /// A positive whole number, or what it is where it is left out.
    pub fn size_or(&self, key: &str, default: i64) -> Result<i64> {
        if self.get(key).is_none() { Ok(default) } else { self.size(key) }
    }

    /// A size that may be switched off by null; left out, it is the default.
    pub fn switched_size(&self, key: &str, default: Option<i64>) -> Result<Option<i64>> {
        match self.raw(key) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(_) => self.size(key).map(Some),
        }
    }

    /// True or false, or what it is where it is left out.
    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        self.get(key).map_or(Ok(default), |v| v.as_bool().ok_or_else(|| wrong(key, "true or false")))
    }

    /// A list of one entry per layer.
    pub fn per_layer(&self, key: &str, layers: usize) -> Result<Option<&'a [Value]>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let list = value.as_array().ok_or_else(|| wrong(key, "a list"))?;
        if list.len() != layers {
            return Err(UserError::new(format!("`{key}` has {} entries for {layers} layers", list.len()))
                .hint(SAVED)
                .into());
        }
        Ok(Some(list))
    }

    /// Refuses a switch that is on.
    pub fn off(&self, key: &str) -> Result<()> {
        match self.get(key) {
            None | Some(Value::Bool(false)) => Ok(()),
            Some(v) => Err(unsupported(key, v)),
        }
    }

    /// Refuses a field that nobody asked for, unless it is null, switched off, or `harmless` says that it changes nothing.
    pub fn finish(&self, harmless: impl Fn(&str) -> bool) -> Result<()> {
        let asked = self.asked.borrow();
        let left = self.value.as_object().into_iter().flatten().find(|(key, value)| {
            !asked.contains(*key) && !value.is_null() && *value != &Value::Bool(false) && !harmless(key)
        });
        left.map_or(Ok(()), |(key, value)| Err(unsupported(key, value)))
    }
}

/// Fields of a `config.json` that say nothing of the mathematics of one forward pass.
pub fn harmless(key: &str) -> bool {
    // Generation settings stood in config.json before generation_config.json was there.
    const NAMES: [&str; 39] = [
        "architectures",
        "auto_map",
        "bad_words_ids",
        "cache_implementation",
        "chunk_size_feed_forward",
        "diversity_penalty",
        "do_sample",
        "dtype",
        "early_stopping",
        "finetuning_task",
        "full_attn_mod",
        "gradient_checkpointing",
        "id2label",
        "initializer_range",
        "interpolate_factor",
        "is_llama_config",
        "label2id",
        "length_penalty",
        "max_length",
        "max_sequence_length",
        "min_length",
        "n_ctx",
        "no_repeat_ngram_size",
        "num_beams",
        "num_logits_to_keep",
        "num_return_sequences",
        "prefix",
        "pretraining_tp",
        "problem_type",
        "reorder_and_upcast_attn",
        "repetition_penalty",
        "return_dict",
        "task_specific_params",
        "temperature",
        "tokenizer_class",
        "top_k",
        "top_p",
        "torch_dtype",
        "use_cache",
    ];
    let starts = ["_", "output_", "summary_", "transformers", "unsloth"];
    let ends = ["_token_id", "_dropout", "_pdrop", "_version"];
    NAMES.contains(&key) || starts.iter().any(|s| key.starts_with(s)) || ends.iter().any(|e| key.ends_with(e))
}

fn wrong(key: &str, wanted: &str) -> anyhow::Error {
    UserError::new(format!("`{key}` is missing or not {wanted}")).hint(SAVED).into()
}

fn unsupported(key: &str, value: &Value) -> anyhow::Error {
    let mut shown: String = value.to_string().chars().take(60).collect();
    if shown.len() < value.to_string().len() {
        shown.push('…');
    }
    UserError::new(format!("`{key}` = {shown} is not supported"))
        .hint("of this architecture, models without it can be loaded; a field that changes nothing may be taken out of config.json")
        .into()
}
