//! `[generate]`: how responses are sampled.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sampling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Generate {
    /// Responses made elsewhere, read instead of sampling: JSONL with `prompt` and `responses` (texts, or objects with `text`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// The field of `from` that holds the prompt, or a dotted path to it; `prompt`, else `question`, where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_field: Option<String>,
    /// The field of `from` that holds the list of responses, or a dotted path such as `generations.text`; `responses` where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responses_field: Option<String>,
    /// Responses per prompt (N).
    #[schemars(range(min = 2, max = 1024))]
    pub responses: usize,
    /// Softmax temperature; 0 is greedy.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub temperature: f64,
    /// Keep the k likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of tokens with this much probability.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: f64,
    /// Keep tokens that are at least this much as probable as the likeliest; 0 keeps all.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_p: f64,
    /// Divide positive logits of tokens that the prompt or the response holds by this, and multiply negative ones; 1 changes nothing.
    /// It comes before the temperature; top-k, top-p and min-p follow in this order, as in transformers.
    #[schemars(range(min = 0.1, max = 10.0))]
    pub repetition_penalty: f64,
    /// Texts that end a response, beside the model's end tokens. The response keeps the text that ended it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(min = 1)))]
    pub stop: Vec<String>,
    /// Token limit of a response.
    #[schemars(range(min = 1))]
    pub max_tokens: usize,
    /// Prompts sampled together: the grain of resume. Changing it changes no prompt's randomness, only batch shapes.
    #[schemars(range(min = 1, max = 65_536))]
    pub unit: usize,
    /// Mebibytes for keys and values and, in what they leave, matrices prepacked in f32, by which a CPU multiplies faster. As many prompts as fit
    /// are sampled at once, each with all its responses. Where libtorch has less, nothing is prepacked, then half as many are tried.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub memory_mib: usize,
}

impl Default for Generate {
    fn default() -> Self {
        Self {
            from: None,
            prompt_field: None,
            responses_field: None,
            responses: 8,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            stop: Vec::new(),
            max_tokens: 256,
            unit: 64,
            memory_mib: 2048,
        }
    }
}
