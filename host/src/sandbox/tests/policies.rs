//! Staging policies that misbehave (`tests/fixtures/bad-policy`), and one that does not.

use std::collections::BTreeMap;

use crate::config::StageSection;
use crate::records::{Overrides, Pair, PastStage, PromptText, Stage};
use crate::sandbox::StagingPolicy;

use super::{directory, limits};

fn policy(sin: &str) -> StagingPolicy {
    let config = StageSection {
        policy: "bad-policy".to_owned(),
        settings: BTreeMap::from([("sin".to_owned(), sin.into())]),
        sha256: None,
        native: false,
    };
    directory().policy(&config, &limits()).expect("loads")
}

fn pairs(n: usize) -> Vec<Pair> {
    let text = || PromptText::Text("text".to_owned());
    let pair = |i: usize| Pair {
        id: format!("p{i}-0-1"),
        prompt_id: format!("p{i}"),
        group: None,
        prompt: text(),
        chosen: text(),
        rejected: text(),
        chosen_rating: 0.75,
        rejected_rating: 0.25,
        gap: 0.5,
        dimensions: BTreeMap::new(),
        chosen_index: 0,
        rejected_index: 1,
        prompt_token_ids: Vec::new(),
        chosen_token_ids: vec![1, 2],
        rejected_token_ids: vec![3],
    };
    (0..n).map(pair).collect()
}

fn past(n: usize) -> Vec<PastStage> {
    let stage = PastStage { name: "all".to_owned(), pairs: vec![0], outcome: None };
    vec![stage; n]
}

#[test]
fn a_good_policy_gives_its_stages_and_then_stops() {
    let good = policy("");
    let expected = Stage {
        name: "all".to_owned(),
        pairs: vec![0, 1, 2],
        overrides: Overrides { beta: Some(0.5), ..Overrides::default() },
        refresh_reference: true,
        resample: false,
        reason: "seed 7, 3 pairs".to_owned(),
    };
    assert_eq!(good.next_stage(7, &pairs(3), &[]), Ok(Some(expected)));
    assert_eq!(good.next_stage(7, &pairs(3), &past(1)), Ok(None));
}

#[test]
fn every_ill_formed_stage_is_refused() {
    let causes = [
        ("beyond", "put pair 3 into stage `all`; there are 3 pairs, counted from 0"),
        ("twice", "put pair 0 into stage `all` twice"),
        ("empty", "made stage `all` without pairs"),
        ("unnamed", "named a stage ``; a name has 1 to 200 bytes and no control characters"),
        ("nan", "set `beta` of stage `all` to NaN; it takes 0 to 100"),
        ("fault", "too few pairs"),
        ("loop", "ran out of fuel (200,000,000 units, about as many instructions)"),
    ];
    for (sin, cause) in causes {
        let bad = policy(sin);
        let fault = bad.next_stage(7, &pairs(3), &[]).expect_err(sin);
        let digest = &bad.sha256()[..12];
        assert_eq!(fault.to_string(), format!("plugin `bad-policy` 0.1.0 ({digest}): `next-stage` failed: {cause}"));
    }
}

#[test]
fn endless_stages_come_to_an_end() {
    let bad = policy("endless-stages");
    assert!(bad.next_stage(7, &pairs(3), &past(999)).is_ok());
    let fault = bad.next_stage(7, &pairs(3), &past(1000)).expect_err("endless");
    assert!(fault.to_string().ends_with("made another stage after 1000"));
}
