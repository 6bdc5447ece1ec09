//! The encoder: parameters and forward pass, driven by an [`EncoderSpec`].
//!
//! Shape letters: `B` rows, `T` positions, `C` hidden, `H` heads, `D` head size, `V` vocabulary, `S` span of distances. Every token sees
//! every other; norms stand after each part of a block (Devlin et al. 2019).

use std::collections::BTreeMap;

use anyhow::Result;
use tch::Tensor;

use super::relative::Distances;
use super::spec::{EncoderSpec, Relative};
use crate::model::linear::{Role, Source};
use crate::model::weights::{Census, Weights};

/// A matrix with its bias.
pub struct Dense {
    weight: Tensor, // [out, in]
    bias: Tensor,
}

impl Dense {
    /// Reads `name`.
    pub fn read(source: &mut dyn Source, name: &str, [out, input]: [i64; 2]) -> Result<Self> {
        Ok(Self {
            weight: source.take(&format!("{name}.weight"), &[out, input], Role::Matrix(input))?,
            bias: source.take(&format!("{name}.bias"), &[out], Role::Vector(0.0))?,
        })
    }

    /// `[…, in]` → `[…, out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}

struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl Norm {
    fn read(source: &mut dyn Source, spec: &EncoderSpec, name: &str) -> Result<Self> {
        // Checkpoints that came from TensorFlow have the older names.
        let older = source.has(&format!("{name}.gamma"));
        let [weight, bias] = if older { ["gamma", "beta"] } else { ["weight", "bias"] };
        Ok(Self {
            weight: source.take(&format!("{name}.{weight}"), &[spec.hidden], Role::Vector(1.0))?,
            bias: source.take(&format!("{name}.{bias}"), &[spec.hidden], Role::Vector(0.0))?,
            eps: spec.norm_eps,
        })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(x.size()[2], Some(&self.weight), Some(&self.bias), self.eps, true)
    }
}

struct Block {
    qkv: [Dense; 3],
    distances: Option<[Option<Dense>; 2]>, // of keys and queries by distance, where they have matrices of their own
    output: Dense,
    after_attention: Norm,
    up: Dense,
    down: Dense,
    after: Norm,
}

/// All parameters but the head's.
pub struct Network {
    /// Its shape.
    pub spec: EncoderSpec,
    words: Tensor,          // [V, C]
    places: Option<Tensor>, // [positions, C]
    types: Option<Tensor>,  // [types, C]
    norm: Norm,
    blocks: Vec<Block>,
    distances: Option<Tensor>, // [2S, C]
    distance_norm: Option<Norm>,
}

/// What goes through at once.
pub struct Batch {
    /// Token ids `[B, T]`.
    pub ids: Tensor,
    /// Token types `[B, T]`; not looked at where the encoder has none.
    pub types: Tensor,
    /// Which of them are no padding, bool `[B, T]`.
    pub real: Tensor,
}

impl Network {
    /// Reads every parameter by its Hugging Face name.
    pub fn read(spec: EncoderSpec, source: &mut dyn Source) -> Result<Self> {
        // A folder of the model without a head leaves the first part of the names out.
        let words = "embeddings.word_embeddings.weight";
        let root = if source.has(words) { "" } else { spec.family.root };
        let c = spec.hidden;
        let table = |source: &mut dyn Source, name: &str, rows: i64| {
            source.take(&format!("{root}{name}"), &[rows, c], Role::Table)
        };
        let embedding = table(source, words, spec.vocabulary)?;
        let places = match spec.places {
            Some(rows) => Some(table(source, "embeddings.position_embeddings.weight", rows)?),
            None => None,
        };
        let types = match spec.types {
            0 => None,
            rows => Some(table(source, "embeddings.token_type_embeddings.weight", rows)?),
        };
        let norm = Norm::read(source, &spec, &format!("{root}embeddings.LayerNorm"))?;
        let blocks = (0..spec.layers)
            .map(|i| Block::read(source, &spec, &format!("{root}encoder.layer.{i}.")))
            .collect::<Result<_>>()?;
        let (mut distances, mut distance_norm) = (None, None);
        if let Some(relative) = &spec.relative {
            distances = Some(table(source, "encoder.rel_embeddings.weight", 2 * relative.span)?);
            if relative.normed {
                distance_norm = Some(Norm::read(source, &spec, &format!("{root}encoder.LayerNorm"))?);
            }
        }
        Ok(Self { words: embedding, places, types, norm, blocks, distances, distance_norm, spec })
    }

