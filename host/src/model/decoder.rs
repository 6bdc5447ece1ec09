//! The decoder: parameters and forward pass, driven by a [`Spec`].
//!
//! Shape letters: `B` rows, `T` positions, `C` hidden, `H` query heads, `G` key/value heads, `D` head size, `S` cached positions,
//! `V` vocabulary. Nothing here knows of tokens' meaning, files' places or training.

use std::collections::BTreeMap;

use anyhow::Result;
use tch::{Device, Kind, Tensor, no_grad};

use super::attention::{Masks, Turns, attend};
use super::block::Block;
use super::chains::Chains;
use super::linear::{Linear, New, Norm, Role, Source};
use super::lora::{Adapter, Low};
use super::spec::Spec;
use super::weights::{Census, Weights};

/// A causal language model.
pub struct Decoder {
    /// Its shape.
    pub spec: Spec,
    root: &'static str,     // what stands before its parameters' names, in the files it came from
    embedding: Tensor,      // [V, C]
    places: Option<Tensor>, // [positions, C]; none where positions are rotary
    blocks: Vec<Block>,
    norm: Norm,
    head: Option<Tensor>, // [V, C]; none where tied
    turns: Vec<Turns>,    // one for each of the spec's ropes
}

/// Keys and values of one block: `[B, G, S, D]` each.
pub type KeyValue = (Tensor, Tensor);

/// What goes through the decoder at once.
pub struct Input<'a> {
    /// Token ids `[B, T]`.
    pub ids: &'a Tensor,
    /// Positions `[B, T]`.
    pub positions: &'a Tensor,
    /// Positions of cached keys `[B, S]`, which a window needs to know in [`Decoder::step`].
    pub key_positions: Option<&'a Tensor>,
    /// Who may see whom, bool `[B, 1, T, S]`; none: every position sees itself and those before it. Windows narrow it further.
    pub mask: Option<&'a Tensor>,
    /// Whether the adapter, if there is one, takes part.
    pub adapter: bool,
}

/// What is wanted of a pass.
#[derive(Clone, Copy)]
pub struct Aim<'a> {
    /// Places whose hidden states are wanted `[U]`, in the flattened `[B · T]`.
    pub wanted: &'a Tensor,
    /// Attention by chains instead of masks, for a single row.
    pub chains: Option<&'a Chains>,
    /// Draws what an adapter in training drops; a block computed again draws the same.
    pub seed: Option<u64>,
}

/// What all blocks of one pass share: masks and rotary angles.
pub struct Pass<'a> {
    masks: Masks<'a>,
    chains: Option<&'a Chains>,
    turns: Vec<Turns>,
    adapter: bool,
    seed: Option<u64>,
}

impl Decoder {
    /// Reads every parameter by its Hugging Face name.
    pub fn load(spec: Spec, weights: &mut Weights, device: Device) -> Result<Self> {
        let decoder = Self::read(spec, weights)?;
        decoder.finish(weights)?;
        Ok(decoder.with_turns(device))
    }

