//! AdamW (Loshchilov & Hutter 2019) with global gradient clipping, over f32 master weights.
//!
//! m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w(1 − ηλ) − η · m̂ / (√v̂ + ε), ε = 1e-8, bias-corrected.
//!
//! The parameters become windows on one flat vector, their gradients on another, which backward adds to in place. A step is a walk over
//! both in pieces that stay in the processor's cache, whatever the parameters' number. f32 weights are their own masters; bf16 weights have
//! a vector of masters beside them.

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor, no_grad};

use super::shim;

/// The optimizer of a list of leaf tensors.
pub struct AdamW {
    leaves: Vec<Tensor>,
    weights: Tensor,   // [N], of the leaves' kind: what they are windows on
    master: Tensor,    // [N], f32: the same memory where the weights are f32
    gradients: Tensor, // [N], of the leaves' kind
    m: Tensor,
    v: Tensor,
    steps: i32,
    betas: [f64; 2],
    weight_decay: f64,
}

const EPSILON: f64 = 1e-8;
/// Leaves begin at multiples of this, so that vector instructions find them aligned.
const ALIGNMENT: i64 = 32;
/// Parameters a piece on the CPU: five vectors of them fit the second cache.
const PIECE: i64 = 1 << 16;

impl AdamW {
    /// Takes charge of `leaves`, which are of one kind: they require gradients from now on.
    pub fn new(leaves: Vec<Tensor>, betas: [f64; 2], weight_decay: f64) -> Result<Self> {
        let first = leaves.first().context("there is nothing to train")?;
        let (kind, device) = (first.kind(), first.device());
        ensure!(leaves.iter().all(|leaf| leaf.kind() == kind), "the parameters are of several formats");
        let mut starts = Vec::with_capacity(leaves.len());
        let mut n = 0;
        for leaf in &leaves {
            starts.push(n);
            n += (leaf.numel() as i64 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        }
        let zeros = |kind| Tensor::f_zeros([n], (kind, device));
        // All of them before the leaves are touched: where memory does not reach, these stay as they were.
        let (weights, gradients) = (zeros(kind)?, zeros(kind)?);
        let (m, v) = (zeros(Kind::Float)?, zeros(Kind::Float)?);
        let mut windows = Vec::with_capacity(leaves.len());
        for (leaf, &start) in leaves.into_iter().zip(&starts) {
            let mut leaf = leaf.set_requires_grad(false);
            let window = |flat: &Tensor| flat.narrow(0, start, leaf.numel() as i64).view_as(&leaf);
            let (mut weight, gradient) = (window(&weights), window(&gradients));
            weight.copy_(&leaf);
            leaf.f_set_data(&weight)?;
            let leaf = leaf.set_requires_grad(true);
            shim::set_gradient(&leaf, Some(&gradient))?;
            windows.push(leaf);
        }
        let master = weights.f_to_kind(Kind::Float)?;
        Ok(Self { leaves: windows, weights, master, gradients, m, v, steps: 0, betas, weight_decay })
    }

    /// Clips the gathered gradients to `max_norm` (0: not at all), takes one step at `rate` and clears them.
    ///
    /// Returns the norm before clipping; where it is not finite, no step was taken.
    pub fn step(&mut self, rate: f64, max_norm: f64) -> Result<f64> {
        no_grad(|| {
            let norm = self.norm()?;
            if norm.is_finite() {
                // torch's clip_grad_norm_ adds 1e-6 to the norm.
                let clip = if max_norm > 0.0 && norm > max_norm { max_norm / (norm + 1e-6) } else { 1.0 };
                self.steps += 1;
                for (start, length) in self.pieces() {
                    self.step_piece(start, length, rate, clip)?;
                }
            }
            self.clear()?;
            Ok(norm)
        })
    }

    /// Forgets the gathered gradients.
    pub fn clear(&mut self) -> Result<()> {
        let _ = self.gradients.f_zero_()?;
        Ok(())
    }

    /// Steps taken.
    pub fn steps(&self) -> i32 {
        self.steps
    }

    /// Lets go of the tensors: they no longer require gradients, and have none.
    pub fn release(self) {
        for leaf in self.leaves {
            // Where it cannot be taken away it only takes room.
            let _ = shim::set_gradient(&leaf, None);
            let _ = leaf.set_requires_grad(false);
        }
    }

    /// Square root of the sum of squares: in f32 within a piece, in f64 over the pieces. In f32 alone a million squares lose the fifth digit.
    fn norm(&self) -> Result<f64> {
        let mut sums = Vec::new();
        for (start, length) in self.pieces() {
            let piece = self.gradients.narrow(0, start, length);
            sums.push(piece.f_linalg_norm(2.0, None::<i64>, false, Kind::Float)?);
        }
        let norms = Tensor::f_stack(&sums, 0)?;
        Ok(norms.f_linalg_norm(2.0, None::<i64>, false, Kind::Double)?.f_double_value(&[])?)
    }

    fn step_piece(&mut self, start: i64, length: i64, rate: f64, clip: f64) -> Result<()> {
        let piece = |flat: &Tensor| flat.narrow(0, start, length);
        let step = shim::Step {
            number: self.steps.into(),
            rate,
            betas: self.betas,
            weight_decay: self.weight_decay,
            eps: EPSILON,
            divisor: 1.0 / clip,
        };
        let gradient = piece(&self.gradients).to_kind(Kind::Float);
        shim::adamw(&piece(&self.master), &gradient, &piece(&self.m), &piece(&self.v), &step)?;
        if self.weights.kind() != Kind::Float {
            piece(&self.weights).copy_(&self.master.narrow(0, start, length));
        }
        Ok(())
    }

    fn pieces(&self) -> impl Iterator<Item = (i64, i64)> + use<> {
        let n = self.weights.size()[0];
        // A GPU would rather have one long piece.
        let step = if self.weights.device() == Device::Cpu { PIECE } else { n };
        (0..n).step_by(step as usize).map(move |start| (start, step.min(n - start)))
    }

    /// What a resumed run needs: the steps taken, and the vectors by name. bf16 weights are their masters, rounded.
    pub fn state(&self) -> (i32, [(&'static str, &Tensor); 3]) {
        (self.steps, [("master", &self.master), ("m", &self.m), ("v", &self.v)])
    }

    /// Takes over what [`Self::state`] gave.
    pub fn restore(&mut self, steps: i32, mut vector: impl FnMut(&str, &[i64]) -> Result<Tensor>) -> Result<()> {
        let size = self.master.size();
        no_grad(|| {
            for (name, flat) in [("master", &mut self.master), ("m", &mut self.m), ("v", &mut self.v)] {
                flat.f_copy_(&vector(name, &size)?)?;
            }
            if self.weights.kind() != Kind::Float {
                self.weights.f_copy_(&self.master)?;
            }
            anyhow::Ok(())
        })?;
        self.steps = steps;
        Ok(())
    }
}
