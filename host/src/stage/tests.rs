//! The room as a whole, with hand-made policies.

use anyhow::bail;

use super::*;
use crate::data::test_folder::TestFolder;
use crate::records::{Overrides, PromptText, StageMember};

pub(super) fn pair(id: &str, group: Option<&str>, gap: f64) -> Pair {
    Pair {
        id: id.into(),
        prompt_id: id.into(),
        group: group.map(String::from),
        prompt: PromptText::Text("q".into()),
        chosen: PromptText::Text("a".into()),
        rejected: PromptText::Text("b".into()),
        chosen_rating: 1.0,
        rejected_rating: 1.0 - gap,
        gap,
        dimensions: BTreeMap::new(),
        chosen_index: 0,
        rejected_index: 1,
        prompt_token_ids: Vec::new(),
        chosen_token_ids: Vec::new(),
        rejected_token_ids: Vec::new(),
    }
}

pub(super) fn stage(name: &str, pairs: &[u32]) -> Stage {
    Stage {
        name: name.into(),
        pairs: pairs.into(),
        overrides: Overrides::default(),
        refresh_reference: true,
        resample: false,
        reason: "because".into(),
    }
}

/// Gives these stages one after the other.
struct Listed(Vec<Stage>);

impl NextStage for Listed {
    fn next_stage(&self, _: u64, _: &[Pair], history: &[PastStage]) -> Result<Option<Stage>> {
        assert!(history.iter().all(|past| past.outcome.is_none()));
        assert!(history.iter().zip(&self.0).all(|(past, stage)| past.pairs == stage.pairs));
        Ok(self.0.get(history.len()).cloned())
    }
}

/// Gives the same stage for ever, as a policy that waits for an outcome may.
struct Endless;

impl NextStage for Endless {
    fn next_stage(&self, _: u64, _: &[Pair], _: &[PastStage]) -> Result<Option<Stage>> {
        Ok(Some(stage("again", &[0])))
    }
}

struct Failing;

impl NextStage for Failing {
    fn next_stage(&self, _: u64, _: &[Pair], _: &[PastStage]) -> Result<Option<Stage>> {
        bail!(UserError::new("trap").hint("cure"))
    }
}

fn pairs() -> Vec<Pair> {
    vec![pair("a", None, 0.9), pair("b", None, 0.5), pair("c", None, 0.1)]
}

fn planned(stages: &[Stage]) -> Result<Vec<Stage>> {
    plan(&Listed(stages.into()), 0, &pairs(), &Train::default())
}

#[test]
fn the_room_writes_members_and_counts_repeated_and_unstaged_pairs() -> Result<()> {
    let folder = TestFolder::new()?;
    let file = folder.path().join("stages.jsonl");
    let stages = [stage("x", &[1, 0]), stage("y", &[1])];
    let (planned, summary) = room(&Listed(stages.to_vec()), 0, &pairs(), &BTreeMap::new(), &Train::default(), &file)?;
    assert_eq!(planned, stages);
    assert_eq!((summary.unstaged, summary.repeated), (1, 1));
    assert_eq!((summary.stages[0].name.as_str(), summary.stages[0].pairs), ("x", 2));
    let ids: Vec<String> = jsonl::read::<StageMember>(&file)?.into_iter().map(|m| m.pair_id).collect();
    assert_eq!(ids, ["b", "a", "b"]);
    Ok(())
}

#[test]
fn no_pairs_are_an_error_that_counts_the_drops() {
    let drops = BTreeMap::from([("empty".to_owned(), 2), ("small-gap".to_owned(), 30)]);
    let none = room(&Endless, 0, &[], &drops, &Train::default(), Path::new("unused"));
    let error = none.expect_err("no pairs").to_string();
    assert_eq!(error, "there are no pairs to train on (dropped: small-gap 30, empty 2)");
    assert!(no_pairs(&BTreeMap::new()).message.contains("no samples"));
}

#[test]
fn a_policy_that_never_ends_is_stopped() {
    let error = plan(&Endless, 0, &pairs(), &Train::default()).expect_err("endless").to_string();
    assert!(error.contains("100 stages"), "{error}");
    let many: Vec<Stage> = (0..MAX_STAGES).map(|_| stage("x", &[0])).collect();
    assert_eq!(planned(&many).map_or(0, |stages| stages.len()), MAX_STAGES);
}

#[test]
fn stages_that_cannot_be_trained_are_refused() {
    for (stages, part) in [
        (vec![], "no stage for 3 pairs"),
        (vec![stage("x", &[])], "`x` of the staging policy has no pairs"),
        (vec![stage("x", &[0, 3])], "names pair 3, and there are 3"),
        (vec![stage("x", &[1, 1])], "names pair 1 twice"),
    ] {
        let error = planned(&stages).expect_err("refused").to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_fault_of_the_policy_stays_the_users_error() {
    let error = plan(&Failing, 0, &pairs(), &Train::default()).expect_err("a fault");
    assert!(error.downcast_ref::<UserError>().is_some_and(|e| e.hint.is_some()));
}

#[test]
fn overrides_that_no_loss_takes_are_refused_when_the_plan_is_made() {
    let with = |overrides: Overrides| vec![stage("x", &[0]), Stage { overrides, ..stage("y", &[1]) }];
    let loss = |name: &str| Overrides { loss: Some(name.into()), ..Overrides::default() };
    for (overrides, part) in [
        (loss("reinforce"), "stage `y`: the staging policy asks for the loss `reinforce`, which there is not"),
        (Overrides { label_smoothing: Some(0.5), ..loss("robust") }, "stage `y`: with what the staging policy sets, "),
        (Overrides { beta: Some(0.0), ..Overrides::default() }, "train.beta = 0: must be above 0"),
        (loss("kto"), "stage `y` of the staging policy has pairs of a single prompt, and the loss `kto` needs two"),
    ] {
        let error = planned(&with(overrides)).expect_err("refused");
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.downcast_ref::<UserError>().is_some_and(|e| e.hint.is_some()));
    }
    for known in ["simpo", "apo-down", "nll"] {
        assert_eq!(planned(&with(loss(known))).expect("a sound plan").len(), 2, "{known}");
    }
}
