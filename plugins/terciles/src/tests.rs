//! The policy through the test kit.

use std::collections::BTreeSet;

use udasa_plugin_sdk::test_kit::{pairs, run_policy, try_run_policy};
use udasa_plugin_sdk::{Pair, Stage};

use crate::Terciles;

fn members(stage: &Stage) -> BTreeSet<u32> {
    stage.pairs.iter().copied().collect()
}

fn sizes(stages: &[Stage]) -> Vec<usize> {
    stages.iter().map(|stage| stage.pairs.len()).collect()
}

/// Group `a` has large gaps, `b` small ones.
fn mixed() -> Vec<Pair> {
    pairs(&[("a", 0.9), ("a", 0.8), ("a", 0.7), ("b", 0.3), ("b", 0.2), ("b", 0.1)])
}

#[test]
fn large_gaps_within_each_group_come_first() {
    let stages = run_policy::<Terciles>("{}", 1, &mixed());
    let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["conservative", "moderate", "exploratory"]);
    assert_eq!(stages.iter().map(members).collect::<Vec<_>>(), [[0, 3].into(), [1, 4].into(), [2, 5].into()]);
    assert_eq!(stages[0].reason, "part 1 of 3 by gap, largest first, within each group: gaps from 0.300 to 0.900");
}

#[test]
fn over_all_pairs_the_groups_fall_apart() {
    let stages = run_policy::<Terciles>(r#"{"within": "all"}"#, 1, &mixed());
    assert_eq!(stages.iter().map(members).collect::<Vec<_>>(), [[0, 1].into(), [2, 3].into(), [4, 5].into()]);
}

#[test]
fn the_direction_turns_the_order_round() {
    let stages = run_policy::<Terciles>(r#"{"direction": "small-first"}"#, 1, &mixed());
    assert_eq!(stages.iter().map(members).collect::<Vec<_>>(), [[2, 5].into(), [1, 4].into(), [0, 3].into()]);
    assert_eq!(stages[0].name, "conservative");
}

#[test]
fn remainders_of_many_groups_do_not_pile_up() {
    let gaps: Vec<(String, f64)> = (0..10).flat_map(|g| (0..4).map(move |i| (format!("g{g}"), f64::from(i)))).collect();
    let gaps: Vec<(&str, f64)> = gaps.iter().map(|(group, gap)| (group.as_str(), *gap)).collect();
    assert_eq!(sizes(&run_policy::<Terciles>("{}", 1, &pairs(&gaps))), [14, 13, 13]);
}

#[test]
fn groups_smaller_than_the_number_of_stages_are_divided_together() {
    let stages = run_policy::<Terciles>("{}", 1, &pairs(&[("a", 0.1), ("b", 0.9), ("c", 0.5)]));
    assert_eq!(stages.iter().map(members).collect::<Vec<_>>(), [[1].into(), [2].into(), [0].into()]);
}

#[test]
fn no_stage_is_ever_empty() {
    for n in 0..20 {
        let stages = run_policy::<Terciles>("{}", 1, &pairs(&vec![("", 0.5); n]));
        assert_eq!(stages.len(), n.min(3));
        assert_eq!(sizes(&stages).iter().sum::<usize>(), n);
    }
}

#[test]
fn equal_gaps_are_divided_by_id_whatever_the_order_of_the_file() {
    let mut equal = pairs(&[("", 0.5); 6]);
    let ids = |pairs: &[Pair]| -> Vec<BTreeSet<String>> {
        let stages = run_policy::<Terciles>("{}", 1, pairs);
        stages.iter().map(|stage| stage.pairs.iter().map(|i| pairs[*i as usize].id.clone()).collect()).collect()
    };
    let straight = ids(&equal);
    equal.reverse();
    assert_eq!(straight, ids(&equal));
}

#[test]
fn pairs_are_shuffled_by_the_seed_and_membership_is_not() {
    let gaps: Vec<(&str, f64)> = (0..60).map(|i| ("", f64::from(i))).collect();
    let (one, two) = (run_policy::<Terciles>("{}", 1, &pairs(&gaps)), run_policy::<Terciles>("{}", 2, &pairs(&gaps)));
    assert_ne!(one[0].pairs, two[0].pairs);
    assert_eq!(members(&one[0]), members(&two[0]));
}

#[test]
fn the_schedule_follows_the_method_unless_it_is_set() {
    let stages = run_policy::<Terciles>("{}", 1, &mixed());
    let get = |stages: &[Stage]| -> Vec<_> {
        let of = |stage: &Stage| {
            let overrides = &stage.overrides;
            (overrides.epochs, overrides.learning_rate_scale, overrides.label_smoothing)
        };
        stages.iter().map(of).collect()
    };
    assert_eq!(
        get(&stages),
        [(None, Some(1.0), Some(0.0)), (None, Some(0.7), Some(0.05)), (None, Some(0.5), Some(0.1))]
    );
    let mini =
        r#"{"epochs": [5, 3, 1], "learning_rate_scale": 1.0, "label_smoothing": 0.0, "refresh_reference": false}"#;
    let stages = run_policy::<Terciles>(mini, 1, &mixed());
    assert_eq!(
        get(&stages),
        [(Some(5), Some(1.0), Some(0.0)), (Some(3), Some(1.0), Some(0.0)), (Some(1), Some(1.0), Some(0.0))]
    );
    assert!(stages.iter().all(|stage| !stage.refresh_reference && !stage.resample));
    let stages = run_policy::<Terciles>(r#"{"resample": true}"#, 1, &mixed());
    assert_eq!(stages.iter().map(|stage| stage.resample).collect::<Vec<_>>(), [false, true, true]);
}

#[test]
fn names_and_lists_that_do_not_fit_are_refused_together() {
    let settings = r#"{"stages": ["a", "a", ""], "epochs": [1, 2], "beta": -1}"#;
    let refused = try_run_policy::<Terciles>(settings, 1, &mixed()).expect_err("it should be refused");
    for part in
        ["epochs: has 2 values for 3 stages", "beta: -1 is out of range", "stages.1: `a` is used twice", "stages.2:"]
    {
        assert!(refused.contains(part), "{refused}");
    }
    assert!(try_run_policy::<Terciles>(r#"{"stages": []}"#, 1, &mixed()).is_err());
    let two = run_policy::<Terciles>(r#"{"stages": ["first", "second"]}"#, 1, &mixed());
    assert_eq!(sizes(&two), [3, 3]);
}
