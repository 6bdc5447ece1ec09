//! AdamW (Loshchilov & Hutter 2019) with global gradient clipping, over f32 master weights.
//!
//! m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w(1 − ηλ) − η · m̂ / (√v̂ + ε), ε = 1e-8, bias-corrected.
//! All parameters live in one flat master vector, so that a step is a dozen operations whatever their number.

use anyhow::Result;
use tch::{Kind, Tensor, no_grad};

/// The optimizer of a list of leaf tensors.
pub struct AdamW {
    leaves: Vec<Tensor>,
    master: Tensor, // [N], f32
    m: Tensor,
    v: Tensor,
    steps: i32,
    betas: [f64; 2],
    weight_decay: f64,
}

const EPSILON: f64 = 1e-8;

impl AdamW {
    /// Takes charge of `leaves`: they require gradients from now on.
    pub fn new(leaves: Vec<Tensor>, betas: [f64; 2], weight_decay: f64) -> Self {
        let flat: Vec<Tensor> = leaves.iter().map(|p| p.detach().to_kind(Kind::Float).view(-1)).collect();
        let master = Tensor::cat(&flat, 0);
        let leaves = leaves.into_iter().map(|p| p.set_requires_grad(true)).collect();
        let (m, v) = (master.zeros_like(), master.zeros_like());
        Self { leaves, master, m, v, steps: 0, betas, weight_decay }
    }

    /// Clips the gathered gradients to `max_norm` (0: not at all), takes one step at `rate` and clears them.
    ///
    /// Returns the norm before clipping; where it is not finite, no step was taken.
    pub fn step(&mut self, rate: f64, max_norm: f64) -> Result<f64> {
        no_grad(|| {
            let flat: Vec<Tensor> = self
                .leaves
                .iter()
                .map(|p| {
                    let grad = p.grad();
                    if grad.defined() {
                        grad.to_kind(Kind::Float).view(-1)
                    } else {
                        p.zeros_like().to_kind(Kind::Float).view(-1)
                    }
                })
                .collect();
            let mut grad = Tensor::cat(&flat, 0);
            for leaf in &mut self.leaves {
                leaf.zero_grad();
            }
            // In f64: summed in f32, a million squares lose the fifth digit.
            let norm = grad.f_linalg_norm(2.0, None::<i64>, false, Kind::Double)?.f_double_value(&[])?;
            if !norm.is_finite() {
                return Ok(norm);
            }
            if max_norm > 0.0 && norm > max_norm {
                // torch's clip_grad_norm_ adds 1e-6 to the norm.
                let _ = grad.g_mul_scalar_(max_norm / (norm + 1e-6));
            }
            self.steps += 1;
            let [b1, b2] = self.betas;
            let _ = self.m.lerp_(&grad, 1.0 - b1);
            let _ = self.v.lerp_(&grad.square(), 1.0 - b2);
            if self.weight_decay > 0.0 {
                let _ = self.master.g_mul_scalar_(1.0 - rate * self.weight_decay);
            }
            let mut denominator = self.v.sqrt();
            let _ = denominator.g_div_scalar_((1.0 - b2.powi(self.steps)).sqrt());
            let _ = denominator.g_add_scalar_(EPSILON);
            let change = (&self.m / denominator) * (-rate / (1.0 - b1.powi(self.steps)));
            let _ = self.master.g_add_(&change);
            let mut at = 0;
            for leaf in &mut self.leaves {
                let n = leaf.numel() as i64;
                leaf.copy_(&self.master.narrow(0, at, n).view_as(leaf));
                at += n;
            }
            Ok(norm)
        })
    }

    /// Lets go of the tensors: they no longer require gradients.
    pub fn release(self) {
        for leaf in &self.leaves {
            let _ = leaf.set_requires_grad(false);
        }
    }
}
