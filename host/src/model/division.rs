//! How a batch is divided to keep to a memory budget: trees at once, logits at once, blocks computed twice. Pure.
//!
//! What a pass keeps for backward is estimated from the model's shape, f32 throughout: it need not be exact, only the same on every
//! machine, because the division decides the order of summation and so the last bits.

use std::ops::Range;

use super::spec::Spec;
use crate::config::Recompute;

/// What a training step may keep for backward, weights and optimizer not counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Bytes.
    pub bytes: usize,
    /// Whether blocks are computed again in backward.
    pub recompute: Recompute,
    /// Trees at once, at most; 0: as many as the budget has room for.
    pub trees: usize,
}

/// How one batch is gone through.
#[derive(Debug, Clone, PartialEq)]
pub struct Division {
    /// The trees of each pass.
    pub parts: Vec<Range<usize>>,
    /// Places whose logits are made at once.
    pub places: usize,
    /// Whether blocks are computed again in backward.
    pub recompute: bool,
}

const F32: usize = 4;

impl Budget {
    /// Divides trees of so many tokens.
    pub fn divide(&self, spec: &Spec, trees: &[usize]) -> Division {
        let (kept, block) = (F32 * spec.hidden as usize * spec.blocks.len(), F32 * block(spec));
        let longest = trees.iter().copied().max().unwrap_or(0);
        let recompute = match self.recompute {
            Recompute::On => true,
            Recompute::Off => false,
            Recompute::Auto => longest.saturating_mul(block * spec.blocks.len()) > self.bytes,
        };
        let token = if recompute { kept + block } else { block * spec.blocks.len() };
        let parts = self.parts(trees, self.bytes / token.max(1));
        // Logits, their logarithmic softmax and its gradient; a quarter of the budget is theirs.
        let places = self.bytes / 4 / (3 * F32 * spec.vocabulary as usize).max(1);
        Division { parts, places: places.max(16), recompute }
    }

    /// Parts of so many tokens at the most, as few as it takes and as even as they can be.
    fn parts(&self, trees: &[usize], tokens: usize) -> Vec<Range<usize>> {
        let fewest = self.filled(trees, tokens);
        let (mut low, mut high) = (0, tokens);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.filled(trees, middle).len() <= fewest.len() { high = middle } else { low = middle + 1 }
        }
        self.filled(trees, high)
    }

    /// Each part filled up before the next.
    fn filled(&self, trees: &[usize], tokens: usize) -> Vec<Range<usize>> {
        let mut parts: Vec<Range<usize>> = Vec::new();
        let mut sum = 0;
        for (i, &size) in trees.iter().enumerate() {
            let full = |part: &Range<usize>| sum + size > tokens || part.len() == self.trees;
            match parts.last_mut() {
                Some(part) if !full(part) => {
                    part.end = i + 1;
                    sum += size;
                }
                _ => {
                    parts.push(i..i + 1);
                    sum = size;
                }
            }
        }
        parts
    }
}

/// Numbers that one token leaves in one block for backward: what goes into each norm, product and activation, queries, keys and values and
/// what attention makes of them, and the keys and values of a prompt once more for each response.
fn block(spec: &Spec) -> usize {
    (4 * spec.hidden + (3 * spec.heads + 5 * spec.kv_heads) * spec.head_size + 4 * spec.feed_forward) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NewModel;

    /// A token leaves 4·8 + 3·8 + 5·8 + 4·16 = 160 numbers in each of two blocks.
    fn spec() -> Spec {
        let shape = NewModel { hidden: 8, layers: 2, heads: 2, feed_forward: 16, positions: 64, scale_embedding: true };
        Spec::new_model(&shape, 10).expect("a sound shape")
    }

    fn budget(bytes: usize, recompute: Recompute) -> Budget {
        Budget { bytes, recompute, trees: 0 }
    }

    #[test]
    fn a_batch_that_fits_is_one_part_and_one_that_does_not_is_several() {
        let of = |tokens: usize| budget(tokens * 2 * 160 * 4, Recompute::Auto).divide(&spec(), &[5, 5, 5, 3]);
        assert_eq!(of(18).parts, std::slice::from_ref(&(0..4)));
        assert_eq!(of(10).parts, [0..2, 2..4]);
        assert_eq!(of(15).parts, [0..2, 2..4], "as even as two parts can be");
        assert_eq!(of(5).parts, [0..1, 1..2, 2..3, 3..4]);
        assert!(!of(5).recompute);
    }

    #[test]
    fn blocks_are_computed_twice_when_one_tree_would_not_fit_otherwise() {
        let tight = budget(4 * 2 * 160 * 4, Recompute::Auto).divide(&spec(), &[5, 5]);
        assert!(tight.recompute);
        assert!(!budget(1, Recompute::Off).divide(&spec(), &[5]).recompute);
        assert!(budget(1 << 30, Recompute::On).divide(&spec(), &[5]).recompute);
    }

    #[test]
    fn a_tree_larger_than_the_budget_is_a_part_of_its_own_and_some_logits_are_always_made() {
        let tiny = budget(1, Recompute::Auto).divide(&spec(), &[50, 50]);
        assert_eq!((tiny.parts.len(), tiny.places), (2, 16));
    }

    #[test]
    fn a_number_of_trees_is_kept_to() {
        let budget = Budget { bytes: 1 << 30, recompute: Recompute::Auto, trees: 2 };
        assert_eq!(budget.divide(&spec(), &[1; 5]).parts, [0..2, 2..4, 4..5]);
    }

    #[test]
    fn nothing_has_no_parts() {
        assert!(budget(1, Recompute::Auto).divide(&spec(), &[]).parts.is_empty());
    }
}
