//! How much a sample's meanings vary: entropies over classes of responses, in nats.

use super::{cluster, exp, ln, log_sum_exp};

/// −Σ p ln p over the classes, p = the share of responses in a class: the discrete semantic entropy (Farquhar et al.
/// 2024). `classes[i]` is response i's class, counted from 0. 0 for no response; at most ln N.
///
/// ```
/// use udasa_plugin_sdk::math::entropy::discrete_semantic_entropy;
/// assert_eq!(discrete_semantic_entropy(&[0, 0, 0]), 0.0);
/// assert!((discrete_semantic_entropy(&[0, 1, 0, 1]) - udasa_plugin_sdk::math::ln(2.0)).abs() < 1e-15);
/// ```
pub fn discrete_semantic_entropy(classes: &[usize]) -> f64 {
    let mut counts = vec![0_usize; cluster::count(classes)];
    for class in classes {
        counts[*class] += 1;
    }
    let all = classes.len() as f64;
    entropy(counts.into_iter().map(|count| count as f64 / all))
}

/// −Σ p ln p over the classes, p(C) = Σ_{j∈C} e^{ℓ_j} / Σ_k e^{ℓ_k} (Farquhar et al. 2024, the Rao-Blackwellised form).
/// ℓ is a response's log-probability: the mean over its tokens for the length-normalised form, their sum for the other.
/// 0 for no response, or where all ℓ are −∞.
///
/// # Panics
/// Where there are not as many log-probabilities as responses.
pub fn semantic_entropy(classes: &[usize], logprobs: &[f64]) -> f64 {
    let of_class = class_logprobs(classes, logprobs);
    let all = log_sum_exp(&of_class);
    if all == f64::NEG_INFINITY {
        return 0.0;
    }
    entropy(of_class.into_iter().map(|logprob| exp(logprob - all)))
}

/// −mean over the responses of ln Σ_{k∈C(j)} e^{ℓ_k} (Kuhn et al. 2023, eq. 4): a Monte Carlo estimate with likelihoods
/// that are not normalised, so that it may be negative. 0 for no response.
///
/// # Panics
/// Where there are not as many log-probabilities as responses.
pub fn semantic_entropy_monte_carlo(classes: &[usize], logprobs: &[f64]) -> f64 {
    let of_class = class_logprobs(classes, logprobs);
    let sum: f64 = classes.iter().map(|class| of_class[*class]).sum();
    if classes.is_empty() { 0.0 } else { -sum / classes.len() as f64 }
}

/// p(C(i)) for every response: the share of the likelihood that its class holds. With equal ℓ, the class's share of the
/// responses. Where all ℓ are −∞, or not even numbers, the shares of the responses.
///
/// ```
/// use udasa_plugin_sdk::math::entropy::class_probabilities;
/// let p = class_probabilities(&[0, 1, 0, 0], &[-1.0; 4]);
/// assert!((p[0] - 0.75).abs() < 1e-15 && (p[1] - 0.25).abs() < 1e-15);
/// ```
pub fn class_probabilities(classes: &[usize], logprobs: &[f64]) -> Vec<f64> {
    let mut of_class = class_logprobs(classes, logprobs);
    let mut all = log_sum_exp(&of_class);
    if !all.is_finite() {
        of_class = class_logprobs(classes, &vec![0.0; classes.len()]);
        all = log_sum_exp(&of_class);
    }
    classes.iter().map(|class| exp(of_class[*class] - all)).collect()
}

/// ln Σ e^ℓ of each class.
fn class_logprobs(classes: &[usize], logprobs: &[f64]) -> Vec<f64> {
    assert_eq!(classes.len(), logprobs.len(), "one log-probability per response");
    let mut members = vec![Vec::new(); cluster::count(classes)];
    for (class, logprob) in classes.iter().zip(logprobs) {
        members[*class].push(*logprob);
    }
    members.iter().map(|of| log_sum_exp(of)).collect()
}

fn entropy(probabilities: impl Iterator<Item = f64>) -> f64 {
    let sum: f64 = probabilities.filter(|p| *p > 0.0).map(|p| p * ln(p)).sum();
    // Not −0 for a single class.
    if sum == 0.0 { 0.0 } else { -sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_meaning_has_no_entropy_and_equal_ones_have_the_most() {
        assert_eq!(discrete_semantic_entropy(&[]).to_bits(), 0);
        assert_eq!(semantic_entropy(&[0, 0], &[-1.0, -50.0]).to_bits(), 0);
        let spread = discrete_semantic_entropy(&[0, 1, 2]);
        assert!((spread - ln(3.0)).abs() < 1e-15);
        assert!((semantic_entropy(&[0, 1, 2], &[-7.0; 3]) - ln(3.0)).abs() < 1e-15);
    }

    #[test]
    fn an_unlikely_class_weighs_little() {
        let heavy = semantic_entropy(&[0, 1], &[-1.0, -1.0]);
        let light = semantic_entropy(&[0, 1], &[-1.0, -20.0]);
        assert!(light < 1e-6 && heavy > 0.69);
        assert_eq!(semantic_entropy(&[0, 1], &[-1.0, f64::NEG_INFINITY]).to_bits(), 0);
        assert_eq!(semantic_entropy(&[0, 1], &[f64::NEG_INFINITY; 2]), 0.0);
        assert_eq!(class_probabilities(&[0, 1], &[f64::NEG_INFINITY; 2]), [0.5, 0.5]);
        assert!(class_probabilities(&[], &[]).is_empty());
    }

    #[test]
    fn the_monte_carlo_form_is_the_mean_of_the_classes_log_likelihoods() {
        let half = -ln(0.5);
        assert!((semantic_entropy_monte_carlo(&[0, 1], &[-half, -half]) - half).abs() < 1e-15);
        assert!(semantic_entropy_monte_carlo(&[0, 0, 0], &[0.0; 3]) < 0.0);
        assert_eq!(semantic_entropy_monte_carlo(&[], &[]), 0.0);
    }
}
