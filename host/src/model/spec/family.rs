//! What a family of decoders is: everything that its `config.json` does not say itself. The rows are in [`super::families`].

/// One family.
#[derive(Debug, PartialEq)]
pub struct Family {
    /// `model_type`.
    pub model_type: &'static str,
    /// `architectures`.
    pub architecture: &'static str,
    /// Names of the sizes in `config.json`.
    pub keys: &'static Keys,
    /// Names of the tensors.
    pub names: &'static Names,
    /// The norms.
    pub norm: NormKind,
    /// Their ε.
    pub norm_eps: f64,
    /// Norms of queries and keys.
    pub head_norm: HeadNorm,
    /// Which matrices have a bias.
    pub biases: Biases,
    /// The feed-forward layer's activation.
    pub activation: &'static str,
    /// Whether it is multiplied by a second projection.
    pub gated: bool,
    /// Whether the output projection is the embedding.
    pub tied: bool,
    /// Key and value heads; none: as many as query heads.
    pub kv_heads: Option<i64>,
    /// Head size; none: hidden / heads.
    pub head_size: Option<i64>,
    /// Positions.
    pub positions: i64,
    /// How tokens know their place.
    pub place: Place,
    /// How far blocks look back.
    pub windows: Windows,
    /// Scalars of its own.
    pub scalars: Scalars,
}

/// Names of sizes in `config.json`.
#[derive(Debug, PartialEq)]
pub struct Keys {
    pub hidden: &'static str,
    pub layers: &'static str,
    pub heads: &'static str,
    pub feed_forward: &'static str,
    pub positions: &'static str,
    pub norm_eps: &'static str,
    pub activation: &'static str,
}

/// Names of tensors below `root`, and of those in a block below `root` + `layers` + its number; without `.weight` or `.bias`.
#[derive(Debug, PartialEq)]
pub struct Names {
    /// Left out in folders of the model without its head.
    pub root: &'static str,
    pub embedding: &'static str,
    pub learned_positions: &'static str,
    pub layers: &'static str,
    pub norm: &'static str,
    /// Before attention, after it, before the feed-forward layer, after it. The model has those that are named.
    pub norms: [Option<&'static str>; 4],
    /// Queries, keys and values; one name: a single matrix holds all three.
    pub attention: &'static [&'static str],
    pub head_norms: [&'static str; 2],
    pub output: &'static str,
    /// Gate and up; one name: a single matrix holds both, or there is no gate.
    pub up: &'static [&'static str],
    pub down: &'static str,
    /// Matrices lie as `[in, out]` (GPT-2's Conv1D).
    pub transposed: bool,
    /// What else may lie in a file, by its ending: tables that old versions saved.
    pub ignored: &'static [&'static str],
}

impl Names {
    /// The last parts of the matrices' names, each once: what an adapter's targets are called.
    pub fn linears(&self) -> Vec<&'static str> {
        let mut all = Vec::new();
        for name in self.attention.iter().chain([&self.output]).chain(self.up).chain([&self.down]) {
            let last = name.rsplit('.').next().unwrap_or(name);
            if !all.contains(&last) {
                all.push(last);
            }
        }
        all
    }
}

/// Kinds of norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// x / rms(x) · w.
    Rms,
    /// x / rms(x) · (1 + w).
    RmsPlusOne,
    /// (x − mean) / deviation · w + b.
    Layer,
}

/// Norms of queries and keys before they turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadNorm {
    /// None.
    None,
    /// Over each head.
    EachHead,
    /// Over all heads together.
    Whole,
}

/// Which matrices have a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Biases {
    /// None, ever.
    None,
    /// As `attention_bias` says.
    Attention,
    /// As `attention_bias` and `mlp_bias` say.
    Config,
    /// Queries, keys and values.
    Qkv,
    /// All.
    All,
}

/// How tokens know their place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// Rotary, this θ.
    Rotary {
        /// Where none is given.
        theta: f64,
    },
    /// Rotary, on a part of each head where the config says so, with longrope under its old names.
    PartialRotary {
        /// Where none is given.
        theta: f64,
        /// `original_max_position_embeddings` where none is given.
        original: f64,
    },
    /// Rotary, but for the layers that `no_rope_layers` leaves out.
    SkippedRotary {
        /// Where none is given.
        theta: f64,
    },
    /// Rotary, one θ in full layers and one in windowed layers.
    TwoRotary {
        /// Where none is given, in full layers.
        full: f64,
        /// Where none is given, in windowed layers.
        window: f64,
    },
    /// A table of vectors, added to the embedding.
    Learned,
}

/// How far blocks look back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Windows {
    /// To the beginning.
    Full,
    /// All as far as `sliding_window` says.
    All(Option<i64>),
    /// Where `use_sliding_window` is on: those that `layer_types` lists, else the layers from `max_window_layers` on.
    Late,
    /// Where `use_sliding_window` is on: those that `layer_types` lists, else the layers without rotary positions.
    Skipped,
    /// All but every n-th, or as `layer_types` lists.
    Alternating {
        /// n, under this key or this default.
        key: &'static str,
        /// n where it is left out.
        every: usize,
    },
}

/// Scalars of a family's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalars {
    /// None.
    None,
    /// Four multipliers from the config (Granite).
    Multipliers,
    /// The embedding times √hidden, scores by `query_pre_attn_scalar`, soft caps with these defaults (Gemma).
    Gemma {
        /// Whether the attention scores and logits have caps.
        caps: bool,
    },
    /// `scale_attn_weights` and `scale_attn_by_inverse_layer_idx` (GPT-2).
    Gpt2,
}
