//! The room as a whole, on hand-made samples.

use std::collections::BTreeMap;

use super::*;
use crate::config::{PairSection, Rejected};
use crate::data::test_folder::TestFolder;
use crate::records::{Dimension, Drop, Finish, Message, PromptText, Response};

fn sample(id: &str, texts: &[&str]) -> Sample {
    Sample {
        id: id.into(),
        prompt: PromptText::Text("q".into()),
        group: Some("g".into()),
        prompt_token_ids: vec![9],
        responses: texts
            .iter()
            .map(|text| Response { text: (*text).into(), token_ids: vec![1; text.len()], ..Response::default() })
            .collect(),
    }
}

fn uncertainty(id: &str, u: &[f64]) -> SampleUncertainty {
    SampleUncertainty {
        id: id.into(),
        u: u.into(),
        dimensions: BTreeMap::from([(Dimension::Value, u.iter().map(|u| u / 2.0).collect())]),
        vetoed: Vec::new(),
    }
}

/// One prompt's pairs and drop reasons.
fn one(
    sample: Sample,
    uncertainty: SampleUncertainty,
    change: impl FnOnce(&mut PairSection),
) -> (Vec<Pair>, Vec<Drop>) {
    let mut config = PairSection::default();
    change(&mut config);
    build(&[sample], &[uncertainty], &config, 0)
}

fn reason(sample: Sample, uncertainty: SampleUncertainty) -> String {
    let (pairs, drops) = one(sample, uncertainty, |_| {});
    assert!(pairs.is_empty());
    assert_eq!(drops.len(), 1);
    drops[0].reason.clone()
}

#[test]
fn the_most_reliable_is_paired_with_the_worst() {
    let (pairs, drops) = one(sample("p", &["aa", "b", "ccc"]), uncertainty("p", &[0.5, 0.25, 0.75]), |_| {});
    assert!(drops.is_empty());
    let pair = &pairs[0];
    assert_eq!((pair.id.as_str(), pair.prompt_id.as_str()), ("p-1-2", "p"));
    assert_eq!(pair.chosen, PromptText::Text("b".into()));
    assert_eq!(pair.rejected, PromptText::Text("ccc".into()));
    assert_eq!((pair.gap, pair.chosen_rating, pair.rejected_rating), (0.5, 0.75, 0.25));
    assert_eq!(pair.dimensions[&Dimension::Value], [0.125, 0.375]);
    assert_eq!((pair.chosen_token_ids.len(), pair.rejected_token_ids.len()), (1, 3));
    assert_eq!((pair.prompt_token_ids.as_slice(), pair.group.as_deref()), (&[9][..], Some("g")));
}

#[test]
fn a_dialogue_is_continued_by_one_assistant_message() {
    let mut chat = sample("p", &["a", "b"]);
    chat.prompt = PromptText::Chat(vec![Message { role: "user".into(), content: "q".into() }]);
    let (pairs, _) = one(chat, uncertainty("p", &[0.1, 0.9]), |_| {});
    let want = Message { role: "assistant".into(), content: "a".into() };
    assert_eq!(pairs[0].chosen, PromptText::Chat(vec![want]));
}

#[test]
fn every_drop_has_its_reason() {
    let two = |id| uncertainty(id, &[0.1, 0.9]);
    assert_eq!(reason(sample("p", &["a", "b"]), two("other")), "faulty");
    assert_eq!(reason(sample("p", &["a", "b", "c"]), two("p")), "faulty");
    assert_eq!(reason(sample("p", &["a"]), uncertainty("p", &[0.1])), "one-response");
    assert_eq!(reason(sample("p", &[]), uncertainty("p", &[])), "one-response");
    assert_eq!(reason(sample("p", &["", " \n"]), two("p")), "empty");
    assert_eq!(reason(sample("p", &["a", " "]), two("p")), "empty");
    assert_eq!(reason(sample("p", &["Yes.", "yes"]), two("p")), "all-agree");
    let three = uncertainty("p", &[0.1, 0.3, 0.9]);
    assert_eq!(reason(sample("p", &["a", "b", "a "]), three), "identical");
    assert_eq!(reason(sample("p", &["a", "b"]), uncertainty("p", &[0.1, 0.11])), "small-gap");
    assert_eq!(reason(sample("p", &["a", "b"]), uncertainty("p", &[0.1, 0.1])), "small-gap");
    let nan = uncertainty("p", &[f64::NAN, f64::NAN]);
    assert_eq!(reason(sample("p", &["a", "b"]), nan), "no-candidate");
    let vetoed = SampleUncertainty { vetoed: vec![0, 1], ..two("p") };
    assert_eq!(reason(sample("p", &["a", "b"]), vetoed), "vetoed");
}

