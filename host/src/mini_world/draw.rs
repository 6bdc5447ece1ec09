//! Seeded draws. One stream a purpose, so that the facts do not depend on how many documents are written.
//!
//! Built on `next_u64` alone: a newer random crate may change how it draws ranges, and the world's bytes must not change with it.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream of random numbers is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Facts, their classes, distractors and what is held out.
    World = 0,
    /// Documents.
    Corpus = 1,
    /// Prompts to align on.
    Prompts = 2,
    /// Evaluation.
    Evaluation = 3,
}

/// A stream of draws.
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of one purpose under a seed.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(purpose as u64);
        Self(rng)
    }

    /// A number below `n` (0 for `n` = 0). Multiply-shift: the bias is below n / 2⁶⁴.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        // 53 bits: every f64 in [0, 1) that this grid holds is equally likely.
        ((self.0.next_u64() >> 11) as f64) < probability * (1u64 << 53) as f64
    }

    /// One of the options; the list must not be empty.
    pub fn pick<'a>(&mut self, options: &[&'a str]) -> &'a str {
        options[self.below(options.len())]
    }

    /// An index, with these weights.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            if self.chance(weight / left) {
                return index;
            }
            left -= weight;
        }
        weights.len().saturating_sub(1)
    }

    /// Fisher–Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let draw = |seed, purpose| {
            let mut d = Draw::new(seed, purpose);
            [d.below(1000), d.below(1000), d.below(1000)]
        };
        assert_eq!(draw(1, Purpose::World), draw(1, Purpose::World));
        assert_ne!(draw(1, Purpose::World), draw(1, Purpose::Corpus));
        assert_ne!(draw(1, Purpose::World), draw(2, Purpose::World));
    }

    #[test]
    fn weighted_draws_keep_their_shares() {
        let mut draw = Draw::new(3, Purpose::Corpus);
        let mut counts = [0usize; 3];
        for _ in 0..30_000 {
            counts[draw.weighted(&[0.5, 0.3, 0.2])] += 1;
        }
        for (count, share) in counts.iter().zip([0.5, 0.3, 0.2]) {
            assert!((*count as f64 / 30_000.0 - share).abs() < 0.02);
        }
    }
}
