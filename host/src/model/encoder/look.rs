//! What an encoder's folder is, and whether it can answer what it is given for. Reads no weights.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use tch::{Device, Kind};

use super::cross::{Head, labels, order};
use super::folder::{Layout, Pooling};
use super::network::Network;
use super::spec::EncoderSpec;
use super::{is_ignored, tokenizer};
use crate::model::check_folder;
use crate::model::weights::Weights;

/// What an encoder's folder is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EncoderFacts {
    /// `model_type`.
    pub model_type: &'static str,
    /// Numbers in the tensors that are used.
    pub parameters: i64,
    /// Their bytes, by number format.
    pub stored: BTreeMap<&'static str, usize>,
    /// Blocks.
    pub blocks: i64,
    /// Width of the residual stream, and of an embedding.
    pub hidden: i64,
    /// Width of the feed-forward layer.
    pub feed_forward: i64,
    /// Heads.
    pub heads: i64,
    /// Vocabulary entries.
    pub vocabulary: i64,
    /// Tokens to which a text is cut.
    pub longest: usize,
    /// `learned`, `distances`, or both.
    pub positions: String,
    /// How hidden states become an embedding.
    pub pooling: Pooling,
    /// What the outputs of the classification head are called; none where there is no head.
    pub labels: Option<Vec<String>>,
    /// Bytes of the weights in memory: f32.
    pub memory: i64,
}

/// Looks at a folder. Every tensor is looked for and its shape compared.
pub fn inspect(dir: &Path) -> Result<EncoderFacts> {
    check_folder(dir)?;
    let layout = Layout::read(dir)?;
    let spec = EncoderSpec::read(&layout.encoder)?;
    let (parameters, stored) = census(&layout.encoder, &spec, spec.labels.is_some())?;
    let positions = match (&spec.places, &spec.relative) {
        (Some(_), None) => "learned".to_owned(),
        (places, relative) => {
            let span = relative.as_ref().map_or(0, |relative| relative.span);
            let learned = if places.is_some() { "learned, and " } else { "" };
            format!("{learned}distances in {} buckets", 2 * span)
        }
    };
    Ok(EncoderFacts {
        model_type: spec.family.model_type,
        parameters,
        stored,
        blocks: spec.layers,
        hidden: spec.hidden,
        feed_forward: spec.feed_forward,
        heads: spec.heads,
        vocabulary: spec.vocabulary,
        longest: layout.longest.unwrap_or(spec.longest).min(spec.longest),
        positions,
        pooling: layout.pooling,
        labels: spec.labels,
        memory: parameters.saturating_mul(4),
    })
}

/// Refuses a folder that cannot answer `embed`.
pub fn check_embedder(dir: &Path) -> Result<()> {
    check_folder(dir)?;
    let layout = Layout::read(dir)?;
    let spec = EncoderSpec::read(&layout.encoder)?;
    tokenizer(&layout.encoder, &spec, layout.longest)?;
    census(&layout.encoder, &spec, false).map(|_| ())
}

/// Refuses a folder that cannot answer `entail`.
pub fn check_nli(dir: &Path) -> Result<()> {
    check_folder(dir)?;
    let spec = EncoderSpec::read(dir)?;
    order(&labels(&spec)?)?;
    tokenizer(dir, &spec, None)?;
    census(dir, &spec, true).map(|_| ())
}

/// How many numbers the tensors hold, and their bytes by format, with the head's or without.
fn census(dir: &Path, spec: &EncoderSpec, head: bool) -> Result<(i64, BTreeMap<&'static str, usize>)> {
    let looking = || format!("looking at {}", dir.display());
    let mut weights = Weights::open(dir, Device::Cpu, Kind::Float)?;
    let mut census = Network::census(spec.clone(), &mut weights).with_context(looking)?;
    if head {
        Head::read(&mut census, spec, &labels(spec)?).with_context(looking)?;
    }
    let (parameters, stored) = (census.parameters, census.stored);
    weights.finish(|name| is_ignored(spec, name)).with_context(looking)?;
    Ok((parameters, stored))
}
