//! Embeddings of texts: one unit-norm vector each.

use std::path::Path;

use anyhow::{Context, Result};
use tch::Tensor;

use super::folder::{Layout, Pooling};
use super::network::Batch;
use super::{Encoder, say_cut};
use crate::config::ModelSection;
use crate::model::pooling::{mean, unit};

/// An encoder that embeds texts.
pub struct Embedder {
    encoder: Encoder,
    layout: Layout,
}

impl Embedder {
    /// Loads a sentence-transformers folder, or a plain Hugging Face folder of an encoder, whose hidden states are averaged.
    pub fn load(dir: &Path, section: &ModelSection) -> Result<Self> {
        let layout = Layout::read(dir).with_context(|| format!("reading the embedder {}", dir.display()))?;
        let (encoder, ()) = Encoder::load(&layout.encoder, layout.longest, section, |_, _| Ok(()))?;
        Ok(Self { encoder, layout })
    }

    /// One vector a text, in order, all of length 1.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let texts: Vec<String> = texts
            .iter()
            .map(|text| if self.layout.lower_case { text.to_lowercase() } else { (*text).to_owned() })
            .collect();
        let tokens = self.encoder.tokens(texts)?;
        say_cut(&tokens, &self.encoder);
        self.encoder.run(&tokens, |hidden, batch| pooled(self.layout.pooling, hidden, batch))
    }
}

/// `[B, T, C]` → `[B, C]`.
pub(super) fn pooled(pooling: Pooling, hidden: &Tensor, batch: &Batch) -> Tensor {
    unit(&match pooling {
        Pooling::Mean => mean(hidden, &batch.real),
        Pooling::Cls => hidden.select(1, 0),
    })
}
