//! `[model]` and `[models]`: the model to align, and those that answer questions in its place.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The model to align.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSection {
    /// A Hugging Face model folder. Left out only where `[sft.model]` describes a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// `cpu`, `cuda`, or `auto`: CUDA where its libraries and a device are found.
    pub device: DeviceChoice,
    /// Of weights, and on a GPU of activations too; a CPU keeps those in f32.
    pub dtype: Dtype,
    /// CPU threads of libtorch; 0 leaves it to libtorch. More than one can change the last bits of sums.
    #[schemars(range(max = 1024))]
    pub threads: usize,
    /// Read the text of special tokens (such as `<|im_end|>`) inside a message as those tokens, as transformers does. Otherwise it is
    /// ordinary text: only the chat template writes special tokens.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub special_tokens_in_messages: bool,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            path: None,
            device: DeviceChoice::Auto,
            dtype: Dtype::F32,
            threads: 1,
            special_tokens_in_messages: false,
        }
    }
}

/// Which models answer the scorers' questions. What is not given here, the model to align answers itself. They run on `model.device`, in f32.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// A folder of an encoder that answers `embed`: sentence-transformers' (mean or cls pooling), or a plain Hugging Face one, whose hidden
    /// states are averaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed: Option<PathBuf>,
    /// A Hugging Face folder of a cross-encoder that answers `entail`; its `id2label` names entailment, neutral and contradiction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entail: Option<PathBuf>,
}

/// Where the model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// CUDA where there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device; an error where there is none.
    Cuda,
}

/// Number format of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floats.
    #[default]
    F32,
    /// bfloat16.
    Bf16,
}
