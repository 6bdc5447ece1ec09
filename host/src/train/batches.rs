//! Which pairs every step of a stage takes, and which prompts and responses are set against each other for KTO. Pure; the seed decides.

use anyhow::Result;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::error::UserError;
use crate::records::Pair;
use crate::sft::shuffle;

/// The batches of a stage, as indices of its pairs: in order in the first epoch, shuffled in later ones.
#[derive(Debug, Clone)]
pub struct Batches {
    order: Vec<usize>,
    random: ChaCha8Rng,
    size: usize,
    epochs_left: u32,
    at: usize,
}

impl Batches {
    /// `(seed, stream)` draws the shuffles.
    pub fn new(pairs: usize, size: usize, epochs: u32, (seed, stream): (u64, u64)) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        Self { order: (0..pairs).collect(), random, size, epochs_left: epochs, at: 0 }
    }
}

impl Iterator for Batches {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        if self.at >= self.order.len() {
            self.epochs_left = self.epochs_left.saturating_sub(1);
            self.at = 0;
            if self.epochs_left > 0 {
                shuffle(&mut self.order, &mut self.random);
            }
        }
        if self.epochs_left == 0 || self.order.is_empty() {
            return None;
        }
        let batch: Vec<usize> = self.order[self.at..].iter().take(self.size).copied().collect();
        self.at += batch.len();
        Some(batch)
    }
}

/// A pair whose prompt, and another whose responses: they do not belong together.
pub type Mismatch = (usize, usize);

/// KTO's mismatched pairs of one batch: every prompt with the responses of the next pair of the batch that has another prompt. Where the batch
/// has none, of the next such pair of the stage. `positions` is the longest text the model takes.
pub fn mismatched(pairs: &[&Pair], batch: &[usize], positions: usize) -> Result<Vec<Mismatch>> {
    let of = |(at, &i): (usize, &usize)| {
        let others = batch[at + 1..].iter().chain(&batch[..at]).copied().chain(i + 1..pairs.len()).chain(0..i);
        let fits = |j: &usize| {
            let longest = pairs[*j].chosen_token_ids.len().max(pairs[*j].rejected_token_ids.len());
            pairs[*j].prompt_id != pairs[i].prompt_id && pairs[i].prompt_token_ids.len() + longest <= positions
        };
        let Some(j) = { others }.find(fits) else {
            return Err(UserError::new(format!(
                "the loss `kto` needs a response to another prompt that fits behind the prompt of the pair {}, and the stage has none",
                pairs[i].id
            ))
            .hint("give the stage pairs of several prompts, or take the loss `apo-zero`, which is KTO without its KL term")
            .into());
        };
        Ok((i, j))
    };
    batch.iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::stage_training::tests::pair;

    fn prompts(ids: &[&str]) -> Vec<Pair> {
        let of =
            |(n, id): (usize, &&str)| Pair { prompt_id: (*id).into(), ..pair(n, vec![1, 2], vec![3; n + 1], vec![4]) };
        ids.iter().enumerate().map(of).collect()
    }

    #[test]
    fn every_epoch_has_every_pair_once_and_the_first_keeps_their_order() {
        let batches: Vec<Vec<usize>> = Batches::new(7, 3, 3, (1, 0)).collect();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1, 3, 3, 1, 3, 3, 1]);
        let epochs: Vec<Vec<usize>> = batches.chunks(3).map(|epoch| epoch.concat()).collect();
        assert_eq!(epochs[0], (0..7).collect::<Vec<_>>());
        for epoch in &epochs[1..] {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, epochs[0]);
        }
        assert_ne!(epochs[1], epochs[2]);
        assert_eq!(Batches::new(7, 3, 3, (1, 0)).collect::<Vec<_>>(), batches, "the seed decides");
        assert_ne!(Batches::new(7, 3, 3, (1, 9)).collect::<Vec<_>>(), batches, "and the stream");
        assert_eq!(Batches::new(0, 3, 3, (1, 0)).count() + Batches::new(3, 3, 0, (1, 0)).count(), 0);
    }

    #[test]
    fn a_prompt_is_set_against_the_next_responses_of_its_batch_that_are_not_its_own() {
        let pairs = prompts(&["a", "a", "b", "c", "d"]);
        let pairs: Vec<&Pair> = pairs.iter().collect();
        assert_eq!(mismatched(&pairs, &[0, 1, 2], 99).expect("partners"), [(0, 2), (1, 2), (2, 0)]);
        assert_eq!(mismatched(&pairs, &[3, 2, 0], 99).expect("partners"), [(3, 2), (2, 0), (0, 3)]);
    }

    #[test]
    fn a_batch_of_one_prompt_borrows_from_its_stage() {
        let pairs = prompts(&["a", "a", "b"]);
        let pairs: Vec<&Pair> = pairs.iter().collect();
        assert_eq!(mismatched(&pairs, &[0, 1], 99).expect("partners"), [(0, 2), (1, 2)]);
        assert_eq!(mismatched(&pairs, &[2], 99).expect("partners"), [(2, 0)]);
    }

    #[test]
    fn a_response_that_the_model_cannot_take_behind_the_prompt_is_passed_over_and_none_at_all_is_an_error() {
        let pairs = prompts(&["a", "b", "c"]);
        let pairs: Vec<&Pair> = pairs.iter().collect();
        // Responses of 1, 2 and 3 tokens, prompts of 2.
        assert_eq!(mismatched(&pairs, &[1, 2, 0], 4).expect("partners"), [(1, 0), (2, 0), (0, 1)]);
        let error = mismatched(&pairs, &[0], 3).expect_err("nothing fits").to_string();
        assert!(error.contains("`kto` needs a response to another prompt") && error.contains("pair 0"), "{error}");
        let same = prompts(&["a", "a"]);
        assert!(mismatched(&same.iter().collect::<Vec<_>>(), &[0, 1], 99).is_err());
    }
}