#[test]
fn a_truncated_response_drops_the_pair_unless_allowed() {
    let mut cut = sample("p", &["a", "b"]);
    cut.responses[1].finish = Finish::Length;
    assert_eq!(reason(cut.clone(), uncertainty("p", &[0.1, 0.9])), "truncated");
    let allow = |config: &mut PairSection| config.drop_truncated = false;
    assert_eq!(one(cut, uncertainty("p", &[0.1, 0.9]), allow).0.len(), 1);
}

#[test]
fn a_vetoed_response_is_never_chosen_but_may_be_rejected() {
    let u = SampleUncertainty { vetoed: vec![0, 2], ..uncertainty("p", &[0.1, 0.4, 0.9]) };
    let (pairs, _) = one(sample("p", &["a", "b", "c"]), u, |_| {});
    assert_eq!((pairs[0].chosen_index, pairs[0].rejected_index), (1, 2));
}

#[test]
fn equal_uncertainty_makes_no_pair_even_without_a_least_gap() {
    let any_gap = |config: &mut PairSection| config.min_gap = 0.0;
    let (pairs, drops) = one(sample("p", &["a", "b"]), uncertainty("p", &[0.3, 0.3]), any_gap);
    assert_eq!((pairs.len(), drops[0].reason.as_str()), (0, "small-gap"));
}

#[test]
fn several_pairs_of_a_prompt_have_different_rejected_texts() {
    let texts = ["a", "x", "y", "x", "z"];
    let u = uncertainty("p", &[0.0, 0.9, 0.8, 0.7, 0.6]);
    let (pairs, drops) = one(sample("p", &texts), u, |config| {
        config.per_prompt = 3;
        config.rejected = Rejected::Worst;
    });
    let rejected: Vec<usize> = pairs.iter().map(|pair| pair.rejected_index).collect();
    assert_eq!((rejected, drops.len()), (vec![1, 2, 4], 0));
}

#[test]
fn the_same_seed_gives_the_same_pairs_in_any_order_of_samples() {
    let samples: Vec<Sample> = (0..20).map(|n| sample(&n.to_string(), &["a", "b", "c", "d"])).collect();
    let us: Vec<_> = samples.iter().map(|s| uncertainty(&s.id, &[0.0, 0.3, 0.6, 0.9])).collect();
    let config = PairSection { rejected: Rejected::RandomWorse, ..PairSection::default() };
    let ids = |samples: &[Sample], seed| {
        let (pairs, _) = build(samples, &us, &config, seed);
        let mut ids: Vec<String> = pairs.into_iter().map(|pair| pair.id).collect();
        ids.sort();
        ids
    };
    let reversed: Vec<Sample> = samples.iter().rev().cloned().collect();
    assert_eq!(ids(&samples, 1), ids(&reversed, 1));
    assert_ne!(ids(&samples, 1), ids(&samples, 2));
}

#[test]
fn no_samples_are_no_pairs_and_no_drops() {
    assert_eq!(build(&[], &[], &PairSection::default(), 0), (vec![], vec![]));
}

#[test]
fn the_room_writes_both_files_and_counts() -> Result<()> {
    let folder = TestFolder::new()?;
    let samples = [sample("p", &["aa", "b"]), sample("q", &["a"]), sample("r", &["a"])];
    let us = [uncertainty("p", &[0.1, 0.7]), uncertainty("q", &[0.1])];
    let [pairs_file, drops_file] = ["pairs.jsonl", "drops.jsonl"].map(|n| folder.path().join(n));
    let config = PairSection::default();
    let (pairs, summary) = room(&samples, &us, &config, 0, "", &pairs_file, &drops_file)?;
    assert_eq!(jsonl::read::<Pair>(&pairs_file)?, pairs);
    assert_eq!(jsonl::read::<Drop>(&drops_file)?.len(), 2);
    assert_eq!((summary.prompts, summary.pairs, summary.paired_prompts), (3, 1, 1));
    assert_eq!(summary.drops["one-response"] + summary.drops["faulty"], 2);
    assert_eq!(summary.mean_length_difference, Some(1.0));
    assert_eq!(summary.length_unit, LengthUnit::Tokens);
    Ok(())
}
