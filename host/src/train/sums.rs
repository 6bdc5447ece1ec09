//! What a step reports, summed over its batch.

use super::logps::Logps;
use super::loss::PairLoss;
use crate::records::Pair;

/// Sums over a batch.
#[derive(Default)]
pub(super) struct Sums {
    pub loss: f64,
    pub chosen: f64,
    pub rejected: f64,
    pub right: f64,
    pub logp_chosen: f64,
    pub logp_rejected: f64,
    pub nll: f64,
    /// Tokens computed: the prompt once.
    pub tokens: usize,
    /// Tokens as TRL counts them: the prompt with each response.
    pub seen: u64,
    pub largest_ratio: f64,
    pub not_finite: Option<String>,
}

impl Sums {
    /// Adds a pair: `rounding` nats a token are explained by the model's format.
    pub fn add(&mut self, pair: &Pair, value: &PairLoss, logp: &[f64], reference: Option<&Logps>, rounding: f64) {
        let finite = |numbers: &[f64]| numbers.iter().all(|x| x.is_finite());
        let sound = finite(&[value.loss, value.by_chosen, value.by_rejected])
            && finite(logp)
            && reference.is_none_or(|logps| finite(logps));
        if !sound && self.not_finite.is_none() {
            self.not_finite = Some(pair.id.clone());
        }
        self.loss += value.loss;
        self.chosen += value.reward_chosen;
        self.rejected += value.reward_rejected;
        self.right += f64::from(u8::from(value.reward_chosen > value.reward_rejected));
        self.logp_chosen += logp[0];
        self.logp_rejected += logp[1];
        self.nll += value.nll;
        let responses = [&pair.chosen_token_ids, &pair.rejected_token_ids];
        self.tokens += pair.prompt_token_ids.len() + responses[0].len() + responses[1].len();
        self.seen += responses.map(|ids| (pair.prompt_token_ids.len() + ids.len()) as u64).iter().sum::<u64>();
        // Rounding errors of independent tokens add up like a random walk.
        for ((now, then), ids) in logp.iter().zip(reference.into_iter().flatten()).zip(responses) {
            let explained = rounding * (ids.len() as f64).sqrt();
            self.largest_ratio = self.largest_ratio.max((now - then).abs() - explained);
        }
    }
}
