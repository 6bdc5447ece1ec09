//! Which documents make a batch: drawn without replacement, of similar length within a batch, in random order.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Batches sorted together, before their order is drawn again.
const WINDOW: usize = 32;

/// An endless stream of batches; every document is seen once before any is seen twice.
pub struct Batches<'a> {
    documents: &'a [Vec<u32>],
    size: usize,
    random: ChaCha8Rng,
    order: Vec<usize>,
    ready: Vec<Vec<usize>>,
}

impl<'a> Batches<'a> {
    /// Batches of `size` documents (fewer where there are not as many).
    pub fn new(documents: &'a [Vec<u32>], size: usize, seed: u64) -> Self {
        // Another stream than the one that drew the weights.
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(1);
        Self { documents, size: size.min(documents.len()), random, order: Vec::new(), ready: Vec::new() }
    }

    /// The next batch's documents.
    pub fn next(&mut self) -> Vec<usize> {
        if self.ready.is_empty() {
            let wanted = self.size * WINDOW;
            let mut window = Vec::with_capacity(wanted);
            while window.len() < wanted {
                if self.order.is_empty() {
                    if window.len() >= self.size {
                        break;
                    }
                    self.order = (0..self.documents.len()).collect();
                    shuffle(&mut self.order, &mut self.random);
                }
                window.extend(self.order.pop());
            }
            window.sort_by_key(|&d| self.documents[d].len());
            self.ready = window.chunks(self.size).map(<[usize]>::to_vec).collect();
            shuffle(&mut self.ready, &mut self.random);
        }
        self.ready.pop().unwrap_or_default()
    }
}

/// Fisher–Yates.
pub fn shuffle<T>(items: &mut [T], random: &mut ChaCha8Rng) {
    for i in (1..items.len()).rev() {
        // The modulo's bias is below 2⁻³² of a position here.
        let j = (random.next_u64() % (i as u64 + 1)) as usize;
        items.swap(i, j);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_is_seen_once_before_any_is_seen_twice() {
        let documents: Vec<Vec<u32>> = (0..50).map(|n| vec![0; n % 7 + 1]).collect();
        let mut batches = Batches::new(&documents, 8, 3);
        let mut seen: Vec<usize> = Vec::new();
        while seen.len() < 50 {
            seen.extend(batches.next());
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn fewer_documents_than_a_batch_still_make_batches() {
        let documents = vec![vec![1, 2], vec![3, 4]];
        let mut batches = Batches::new(&documents, 16, 0);
        assert_eq!(batches.next().len(), 2);
        assert_eq!(batches.next().len(), 2);
    }
}
