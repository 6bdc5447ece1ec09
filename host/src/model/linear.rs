//! The two things with parameters that a decoder is built of, a matrix and a norm, and where their parameters come from.

use std::cell::RefCell;

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

use super::device;
use super::lora::Low;
use super::shim::{self, Prepacked};
use super::spec::{NormKind, Spec};

/// Where parameters come from: a model folder, or a generator.
pub trait Source {
    /// The parameter `name`, of this shape.
    fn take(&mut self, name: &str, shape: &[i64], role: Role) -> Result<Tensor>;
    /// Whether there is one of this name.
    fn has(&self, name: &str) -> bool;
}

/// What a parameter is for: what a new one is drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Role {
    /// A table of vectors.
    Table,
    /// A matrix over so many inputs.
    Matrix(i64),
    /// A norm's weight or a bias, which begins at this value.
    Vector(f64),
}

/// New parameters: matrices from N(0, 0.6² / fan-in), tables from N(0, 0.02²). `draw` yields standard normals.
pub struct New<F> {
    /// Where they live.
    pub device: Device,
    /// Standard normals.
    pub draw: F,
}

impl<F: FnMut() -> f32> Source for New<F> {
    fn take(&mut self, _: &str, shape: &[i64], role: Role) -> Result<Tensor> {
        let deviation = match role {
            Role::Table => 0.02,
            Role::Matrix(inputs) => 0.6 / (inputs as f64).sqrt(),
            Role::Vector(value) => return Ok(Tensor::full(shape, value, (Kind::Float, self.device))),
        };
        let n = shape.iter().product::<i64>() as usize;
        let values: Vec<f32> = (0..n).map(|_| (self.draw)() * deviation as f32).collect();
        Ok(Tensor::from_slice(&values).view(shape).to_device(self.device))
    }

    fn has(&self, _: &str) -> bool {
        true
    }
}

/// What inputs are multiplied by.
pub struct Matrix {
    weight: Tensor, // [out, in]; [in, out] where transposed
    transposed: bool,
    /// The same laid out for products without gradients, while there are many.
    prepacked: RefCell<Option<Prepacked>>,
}

impl Matrix {
    /// Of a weight `[out, in]`, `[in, out]` where `transposed`.
    pub fn new(weight: Tensor, transposed: bool) -> Self {
        Self { weight, transposed, prepacked: RefCell::new(None) }
    }

    /// Its numbers.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `x` `[…, in]` → `[…, out]`, in the format of `x`.
    ///
    /// On the CPU `x` is f32 whatever the weight's format; a CPU without units for bf16 tiles, which multiplies bf16 matrices slower than f32
    /// ones, widens them piece by piece, which is as exact or more. The gradient of a weight that is trained is added up in place there,
    /// but for transposed ones.
    pub fn times(&self, x: &Tensor, bias: Option<&Tensor>) -> Tensor {
        if let Some(prepacked) = &*self.prepacked.borrow() {
            let mut y = prepacked.times(x);
            if let Some(bias) = bias {
                y += bias;
            }
            return y;
        }
        let weight = if self.transposed { &self.weight.tr() } else { &self.weight };
        match shim::fits(x) && (weight.requires_grad() || weight.kind() != x.kind()) {
            true => shim::product(x, weight, bias, device::multiplies_in_f32(weight.kind())),
            false => x.linear(weight, bias),
        }
    }

    /// Prepacks it, if that takes no more than `room` bytes, which it takes from there. Until [`Self::forget_prepacked`] it must not change,
    /// and what it is multiplied by must not want gradients.
    pub fn prepack(&self, room: &mut usize) {
        let bytes = self.weight.numel() * Kind::Float.elt_size_in_bytes();
        if let Some(left) = room.checked_sub(bytes)
            && let Some(prepacked) = Prepacked::new(&self.weight, self.transposed)
        {
            *room = left;
            self.prepacked.replace(Some(prepacked));
        }
    }

