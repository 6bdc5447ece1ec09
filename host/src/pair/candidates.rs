//! Which response is chosen, and in which order the others come up to be rejected. Pure.

use crate::config::Rejected;
use crate::data::unit_draw;

/// The index of the lowest `u` that is not vetoed; the first among equals. `u` that is not finite never wins.
pub(super) fn chosen(u: &[f64], vetoed: &[usize]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (index, &value) in u.iter().enumerate() {
        let lower = best.is_none_or(|(_, lowest)| value < lowest);
        if value.is_finite() && lower && !vetoed.contains(&index) {
            best = Some((index, value));
        }
    }
    best.map(|(index, _)| index)
}

/// The responses with a strictly higher `u` than the chosen one, in the order in which the rule takes them.
///
/// `worst`: falling. `second`: rising. `median`: the middle one first (the upper of two), then by distance from it,
/// above before below. `random_worse`: drawn by seed and prompt id. The first among equals comes first.
pub(super) fn rejected(u: &[f64], chosen: usize, rule: Rejected, seed: u64, prompt_id: &str) -> Vec<usize> {
    let Some(&lowest) = u.get(chosen) else {
        return Vec::new();
    };
    let mut worse: Vec<(usize, f64)> =
        u.iter().copied().enumerate().filter(|(_, value)| value.is_finite() && *value > lowest).collect();
    match rule {
        // Sorting is stable, so equals stay in the order of their index.
        Rejected::Worst => worse.sort_by(|a, b| b.1.total_cmp(&a.1)),
        Rejected::Second => worse.sort_by(|a, b| a.1.total_cmp(&b.1)),
        Rejected::Median => {
            worse.sort_by(|a, b| a.1.total_cmp(&b.1));
            worse = from_the_middle(&worse);
        }
        Rejected::RandomWorse => worse.sort_by(|a, b| {
            let draw = |index: usize| unit_draw(seed, "rejected", &format!("{prompt_id}-{index}"));
            draw(a.0).total_cmp(&draw(b.0))
        }),
    }
    worse.into_iter().map(|(index, _)| index).collect()
}

fn from_the_middle(sorted: &[(usize, f64)]) -> Vec<(usize, f64)> {
    let (below, above) = sorted.split_at(sorted.len() / 2);
    let (mut below, mut above) = (below.iter().rev(), above.iter());
    let mut out = Vec::with_capacity(sorted.len());
    loop {
        let (up, down) = (above.next(), below.next());
        if up.is_none() && down.is_none() {
            return out;
        }
        out.extend(up);
        out.extend(down);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: [Rejected; 4] = [Rejected::Worst, Rejected::Median, Rejected::Second, Rejected::RandomWorse];

    fn order(u: &[f64], rule: Rejected) -> Vec<usize> {
        rejected(u, chosen(u, &[]).expect("a chosen one"), rule, 0, "p")
    }

    #[test]
    fn the_lowest_is_chosen_and_the_first_among_equals() {
        assert_eq!(chosen(&[0.5, 0.2, 0.2], &[]), Some(1));
        assert_eq!(chosen(&[0.5, 0.2, 0.3], &[1]), Some(2));
        assert_eq!(chosen(&[0.5, 0.2], &[0, 1]), None);
        assert_eq!(chosen(&[f64::NAN, 0.9], &[]), Some(1));
        assert_eq!(chosen(&[], &[]), None);
    }

    #[test]
    fn each_rule_has_its_order() {
        let u = [0.3, 0.1, 0.9, 0.5, 0.7];
        assert_eq!(order(&u, Rejected::Worst), [2, 4, 3, 0]);
        assert_eq!(order(&u, Rejected::Second), [0, 3, 4, 2]);
        assert_eq!(order(&u, Rejected::Median), [4, 3, 2, 0]);
        assert_eq!(order(&u[..4], Rejected::Median), [3, 0, 2]);
    }

    #[test]
    fn ties_come_in_the_order_of_their_index() {
        let u = [0.1, 0.6, 0.6, 0.6];
        assert_eq!(order(&u, Rejected::Worst), [1, 2, 3]);
        assert_eq!(order(&u, Rejected::Second), [1, 2, 3]);
    }

    #[test]
    fn random_follows_seed_and_prompt_and_takes_each_about_equally_often() {
        let u = [0.1, 0.2, 0.3, 0.4];
        let first = |seed, id: &str| rejected(&u, 0, Rejected::RandomWorse, seed, id)[0];
        assert_eq!(first(3, "p"), first(3, "p"));
        let mut counts = [0; 4];
        for n in 0..3000 {
            counts[first(3, &n.to_string())] += 1;
        }
        assert!(counts[1..].iter().all(|n| (900..1100).contains(n)), "{counts:?}");
    }

    #[test]
    fn all_equal_nan_and_lower_vetoed_ones_are_never_rejected() {
        for rule in RULES {
            assert!(order(&[0.4, 0.4, 0.4], rule).is_empty());
            assert!(order(&[0.4, f64::NAN], rule).is_empty());
            assert!(order(&[0.4], rule).is_empty());
            // 0 is vetoed and lower than the chosen 1: its gap would be negative.
            assert_eq!(rejected(&[0.1, 0.4, 0.5], 1, rule, 0, "p"), [2]);
        }
    }
}