    /// Looks for every parameter as [`Self::load`] does, and reads none.
    pub fn census<'a>(spec: Spec, weights: &'a mut Weights) -> Result<Census<'a>> {
        let mut census = Census { weights, parameters: 0, stored: BTreeMap::new() };
        let decoder = Self::read(spec, &mut census)?;
        decoder.finish(census.weights)?;
        Ok(census)
    }

    /// A new model in f32. `draw` yields standard normals.
    pub fn random(spec: Spec, device: Device, draw: impl FnMut() -> f32) -> Result<Self> {
        Ok(Self::read(spec, &mut New { device, draw })?.with_turns(device))
    }

    fn with_turns(mut self, device: Device) -> Self {
        let (spec, kind) = (&self.spec, self.embedding.kind());
        self.turns = spec.ropes.iter().map(|rope| Turns::new(rope, spec.positions, device, kind)).collect();
        self
    }

    /// An error where the folder holds what the model has no place for.
    fn finish(&self, weights: &Weights) -> Result<()> {
        let (names, tied) = (self.spec.family.names, self.spec.tied);
        // A tied head may be saved beside the embedding; old folders carry tables that can be computed.
        weights.finish(|name| (tied && name == HEAD) || names.ignored.iter().any(|ending| name.ends_with(ending)))
    }

    fn read(spec: Spec, source: &mut impl Source) -> Result<Self> {
        let (names, c) = (spec.family.names, spec.hidden);
        // A folder of the model without its head leaves the first part of the names out.
        let bare = !source.has(&format!("{}{}.weight", names.root, names.embedding))
            && source.has(&format!("{}.weight", names.embedding));
        let root = if bare { "" } else { names.root };
        let table = |source: &mut dyn Source, name: &str, rows: i64| {
            source.take(&format!("{root}{name}.weight"), &[rows, c], Role::Table)
        };
        let embedding = table(source, names.embedding, spec.vocabulary)?;
        let places = match names.learned_positions {
            "" => None,
            name => Some(table(source, name, spec.positions)?),
        };
        let mut blocks = Vec::new();
        for i in 0..spec.blocks.len() {
            blocks.push(Block::read(source, &spec, &format!("{root}{}{i}.", names.layers))?);
        }
        let norm = Norm::read(source, &spec, root, names.norm, c)?;
        let head = match spec.tied {
            true => None,
            false => Some(source.take(HEAD, &[spec.vocabulary, c], Role::Matrix(c))?),
        };
        Ok(Self { root, embedding, places, blocks, norm, head, turns: Vec::new(), spec })
    }

    /// Every parameter of the model itself, with its Hugging Face name.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        let (names, root) = (self.spec.family.names, self.root);
        let mut all = vec![(format!("{root}{}.weight", names.embedding), self.embedding.shallow_clone())];
        if let Some(places) = &self.places {
            all.push((format!("{root}{}.weight", names.learned_positions), places.shallow_clone()));
        }
        for (i, block) in self.blocks.iter().enumerate() {
            block.parameters(&format!("{root}{}{i}.", names.layers), &mut all);
        }
        self.norm.parameters(root, &mut all);
        if let Some(head) = &self.head {
            all.push((HEAD.to_owned(), head.shallow_clone()));
        }
        all
    }

    /// Places an adapter on the layers that `adapter` names, replacing any that is there.
    pub fn attach(&mut self, adapter: &mut dyn Adapter) -> Result<()> {
        let names = self.spec.family.names;
        for (i, block) in self.blocks.iter_mut().enumerate() {
            for linear in block.linears_mut() {
                let (out, input) = linear.shape()?;
                linear.low = adapter.low(&format!("{}{}{i}.{}", names.root, names.layers, linear.name), out, input)?;
            }
        }
        Ok(())
    }

    /// Adds the adapter to the weights; it is gone afterwards.
    pub fn merge(&mut self) {
        no_grad(|| self.blocks.iter_mut().flat_map(Block::linears_mut).for_each(Linear::merge));
    }

    /// The adapter's matrices, with the name of the layer they change.
    pub fn adapter(&self) -> Vec<(String, &Low)> {
        let names = self.spec.family.names;
        let mut all = Vec::new();
        for (i, block) in self.blocks.iter().enumerate() {
            for linear in block.linears() {
                if let Some(low) = &linear.low {
                    all.push((format!("{}{}{i}.{}", names.root, names.layers, linear.name), low));
                }
            }
        }
        all
    }

    /// Final hidden states `[B, T, C]`, normed and ready for [`Self::logits`].
    pub fn hidden(&self, input: &Input) -> Tensor {
        self.run(input, input.ids.size()[1], |_, k, v| (k, v))
    }

    /// The same `[U, C]` at the positions wanted alone: of the last block's others nothing is needed but keys and values.
    pub fn hidden_at(&self, input: &Input, aim: &Aim) -> Tensor {
        let mut pass = self.pass(input, input.ids.size()[1], Some(aim));
        let mut x = self.embed(input);
        for i in 0..self.blocks.len() {
            x = self.block_at(i, x, &mut pass, aim);
        }
        self.last(&x)
    }

    /// As [`Self::hidden`], and every block's keys and values for decoding on.
    pub fn prefill(&self, input: &Input) -> (Tensor, Vec<KeyValue>) {
        let mut cache = Vec::with_capacity(self.blocks.len());
        let hidden = self.run(input, input.ids.size()[1], |_, k, v| {
            cache.push((k.shallow_clone(), v.shallow_clone()));
            (k, v)
        });
        (hidden, cache)
    }

    /// One more position for every row: writes its keys and values at `slot` of the cache and returns the hidden states `[B, 1, C]`.
    ///
    /// `mask` is bool `[B, 1, 1, slot + 1]`, and `key_positions` `[B, slot + 1]` must be there if a window is shorter than that.
    pub fn step(&self, input: &Input, cache: &[KeyValue], slot: i64) -> Tensor {
        self.run(input, slot + 1, |block, k, v| {
            let (keys, values) = &cache[block];
            keys.narrow(2, slot, 1).copy_(&k);
            values.narrow(2, slot, 1).copy_(&v);
            (keys.narrow(2, 0, slot + 1), values.narrow(2, 0, slot + 1))
        })
    }

    /// Logits `[…, V]` of hidden states `[…, C]`, in f32.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        let logits = hidden.linear::<Tensor>(head, None).to_kind(Kind::Float);
        let times = self.spec.multipliers.logits;
        let logits = if times == 1.0 { logits } else { logits / times };
        match self.spec.caps.logits {
            None => logits,
            Some(cap) => (logits / cap).tanh() * cap,
        }
    }

    /// The whole pass; `keep` is given each block's new keys and values and says over which `length` positions its queries attend.
    fn run(&self, input: &Input, length: i64, mut keep: impl FnMut(usize, Tensor, Tensor) -> KeyValue) -> Tensor {
        let mut pass = self.pass(input, length, None);
        let mut x = self.embed(input); // [B, T, C]
        for (i, block) in self.blocks.iter().enumerate() {
            let context = self.attend(i, &x, &mut pass, |k, v| keep(i, k, v));
            x = block.finish(x, &context, &self.spec, input.adapter);
        }
        self.norm.forward(&x)
    }

    /// What all blocks share.
    pub(super) fn pass<'a>(&self, input: &'a Input<'a>, length: i64, aim: Option<&'a Aim<'a>>) -> Pass<'a> {
        let turns = self.turns.iter().map(|turns| turns.at(input.positions)).collect();
        let (seed, chains) = (aim.and_then(|aim| aim.seed), aim.and_then(|aim| aim.chains));
        Pass { masks: Masks::new(input, length), chains, turns, adapter: input.adapter, seed }
    }

    /// One block in full; after the last one only the positions wanted are left, `[1, U, C]`.
    pub(super) fn block_at(&self, i: usize, x: Tensor, pass: &mut Pass, aim: &Aim) -> Tensor {
        if let Some(seed) = pass.seed {
            tch::manual_seed(seed.wrapping_add(i as u64).cast_signed());
        }
        let mut context = self.attend(i, &x, pass, |k, v| (k, v)); // [B, H, T, D]
        let mut x = x;
        if i + 1 == self.blocks.len() {
            let (b, t, c) = (x.size()[0], x.size()[1], x.size()[2]);
            let (h, d) = (context.size()[1], context.size()[3]);
            let rows = context.transpose(1, 2).reshape([b * t, h, d]);
            context = rows.index_select(0, aim.wanted).transpose(0, 1).unsqueeze(0); // [1, H, U, D]
            x = x.reshape([1, b * t, c]).index_select(1, aim.wanted);
        }
        self.blocks[i].finish(x, &context, &self.spec, pass.adapter)
    }

    /// A block's attention `[B, H, T, D]`.
    fn attend(&self, i: usize, x: &Tensor, pass: &mut Pass, keep: impl FnOnce(Tensor, Tensor) -> KeyValue) -> Tensor {
        let spec = &self.spec;
        let (h, g) = (spec.heads, spec.kv_heads);
        let [q, k, v] = self.blocks[i].project(x, spec, pass.adapter);
        let (q, k) = match spec.blocks[i].rope {
            // Queries and keys turn together: half as many small operations.
            Some(rope) => {
                let qk = pass.turns[rope].turn(&Tensor::cat(&[q, k], 2)).transpose(1, 2); // [B, H + G, T, D]
                (qk.narrow(1, 0, h), qk.narrow(1, h, g))
            }
            None => (q.transpose(1, 2), k.transpose(1, 2)),
        };
        let (k, v) = keep(k, v.transpose(1, 2));
        match pass.chains {
            Some(chains) => chains.attend(&q, &k, &v, spec, i),
            None => attend(&q, &k, &v, &mut pass.masks, spec, i),
        }
    }

    /// The number of blocks.
    pub(super) fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// The final norm of `[1, U, C]`, as `[U, C]`.
    pub(super) fn last(&self, x: &Tensor) -> Tensor {
        self.norm.forward(x).squeeze_dim(0)
    }

    /// The residual stream before the first block `[B, T, C]`.
    pub(super) fn embed(&self, input: &Input) -> Tensor {
        let times = &self.spec.multipliers;
        let mut x = Tensor::embedding(&self.embedding, input.ids, -1, false, false); // [B, T, C]
        if times.rounded {
            x *= Tensor::from(times.embedding as f32).to_kind(x.kind()).to_device(x.device());
        } else if times.embedding != 1.0 {
            x *= times.embedding;
        }
        match &self.places {
            None => x,
            Some(places) => x + Tensor::embedding(places, input.positions, -1, false, false),
        }
    }
}

/// The output projection's parameter.
const HEAD: &str = "lm_head.weight";
