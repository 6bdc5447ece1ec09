//! What an encoder looks like, as data: `config.json` → [`EncoderSpec`]. A family is a row of a table; the network has no code for one.
//!
//! As for decoders, a field that may change the mathematics and is not understood is an error that names it.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::error::UserError;
use crate::model::read_json;
use crate::model::spec::Activation;
use crate::model::spec::fields::{Fields, SAVED, harmless};

/// What a family's `config.json` does not say itself.
#[derive(Debug, PartialEq)]
pub struct EncoderFamily {
    /// `model_type`.
    pub model_type: &'static str,
    /// What stands before the names of the tensors, but the head's.
    pub root: &'static str,
    /// Of the projections to queries, keys and values, below a layer.
    pub qkv: [&'static str; 3],
    /// The head: its hidden layer and its output, by their whole names.
    pub head: [&'static str; 2],
    norm_eps: f64,
    types: i64,
    places: Places,
}

#[derive(Debug, PartialEq)]
enum Places {
    /// The first token stands at place 0.
    Learned,
    /// It stands after the padding's id.
    LearnedAfterPad,
    /// There are distances instead.
    Relative,
}

const SELF: [&str; 3] = ["attention.self.query", "attention.self.key", "attention.self.value"];

const FAMILIES: [EncoderFamily; 3] = [
    EncoderFamily {
        model_type: "bert",
        root: "bert.",
        qkv: SELF,
        head: ["bert.pooler.dense", "classifier"],
        norm_eps: 1e-12,
        types: 2,
        places: Places::Learned,
    },
    EncoderFamily {
        model_type: "roberta",
        root: "roberta.",
        qkv: SELF,
        head: ["classifier.dense", "classifier.out_proj"],
        norm_eps: 1e-12,
        types: 2,
        places: Places::LearnedAfterPad,
    },
    EncoderFamily {
        model_type: "deberta-v2",
        root: "deberta.",
        qkv: ["attention.self.query_proj", "attention.self.key_proj", "attention.self.value_proj"],
        head: ["pooler.dense", "classifier"],
        norm_eps: 1e-7,
        types: 0,
        places: Places::Relative,
    },
];

/// An encoder's shape and switches. Sizes in elements.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderSpec {
    /// What its tensors are called.
    pub family: &'static EncoderFamily,
    /// V: vocabulary entries.
    pub vocabulary: i64,
    /// C: width of the residual stream.
    pub hidden: i64,
    /// H: heads.
    pub heads: i64,
    /// Width of the feed-forward layer.
    pub feed_forward: i64,
    /// Blocks.
    pub layers: i64,
    /// Rows of the table of learned places; none where there are distances only.
    pub places: Option<i64>,
    /// The place of the first token.
    pub first_place: i64,
    /// Tokens of the longest text.
    pub longest: usize,
    /// Token types; 0: there is no table of them.
    pub types: i64,
    /// ε of the norms.
    pub norm_eps: f64,
    /// The feed-forward layer's activation.
    pub activation: Activation,
    /// Attention by distance.
    pub relative: Option<Relative>,
    /// Of the classification head, by the index of its outputs; none where the folder has no such head.
    pub labels: Option<Vec<String>>,
    /// Of the head's hidden layer; none: tanh.
    pub head_activation: Option<Activation>,
}

/// DeBERTa's disentangled attention (He et al. 2021).
#[derive(Debug, Clone, PartialEq)]
pub struct Relative {
    /// Distances beyond this are one: half the rows of their table.
    pub span: i64,
    /// Distances in logarithmic buckets, and from which distance on all are one.
    pub buckets: Option<[i64; 2]>,
    /// Contents attend to positions.
    pub content_to_position: bool,
    /// Positions attend to contents.
    pub position_to_content: bool,
    /// Distances are projected by the same matrices as contents.
    pub shared: bool,
    /// Their table is normed.
    pub normed: bool,
}

impl EncoderSpec {
    /// Whether a folder's config.json is of an encoder.
    pub fn is_of(config: &Value) -> bool {
        config.get("model_type").and_then(Value::as_str).is_some_and(|name| family(name).is_some())
    }

    /// Reads `<dir>/config.json`.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        Self::from_config(&read_json(&path)?).with_context(|| format!("reading {}", path.display()))
    }