    /// Whether it is prepacked.
    #[cfg(test)]
    pub fn is_prepacked(&self) -> bool {
        self.prepacked.borrow().is_some()
    }

    /// Goes back to the weight as it is stored.
    pub fn forget_prepacked(&self) {
        self.prepacked.take();
    }
}

/// A matrix with or without a bias. What Hugging Face stores as several matrices over the same inputs is one here: one product instead of
/// three.
pub struct Linear {
    /// Its rows, by the names they have there.
    pub parts: Vec<Part>,
    /// All of them, one above the other.
    pub matrix: Matrix,
    bias: Option<Tensor>,
}

/// Some rows of a matrix, and the low-rank change to them where there is an adapter.
pub struct Part {
    /// Its name below the block.
    pub name: &'static str,
    /// Rows.
    pub out: i64,
    /// The adapter's.
    pub low: Option<Low>,
}

impl Part {
    /// Its output `y` for `x`, with what the adapter adds.
    fn changed(&self, y: Tensor, x: &Tensor, adapter: bool) -> Tensor {
        match &self.low {
            Some(low) if adapter => y + low.forward(x),
            _ => y,
        }
    }
}

impl Linear {
    /// Reads it; `at` is what stands before the names of its parts, which have so many rows each.
    pub fn read(
        source: &mut dyn Source,
        spec: &Spec,
        at: &str,
        parts: &[(&'static str, i64)],
        input: i64,
        bias: bool,
    ) -> Result<Self> {
        let transposed = spec.family.names.transposed;
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for &(name, out) in parts {
            let shape = if transposed { [input, out] } else { [out, input] };
            weights.push(source.take(&format!("{at}{name}.weight"), &shape, Role::Matrix(input))?);
            if bias {
                biases.push(source.take(&format!("{at}{name}.bias"), &[out], Role::Vector(0.0))?);
            }
        }
        let join = |all: Vec<Tensor>, dim: i64| -> Result<Option<Tensor>> {
            match <[Tensor; 1]>::try_from(all) {
                Ok([one]) => Ok(Some(one)),
                Err(none) if none.is_empty() => Ok(None),
                Err(several) => Ok(Some(Tensor::f_cat(&several, dim)?)),
            }
        };
        let weight = join(weights, if transposed { 1 } else { 0 })?.context("a matrix without a name")?;
        Ok(Self {
            parts: parts.iter().map(|&(name, out)| Part { name, out, low: None }).collect(),
            matrix: Matrix::new(weight, transposed),
            bias: join(biases, 0)?,
        })
    }

    /// Inputs.
    pub fn input(&self) -> i64 {
        self.matrix.weight.size()[if self.matrix.transposed { 0 } else { 1 }]
    }

    /// `x` `[…, in]` → `[…, out]` of a matrix in one part.
    pub fn forward(&self, x: &Tensor, adapter: bool) -> Tensor {
        let y = self.product(x);
        match &self.parts[..] {
            [part] => part.changed(y, x, adapter),
            _ => unreachable!("a matrix in one part"),
        }
    }

    /// The same of each part.
    pub fn forward_parts(&self, x: &Tensor, adapter: bool) -> Vec<Tensor> {
        let each = self.windows(&self.product(x), -1);
        each.into_iter().zip(&self.parts).map(|(y, part)| part.changed(y, x, adapter)).collect()
    }

    /// `x` `[…, in]` → `[…, out]`, all parts side by side, without an adapter.
    pub fn product(&self, x: &Tensor) -> Tensor {
        self.matrix.times(x, self.bias.as_ref())
    }

    /// Whether an adapter adds to a part of it, in a pass with or without.
    pub fn is_changed(&self, adapter: bool) -> bool {
        adapter && self.parts.iter().any(|part| part.low.is_some())
    }

    /// Adds the adapter's change to the weight, and forgets the adapter.
    pub fn merge(&mut self) {
        let windows = self.windows(&self.matrix.weight, self.rows());
        for (part, mut weight) in self.parts.iter_mut().zip(windows) {
            if let Some(low) = part.low.take() {
                let change = if self.matrix.transposed { low.matrix().tr() } else { low.matrix() };
                let merged = weight.to_kind(Kind::Float) + change;
                weight.copy_(&merged);
            }
        }
    }

    /// Its parameters by the names of its parts, the adapter's not among them: windows on what [`Self::leaves`] gives.
    pub fn parameters(&self, at: &str, all: &mut Vec<(String, Tensor)>) {
        let weights = self.windows(&self.matrix.weight, self.rows());
        let mut biases = self.bias.iter().flat_map(|bias| self.windows(bias, 0));
        for (part, weight) in self.parts.iter().zip(weights) {
            all.push((format!("{at}{}.weight", part.name), weight));
            all.extend(biases.next().map(|bias| (format!("{at}{}.bias", part.name), bias)));
        }
    }

    /// Its parameters as they are stored.
    pub fn leaves(&self, all: &mut Vec<Tensor>) {
        all.extend([Some(&self.matrix.weight), self.bias.as_ref()].into_iter().flatten().map(Tensor::shallow_clone));
    }

    /// The weight's dimension that outputs stand in.
    fn rows(&self) -> i64 {
        i64::from(self.matrix.transposed)
    }

    fn windows(&self, whole: &Tensor, dim: i64) -> Vec<Tensor> {
        if self.parts.len() == 1 {
            return vec![whole.shallow_clone()];
        }
        let rows: Vec<i64> = self.parts.iter().map(|part| part.out).collect();
        whole.split_with_sizes(&rows[..], dim)
    }
}

fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Tensor {
    let weight = &weight.to_kind(x.kind());
    match shim::fits(x) {
        true => shim::rms_norm(x, weight, eps),
        false => x.rms_norm(weight.size(), Some(weight), eps),
    }
}

/// A norm over the last dimension.
pub struct Norm {
    name: &'static str,
    weight: Tensor,
    bias: Option<Tensor>,
    size: i64,
    kind: NormKind,
    eps: f64,
}

impl Norm {
    /// Reads it; `at` is what stands before its name.
    pub fn read(source: &mut dyn Source, spec: &Spec, at: &str, name: &'static str, size: i64) -> Result<Self> {
        let kind = spec.family.norm;
        let first = if kind == NormKind::RmsPlusOne { 0.0 } else { 1.0 };
        let weight = source.take(&format!("{at}{name}.weight"), &[size], Role::Vector(first))?;
        let bias = match kind {
            NormKind::Layer => Some(source.take(&format!("{at}{name}.bias"), &[size], Role::Vector(0.0))?),
            NormKind::Rms | NormKind::RmsPlusOne => None,
        };
        Ok(Self { name, weight, bias, size, kind, eps: spec.norm_eps })
    }

    /// `x` `[…, size]`, normed.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match self.kind {
            NormKind::Rms => rms_norm(x, &self.weight, self.eps),
            // In f32 throughout: 1 + w, rounded to bf16, would lose what w says.
            NormKind::RmsPlusOne => {
                let weight = self.weight.to_kind(Kind::Float) + 1.0;
                rms_norm(&x.to_kind(Kind::Float), &weight, self.eps).to_kind(x.kind())
            }
            NormKind::Layer => {
                let bias = self.bias.as_ref().map(|bias| bias.to_kind(x.kind()));
                x.layer_norm(self.size, Some(self.weight.to_kind(x.kind())), bias, self.eps, true)
            }
        }
    }

    /// Its parameters by name.
    pub fn parameters(&self, at: &str, all: &mut Vec<(String, Tensor)>) {
        all.push((format!("{at}{}.weight", self.name), self.weight.shallow_clone()));
        if let Some(bias) = &self.bias {
            all.push((format!("{at}{}.bias", self.name), bias.shallow_clone()));
        }
    }

    /// The same without names.
    pub fn leaves(&self, all: &mut Vec<Tensor>) {
        all.extend([Some(&self.weight), self.bias.as_ref()].into_iter().flatten().map(Tensor::shallow_clone));
    }
}
