//! The decoder: parameters and forward pass, driven by a [`Spec`].
//!
//! Shape letters: `B` rows, `T` positions, `C` hidden, `H` query heads, `G` key/value heads, `D` head size, `S` cached positions,
//! `V` vocabulary. Nothing here knows of tokens' meaning, files' places or training.

use std::collections::BTreeMap;

use anyhow::Result;
use tch::{Device, Kind, Tensor, no_grad};

use super::attention::{self, Masks, Turns, attend};
use super::block::Block;
use super::chains::Chains;
use super::device;
use super::linear::{Linear, Matrix, New, Norm, Role, Source};
use super::lora::{Adapter, Low};
use super::shim;
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
    head: Matrix,      // [V, C]; the embedding where tied
    turns: Vec<Turns>, // one for each of the spec's ropes
}

/// Keys and values of one block: `[B, G, S, D]` each.
pub type KeyValue = (Tensor, Tensor);

/// What goes through the decoder at once.
pub struct Input<'a> {
    /// Token ids `[B, T]`.
    pub ids: &'a Tensor,
    /// Positions `[B, T]`.
    pub positions: &'a Tensor,
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
        let (spec, kind) = (&self.spec, device::activation_kind(self.embedding.kind(), device));
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
            true => embedding.shallow_clone(),
            false => source.take(HEAD, &[spec.vocabulary, c], Role::Matrix(c))?,
        };
        let head = Matrix::new(head, false);
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
        if !self.spec.tied {
            all.push((HEAD.to_owned(), self.head.weight().shallow_clone()));
        }
        all
    }

    /// Every parameter as it is stored, without the names: what training changes.
    pub fn leaves(&self) -> Vec<Tensor> {
        let mut all: Vec<Tensor> =
            [Some(&self.embedding), self.places.as_ref()].into_iter().flatten().map(Tensor::shallow_clone).collect();
        self.blocks.iter().for_each(|block| block.leaves(&mut all));
        self.norm.leaves(&mut all);
        if !self.spec.tied {
            all.push(self.head.weight().shallow_clone());
        }
        all
    }

    /// Places an adapter on the layers that `adapter` names, replacing any that is there.
    pub fn attach(&mut self, adapter: &mut dyn Adapter) -> Result<()> {
        let names = self.spec.family.names;
        for (i, block) in self.blocks.iter_mut().enumerate() {
            for linear in block.linears_mut() {
                let input = linear.input();
                for part in &mut linear.parts {
                    let name = format!("{}{}{i}.{}", names.root, names.layers, part.name);
                    part.low = adapter.low(&name, part.out, input)?;
                }
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
            for part in block.linears().flat_map(|linear| &linear.parts) {
                if let Some(low) = &part.low {
                    all.push((format!("{}{}{i}.{}", names.root, names.layers, part.name), low));
                }
            }
        }
        all
    }

    /// Final hidden states `[B, T, C]`, normed and ready for [`Self::logits`].
    pub fn hidden(&self, input: &Input) -> Tensor {
        let mut masks = Masks::new(input, input.ids.size()[1]);
        self.run(input, |block, [q, k, v]| attend(q, k, v, &mut masks, &self.spec, block))
    }

    /// The same `[U, C]` at the positions wanted alone: of the last block's others nothing is needed but keys and values.
    pub fn hidden_at(&self, input: &Input, aim: &Aim) -> Tensor {
        self.prefill(input, aim, |_, _, _| {})
    }

    /// As [`Self::hidden_at`]; `keep` is given every block's keys and values `[B, G, T, D]`, for decoding on.
    pub fn prefill(&self, input: &Input, aim: &Aim, mut keep: impl FnMut(usize, &Tensor, &Tensor)) -> Tensor {
        let mut pass = self.pass(input, aim);
        let mut x = self.embed(input);
        for i in 0..self.blocks.len() {
            x = self.block_at(i, x, &mut pass, aim, &mut keep);
        }
        self.last(&x)
    }

    /// Logits `[…, V]` of hidden states `[…, C]`, in f32.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        let logits = self.head.times(hidden, None).to_kind(Kind::Float);
        let times = self.spec.multipliers.logits;
        let logits = if times == 1.0 { logits } else { logits / times };
        match self.spec.caps.logits {
            None => logits,
            Some(cap) => (logits / cap).tanh() * cap,
        }
    }

    /// Final hidden states `[B, T, C]` of any attention: `attend` is given every block's turned queries `[B, H, T, D]`, keys and values
    /// `[B, G, T, D]`, and returns `[B, H, T, D]`.
    pub fn run(&self, input: &Input, mut attend: impl FnMut(usize, [&Tensor; 3]) -> Tensor) -> Tensor {
        let turns = self.turns_at(input);
        let mut x = self.embed(input); // [B, T, C]
        for (i, block) in self.blocks.iter().enumerate() {
            let [q, k, v] = self.project(i, &x, &turns, input.adapter);
            let context = attend(i, [&q, &k, &v]); // [B, H, T, D]
            x = block.finish(x, &context, &self.spec, input.adapter);
        }
        self.norm.forward(&x)
    }

    /// What all blocks share of a pass that aims at some positions.
    pub(super) fn pass<'a>(&self, input: &'a Input<'a>, aim: &'a Aim<'a>) -> Pass<'a> {
        Pass {
            masks: Masks::new(input, input.ids.size()[1]),
            chains: aim.chains,
            turns: self.turns_at(input),
            adapter: input.adapter,
            seed: aim.seed,
        }
    }

    /// One block in full, whose keys and values `keep` is given; after the last one only the positions wanted are left, `[1, U, C]`.
    pub(super) fn block_at(
        &self,
        i: usize,
        x: Tensor,
        pass: &mut Pass,
        aim: &Aim,
        keep: &mut impl FnMut(usize, &Tensor, &Tensor),
    ) -> Tensor {
        if let Some(seed) = pass.seed {
            tch::manual_seed(seed.wrapping_add(i as u64).cast_signed());
        }
        let [q, k, v] = self.project(i, &x, &pass.turns, pass.adapter);
        keep(i, &k, &v);
        let mut context = match pass.chains {
            Some(chains) => chains.attend(&q, &k, &v, &self.spec, i),
            None => attend(&q, &k, &v, &mut pass.masks, &self.spec, i),
        }; // [B, H, T, D]
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

    /// A block's queries `[B, H, T, D]`, keys and values `[B, G, T, D]`; queries and keys are turned.
    fn project(&self, i: usize, x: &Tensor, turns: &[Turns], adapter: bool) -> [Tensor; 3] {
        let spec = &self.spec;
        let all = self.blocks[i].project(x, spec, adapter);
        let turns = spec.blocks[i].rope.map(|rope| &turns[rope]);
        attention::apart(&all, turns, spec.heads, spec.kv_heads)
    }

    fn turns_at(&self, input: &Input) -> Vec<Turns> {
        self.turns.iter().map(|turns| turns.at(input.positions)).collect()
    }

    /// Everything that multiplies, in the order in which it is worth prepacking.
    pub(super) fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        std::iter::once(&self.head).chain(self.blocks.iter().flat_map(Block::linears).map(|linear| &linear.matrix))
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
        let mut x = match self.embedding.requires_grad() && shim::fits(&self.embedding) {
            true => shim::lookup(&self.embedding, input.ids),
            false => Tensor::embedding(&self.embedding, input.ids, -1, false, false),
        }; // [B, T, C]
        x = x.to_kind(device::activation_kind(x.kind(), x.device()));
        if times.rounded {
            x *= Tensor::from(times.embedding as f32).to_kind(self.embedding.kind()).double_value(&[]);
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
