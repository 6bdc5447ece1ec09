//! The families of decoders, as rows of a table: what their `config.json` calls things and takes for granted, and what their tensors are
//! called. Defaults are those of transformers' config classes: a field left out means the class's value.

use super::family::{Biases, Family, HeadNorm, Keys, Names, NormKind, Place, Scalars, Windows};

const KEYS: Keys = Keys {
    hidden: "hidden_size",
    layers: "num_hidden_layers",
    heads: "num_attention_heads",
    feed_forward: "intermediate_size",
    positions: "max_position_embeddings",
    norm_eps: "rms_norm_eps",
    activation: "hidden_act",
};
const GEMMA_KEYS: Keys = Keys { activation: "hidden_activation", ..KEYS };

const NAMES: Names = Names {
    root: "model.",
    embedding: "embed_tokens",
    learned_positions: "",
    layers: "layers.",
    norm: "norm",
    norms: [Some("input_layernorm"), None, Some("post_attention_layernorm"), None],
    attention: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    head_norms: ["self_attn.q_norm", "self_attn.k_norm"],
    output: "self_attn.o_proj",
    up: &["mlp.gate_proj", "mlp.up_proj"],
    down: "mlp.down_proj",
    transposed: false,
    ignored: &["rotary_emb.inv_freq"],
};
const FUSED_NAMES: Names = Names { attention: &["self_attn.qkv_proj"], up: &["mlp.gate_up_proj"], ..NAMES };
const GEMMA_NAMES: Names = Names {
    norms: [
        Some("input_layernorm"),
        Some("post_attention_layernorm"),
        Some("pre_feedforward_layernorm"),
        Some("post_feedforward_layernorm"),
    ],
    ..NAMES
};
const OLMO_NAMES: Names =
    Names { norms: [None, Some("post_attention_layernorm"), None, Some("post_feedforward_layernorm")], ..NAMES };

/// Llama 2 and 3, SmolLM2, and what shares their shape: the other rows say what they do differently.
const LLAMA_ROW: Family = Family {
    model_type: "llama",
    architecture: "LlamaForCausalLM",
    keys: &KEYS,
    names: &NAMES,
    norm: NormKind::Rms,
    norm_eps: 1e-6,
    head_norm: HeadNorm::None,
    biases: Biases::Config,
    activation: "silu",
    gated: true,
    tied: false,
    kv_heads: None,
    head_size: None,
    positions: 2048,
    place: Place::Rotary { theta: 10_000.0 },
    windows: Windows::Full,
    scalars: Scalars::None,
};

/// Llama itself.
pub static LLAMA: Family = LLAMA_ROW;

/// Llama with four scalar multipliers.
pub static GRANITE: Family =
    Family { model_type: "granite", architecture: "GraniteForCausalLM", scalars: Scalars::Multipliers, ..LLAMA_ROW };

static MISTRAL: Family = Family {
    model_type: "mistral",
    architecture: "MistralForCausalLM",
    biases: Biases::None,
    kv_heads: Some(8),
    positions: 131_072,
    windows: Windows::All(Some(4096)),
    ..LLAMA_ROW
};

static QWEN2: Family = Family {
    model_type: "qwen2",
    architecture: "Qwen2ForCausalLM",
    biases: Biases::Qkv,
    kv_heads: Some(32),
    positions: 32_768,
    windows: Windows::Late,
    ..LLAMA_ROW
};

static QWEN3: Family = Family {
    model_type: "qwen3",
    architecture: "Qwen3ForCausalLM",
    head_norm: HeadNorm::EachHead,
    biases: Biases::Attention,
    kv_heads: Some(32),
    head_size: Some(128),
    positions: 32_768,
    windows: Windows::Late,
    ..LLAMA_ROW
};

static PHI3: Family = Family {
    model_type: "phi3",
    architecture: "Phi3ForCausalLM",
    names: &FUSED_NAMES,
    norm_eps: 1e-5,
    biases: Biases::None,
    positions: 4096,
    place: Place::PartialRotary { theta: 10_000.0, original: 4096.0 },
    windows: Windows::All(None),
    ..LLAMA_ROW
};

static GEMMA2: Family = Family {
    model_type: "gemma2",
    architecture: "Gemma2ForCausalLM",
    keys: &GEMMA_KEYS,
    names: &GEMMA_NAMES,
    norm: NormKind::RmsPlusOne,
    biases: Biases::Attention,
    activation: "gelu_pytorch_tanh",
    tied: true,
    kv_heads: Some(4),
    head_size: Some(256),
    positions: 8192,
    windows: Windows::Alternating { key: "", every: 2 },
    scalars: Scalars::Gemma { caps: true },
    ..LLAMA_ROW
};

static GEMMA3: Family = Family {
    model_type: "gemma3_text",
    architecture: "Gemma3ForCausalLM",
    keys: &GEMMA_KEYS,
    names: &GEMMA_NAMES,
    norm: NormKind::RmsPlusOne,
    head_norm: HeadNorm::EachHead,
    biases: Biases::Attention,
    activation: "gelu_pytorch_tanh",
    tied: true,
    kv_heads: Some(4),
    head_size: Some(256),
    positions: 131_072,
    place: Place::TwoRotary { full: 1_000_000.0, window: 10_000.0 },
    windows: Windows::Alternating { key: "sliding_window_pattern", every: 6 },
    scalars: Scalars::Gemma { caps: false },
    ..LLAMA_ROW
};

static SMOLLM3: Family = Family {
    model_type: "smollm3",
    architecture: "SmolLM3ForCausalLM",
    tied: true,
    kv_heads: Some(4),
    positions: 32_768,
    place: Place::SkippedRotary { theta: 2_000_000.0 },
    windows: Windows::Skipped,
    ..LLAMA_ROW
};

static OLMO2: Family = Family {
    model_type: "olmo2",
    architecture: "Olmo2ForCausalLM",
    names: &OLMO_NAMES,
    norm_eps: 1e-5,
    head_norm: HeadNorm::Whole,
    biases: Biases::Attention,
    ..LLAMA_ROW
};

static GPT2: Family = Family {
    model_type: "gpt2",
    architecture: "GPT2LMHeadModel",
    keys: &Keys {
        hidden: "n_embd",
        layers: "n_layer",
        heads: "n_head",
        feed_forward: "n_inner",
        positions: "n_positions",
        norm_eps: "layer_norm_epsilon",
        activation: "activation_function",
    },
    names: &Names {
        root: "transformer.",
        embedding: "wte",
        learned_positions: "wpe",
        layers: "h.",
        norm: "ln_f",
        norms: [Some("ln_1"), None, Some("ln_2"), None],
        attention: &["attn.c_attn"],
        head_norms: ["", ""],
        output: "attn.c_proj",
        up: &["mlp.c_fc"],
        down: "mlp.c_proj",
        transposed: true,
        ignored: &[".attn.bias", ".attn.masked_bias"],
    },
    norm: NormKind::Layer,
    norm_eps: 1e-5,
    biases: Biases::All,
    activation: "gelu_new",
    gated: false,
    tied: true,
    positions: 1024,
    place: Place::Learned,
    scalars: Scalars::Gpt2,
    ..LLAMA_ROW
};

/// All, as they are listed where one is not known.
pub static FAMILIES: [&Family; 11] =
    [&LLAMA, &GRANITE, &MISTRAL, &QWEN2, &QWEN3, &PHI3, &GEMMA2, &GEMMA3, &SMOLLM3, &OLMO2, &GPT2];
