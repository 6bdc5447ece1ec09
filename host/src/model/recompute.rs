//! Gradient checkpointing by block: forward keeps the input of every block and nothing else; backward computes each block again, from the
//! last to the first. The numbers are those of plain backward.

use anyhow::Result;
use tch::{Tensor, no_grad};

use super::decoder::{Aim, Decoder, Input};

/// What is kept of a pass.
pub struct Kept {
    inputs: Vec<Tensor>, // of every block, [B, T, C]
    last: Tensor,        // what leaves the last one, [1, U, C]
}

impl Decoder {
    /// Forward without gradients.
    pub fn keep(&self, input: &Input, aim: &Aim) -> Kept {
        no_grad(|| {
            let mut pass = self.pass(input, aim);
            let mut x = self.embed(input);
            let mut inputs = Vec::with_capacity(self.depth());
            for i in 0..self.depth() {
                inputs.push(x.shallow_clone());
                x = self.block_at(i, x, &mut pass, aim, &mut |_, _, _| {});
            }
            Kept { inputs, last: x }
        })
    }

    /// The final hidden states `[U, C]`, and the leaf that they come from, whose gradient [`Self::backward`] wants.
    pub fn top(&self, kept: &Kept) -> (Tensor, Tensor) {
        let leaf = kept.last.detach().set_requires_grad(true);
        (self.last(&leaf), leaf)
    }

    /// Adds the parameters' gradients, given that of what left the last block. `table`: whether the embedding is trained.
    pub fn backward(&self, input: &Input, aim: &Aim, kept: Kept, last: Tensor, table: bool) -> Result<()> {
        let mut pass = self.pass(input, aim);
        let mut gradient = last;
        for (i, x) in kept.inputs.into_iter().enumerate().rev() {
            let x = x.detach().set_requires_grad(true);
            let y = self.block_at(i, x.shallow_clone(), &mut pass, aim, &mut |_, _, _| {});
            // The derivative of Σ y·g by y is g.
            (y * &gradient).sum(None).f_backward()?;
            gradient = x.grad();
        }
        if table {
            (self.embed(input) * &gradient).sum(None).f_backward()?;
        }
        Ok(())
    }
}