    /// From the content of `config.json`.
    pub fn from_config(config: &Value) -> Result<Self> {
        let fields = Fields::new(config);
        let model_type = fields.text("model_type")?;
        let Some(family) = family(model_type) else {
            let known = FAMILIES.each_ref().map(|family| family.model_type).join(", ");
            return Err(UserError::new(format!("the model type `{model_type}` is no encoder that can be read"))
                .hint(format!("encoders are {known}; a decoder answers only as `model.path`"))
                .into());
        };
        fields.off("is_decoder")?;
        fields.off("add_cross_attention")?;
        let hidden = fields.size("hidden_size")?;
        let heads = fields.size("num_attention_heads")?;
        if hidden % heads != 0 {
            return Err(UserError::new(format!(
                "num_attention_heads = {heads} does not divide hidden_size = {hidden}"
            ))
            .hint(SAVED)
            .into());
        }
        only(&fields, "embedding_size", hidden)?;
        only(&fields, "attention_head_size", hidden / heads)?;
        if fields.text_or("position_embedding_type", "absolute")? != "absolute" {
            return Err(UserError::new("`position_embedding_type` is not \"absolute\", which is not supported")
                .hint("use a model with learned positions")
                .into());
        }
        let positions = fields.size_or("max_position_embeddings", 512)?;
        let first_place = match family.places {
            Places::LearnedAfterPad => fields.raw("pad_token_id").and_then(Value::as_i64).unwrap_or(1) + 1,
            _ => 0,
        };
        if !(0..positions).contains(&first_place) {
            return Err(UserError::new(format!("pad_token_id = {} leaves no place to tokens", first_place - 1))
                .hint(SAVED)
                .into());
        }
        let types = match fields.get("type_vocab_size").map(Value::as_i64) {
            None => family.types,
            Some(Some(0)) => 0,
            Some(_) => fields.size("type_vocab_size")?,
        };
        let relative = match family.places {
            Places::Relative => Some(Relative::read(&fields, positions)?),
            _ => None,
        };
        let learned = relative.is_none() || fields.flag_or("position_biased_input", true)?;
        let spec = Self {
            family,
            vocabulary: fields.size("vocab_size")?,
            hidden,
            heads,
            feed_forward: fields.size("intermediate_size")?,
            layers: fields.size("num_hidden_layers")?,
            places: learned.then_some(positions),
            first_place,
            longest: (positions - first_place) as usize,
            types,
            norm_eps: fields.number_or("layer_norm_eps", family.norm_eps)?,
            activation: Activation::read(&fields, "hidden_act", "gelu")?,
            relative,
            labels: labels(config)?,
            head_activation: match family.places {
                Places::Relative => Some(Activation::read(&fields, "pooler_hidden_act", "gelu")?),
                _ => None,
            },
        };
        only(&fields, "pooler_hidden_size", hidden)?;
        fields.finish(|key| harmless(key) || is_harmless(key))?;
        Ok(spec)
    }
}

impl Relative {
    fn read(fields: &Fields, positions: i64) -> Result<Self> {
        if !fields.flag_or("relative_attention", false)? {
            return Err(UserError::new("`relative_attention` = false is not supported")
                .hint("use a DeBERTa-v2 or v3 model with relative attention, as all published ones have")
                .into());
        }
        let kinds = match fields.get("pos_att_type") {
            Some(Value::String(text)) => text.split('|').map(|kind| kind.trim().to_owned()).collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        if let Some(unknown) = kinds.iter().find(|kind| !["c2p", "p2c"].contains(&kind.as_str())) {
            return Err(UserError::new(format!("`pos_att_type` holds `{unknown}`, which is not supported"))
                .hint("supported: c2p, p2c")
                .into());
        }
        let above_zero = |key: &str| -> Option<i64> { fields.get(key).and_then(Value::as_i64).filter(|n| *n > 0) };
        let farthest = above_zero("max_relative_positions").unwrap_or(positions);
        let buckets = above_zero("position_buckets");
        if farthest >= 1 << 31 || buckets.is_some_and(|n| !(4..1 << 31).contains(&n) || n / 2 >= farthest) {
            return Err(UserError::new(format!(
                "position_buckets = {} and max_relative_positions = {farthest} do not go together",
                buckets.unwrap_or_default()
            ))
            .hint(SAVED)
            .into());
        }
        let norms = fields.text_or("norm_rel_ebd", "none")?.to_lowercase();
        Ok(Self {
            span: buckets.unwrap_or(farthest),
            buckets: buckets.map(|n| [n, farthest]),
            content_to_position: kinds.iter().any(|kind| kind == "c2p"),
            position_to_content: kinds.iter().any(|kind| kind == "p2c"),
            shared: fields.flag_or("share_att_key", false)?,
            normed: norms.split('|').any(|norm| norm.trim() == "layer_norm"),
        })
    }
}

fn family(model_type: &str) -> Option<&'static EncoderFamily> {
    FAMILIES.iter().find(|family| family.model_type == model_type)
}

/// Refuses a size that would be another than the one it is taken for.
fn only(fields: &Fields, key: &str, size: i64) -> Result<()> {
    let given = fields.size_or(key, size)?;
    if given == size {
        return Ok(());
    }
    Err(UserError::new(format!("`{key}` = {given} is not supported")).hint(format!("only {size} is, here")).into())
}

/// Labels of the outputs, where the folder is of a model with a classification head: `id2label`, else as many as transformers assumes.
fn labels(config: &Value) -> Result<Option<Vec<String>>> {
    let mut classes =
        config.get("architectures").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    if !classes.any(|class| class.ends_with("ForSequenceClassification")) {
        return Ok(None);
    }
    let Some(map) = config.get("id2label").and_then(Value::as_object) else {
        return Ok(Some(vec!["LABEL_0".to_owned(), "LABEL_1".to_owned()]));
    };
    let by_index = (0..map.len()).map(|i| map.get(&i.to_string()).and_then(Value::as_str).map(str::to_owned));
    let labels: Option<Vec<String>> = by_index.collect();
    labels
        .filter(|labels| !labels.is_empty())
        .map(Some)
        .ok_or_else(|| UserError::new("`id2label` does not give a name to each output from 0 on").hint(SAVED).into())
}

/// Fields that change nothing of what an encoder computes, beyond those of any model.
fn is_harmless(key: &str) -> bool {
    // Of heads that are not read (`directionality`, `pooler_…` of BERT, `legacy`), and of training.
    const NAMES: [&str; 8] = [
        "attention_probs_dropout_prob",
        "directionality",
        "hidden_dropout_prob",
        "legacy",
        "num_labels",
        "position_biased_input",
        "sentence_transformers",
        "tie_word_embeddings",
    ];
    NAMES.contains(&key)
        || ["pooler_fc_size", "pooler_num_", "pooler_size_per_head", "pooler_type"].iter().any(|s| key.starts_with(s))
}
