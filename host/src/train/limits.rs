//! How far a stage may take the policy. Pure.

use super::logps::Logps;
use crate::config::Train;

/// What a stage is held to, and what it is measured from.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// Nats a token; none: no limit.
    pub kl: Option<f64>,
    /// Nats a response.
    pub chosen_drop: Option<f64>,
    /// log p of the stage's pairs under the initial model.
    pub initial: &'a [Logps],
    /// … under the policy as the stage began.
    pub before: &'a [Logps],
}

impl<'a> Limits<'a> {
    /// The config's limits.
    pub fn new(config: &Train, initial: &'a [Logps], before: &'a [Logps]) -> Self {
        Self { kl: config.max_kl, chosen_drop: config.max_chosen_drop, initial, before }
    }

    /// Why the policy has gone too far, if it has: `now` holds log p of both responses of each pair of a batch, and `tokens` says how many the
    /// chosen one has.
    pub fn passed(&self, batch: &[usize], now: &[f64], tokens: impl Fn(usize) -> usize) -> Option<String> {
        let chosen = || batch.iter().zip(now.chunks(2)).map(|(&i, both)| (i, both[0]));
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / batch.len().max(1) as f64;
        let kl = mean(&mut chosen().map(|(i, now)| (now - self.initial[i][0]) / tokens(i).max(1) as f64));
        let drop = mean(&mut chosen().map(|(i, now)| self.before[i][0] - now));
        let over = |value: f64, limit: Option<f64>| limit.filter(|limit| value > *limit);
        if let Some(limit) = over(kl.abs(), self.kl) {
            return Some(format!(
                "the chosen responses are {kl:+.3} nats a token from the initial model; train.max_kl is {limit}"
            ));
        }
        let limit = over(drop, self.chosen_drop)?;
        Some(format!("the chosen responses lost {drop:.2} nats of log-probability; train.max_chosen_drop is {limit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(kl: Option<f64>, chosen_drop: Option<f64>) -> Limits<'static> {
        Limits { kl, chosen_drop, initial: &[[-10.0, -9.0], [-20.0, -9.0]], before: &[[-12.0, 0.0], [-22.0, 0.0]] }
    }

    #[test]
    fn the_batchs_means_are_held_to_the_limits() {
        let now = [-14.0, 0.0, -26.0, 0.0];
        let passed = |limits: Limits| limits.passed(&[0, 1], &now, |_| 2);
        assert_eq!(passed(limits(None, None)), None);
        // (−4/2 − 6/2) / 2 = −2.5; (2 + 4) / 2 = 3.
        assert_eq!(passed(limits(Some(2.6), Some(3.1))), None);
        assert!(passed(limits(Some(2.4), None)).is_some_and(|why| why.contains("-2.500 nats a token")));
        assert!(passed(limits(None, Some(2.9))).is_some_and(|why| why.contains("lost 3.00 nats")));
    }

    #[test]
    fn a_chosen_response_that_gained_is_no_drop() {
        assert_eq!(limits(None, Some(0.0)).passed(&[0], &[-1.0, 0.0], |_| 2), None);
    }
}