    /// Looks for every parameter and reads none.
    pub fn census<'a>(spec: EncoderSpec, weights: &'a mut Weights) -> Result<Census<'a>> {
        let mut census = Census { weights, parameters: 0, stored: BTreeMap::new() };
        Self::read(spec, &mut census)?;
        Ok(census)
    }

    /// Last hidden states `[B, T, C]`; those of padding mean nothing.
    pub fn hidden(&self, batch: &Batch) -> Tensor {
        let t = batch.ids.size()[1];
        let device = batch.ids.device();
        let mut x = Tensor::embedding(&self.words, &batch.ids, -1, false, false); // [B, T, C]
        if let Some(places) = &self.places {
            x += places.narrow(0, self.spec.first_place, t);
        }
        if let Some(types) = &self.types {
            x += Tensor::embedding(types, &batch.types, -1, false, false);
        }
        let mut x = self.norm.forward(&x);
        let padded = !bool::try_from(batch.real.all()).unwrap_or(false);
        let mask = padded.then(|| batch.real.view([-1, 1, 1, t])); // [B, 1, 1, T]
        let distances = self.spec.relative.as_ref().zip(self.distances.as_ref()).map(|(relative, table)| {
            let table = table.unsqueeze(0); // [1, 2S, C]
            let table = self.distance_norm.as_ref().map_or_else(|| table.shallow_clone(), |norm| norm.forward(&table));
            (Distances::new(relative, t, device), table)
        });
        for block in &self.blocks {
            x = block.forward(&x, mask.as_ref(), distances.as_ref(), &self.spec);
        }
        x
    }
}

impl Block {
    fn read(source: &mut dyn Source, spec: &EncoderSpec, at: &str) -> Result<Self> {
        let (c, f) = (spec.hidden, spec.feed_forward);
        let dense = |source: &mut dyn Source, name: &str, shape| Dense::read(source, &format!("{at}{name}"), shape);
        let [q, k, v] = spec.family.qkv;
        let qkv = [dense(source, q, [c, c])?, dense(source, k, [c, c])?, dense(source, v, [c, c])?];
        let own = |source: &mut dyn Source, wanted: bool, name: &str| -> Result<Option<Dense>> {
            wanted.then(|| dense(source, name, [c, c])).transpose()
        };
        let distances = match &spec.relative {
            Some(Relative { shared: false, content_to_position, position_to_content, .. }) => Some([
                own(source, *content_to_position, "attention.self.pos_key_proj")?,
                own(source, *position_to_content, "attention.self.pos_query_proj")?,
            ]),
            _ => None,
        };
        Ok(Self {
            qkv,
            distances,
            output: dense(source, "attention.output.dense", [c, c])?,
            after_attention: Norm::read(source, spec, &format!("{at}attention.output.LayerNorm"))?,
            up: dense(source, "intermediate.dense", [f, c])?,
            down: dense(source, "output.dense", [c, f])?,
            after: Norm::read(source, spec, &format!("{at}output.LayerNorm"))?,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        mask: Option<&Tensor>,
        distances: Option<&(Distances, Tensor)>,
        spec: &EncoderSpec,
    ) -> Tensor {
        let (b, t, c) = (x.size()[0], x.size()[1], x.size()[2]);
        let heads = |x: &Tensor| x.view([x.size()[0], -1, spec.heads, c / spec.heads]).transpose(1, 2); // [B, H, T, D]
        let [q, k, v] = self.qkv.each_ref().map(|dense| heads(&dense.forward(x)));
        let context = match (&spec.relative, distances) {
            (Some(relative), Some((distances, table))) => {
                let by = |own: Option<&Dense>, shared: &Dense| heads(&own.unwrap_or(shared).forward(table)); // [1, H, 2S, D]
                let [own_k, own_q] =
                    self.distances.as_ref().map_or([None, None], |own| own.each_ref().map(Option::as_ref));
                let keys = relative.content_to_position.then(|| by(own_k, &self.qkv[1]));
                let queries = relative.position_to_content.then(|| by(own_q, &self.qkv[0]));
                distances.attend([&q, &k, &v], keys.as_ref(), queries.as_ref(), mask)
            }
            _ => Tensor::scaled_dot_product_attention(&q, &k, &v, mask, 0.0, false, None, false),
        };
        let context = context.transpose(1, 2).reshape([b, t, c]);
        let x = self.after_attention.forward(&(x + self.output.forward(&context)));
        let inner = spec.activation.of(&self.up.forward(&x));
        self.after.forward(&(self.down.forward(&inner) + &x))
    }
}
