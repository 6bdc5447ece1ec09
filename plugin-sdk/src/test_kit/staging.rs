//! A staging policy under test.

use std::collections::BTreeSet;

use crate::{Outcome, Pair, PastStage, Stage, StagingPolicy, adapter};

use super::scorer::told;

/// Stages after which a policy is taken never to stop.
const MOST_STAGES: usize = 1000;

/// Pairs with these groups and gaps; an empty group is none.
pub fn pairs(gaps: &[(&str, f64)]) -> Vec<Pair> {
    let pair = |(index, (group, gap)): (usize, &(&str, f64))| Pair {
        id: format!("p{index}"),
        group: (!group.is_empty()).then(|| (*group).to_owned()),
        gap: *gap,
        rejected_uncertainty: *gap,
        ..Pair::default()
    };
    gaps.iter().enumerate().map(pair).collect()
}

/// Plans all stages of a policy, without outcomes.
///
/// # Panics
/// With what the policy did wrong.
pub fn run_policy<P: StagingPolicy>(settings: &str, seed: u64, pairs: &[Pair]) -> Vec<Stage> {
    try_run_policy::<P>(settings, seed, pairs).unwrap_or_else(|breach| panic!("{}: {breach}", P::NAME))
}

/// As [`run_policy`], with the breach of contract, or the fault, as an error.
pub fn try_run_policy<P: StagingPolicy>(settings: &str, seed: u64, pairs: &[Pair]) -> Result<Vec<Stage>, String> {
    try_run_policy_with::<P>(settings, seed, pairs, |_| None)
}

/// All stages of a policy that hears what came of each: `outcome` stands in for the training.
///
/// # Panics
/// With what the policy did wrong.
pub fn run_policy_with<P: StagingPolicy>(
    settings: &str,
    seed: u64,
    pairs: &[Pair],
    outcome: impl FnMut(&Stage) -> Option<Outcome>,
) -> Vec<Stage> {
    try_run_policy_with::<P>(settings, seed, pairs, outcome).unwrap_or_else(|breach| panic!("{}: {breach}", P::NAME))
}

/// As [`run_policy_with`], with the breach of contract, or the fault, as an error.
pub fn try_run_policy_with<P: StagingPolicy>(
    settings: &str,
    seed: u64,
    pairs: &[Pair],
    mut outcome: impl FnMut(&Stage) -> Option<Outcome>,
) -> Result<Vec<Stage>, String> {
    let problems = adapter::check_policy::<P>(settings);
    if !problems.is_empty() {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return Err(format!("the settings are refused: {}", lines.join("; ")));
    }
    let mut stages: Vec<Stage> = Vec::new();
    let mut history: Vec<PastStage> = Vec::new();
    while stages.len() <= MOST_STAGES {
        let call = || adapter::next_stage::<P>(settings, seed, pairs, &history);
        let stage = call();
        if format!("{stage:?}") != format!("{:?}", call()) {
            return Err(format!("not pure: the same input twice gave two stages {}", stages.len() + 1));
        }
        let Some(stage) = stage.map_err(|fault| format!("fault: {}", told(&fault)))? else {
            return Ok(stages);
        };
        check(&stage, pairs.len())?;
        let outcome = outcome(&stage);
        history.push(PastStage { name: stage.name.clone(), pairs: stage.pairs.clone(), outcome });
        stages.push(stage);
    }
    Err(format!("does not stop after {MOST_STAGES} stages"))
}

fn check(stage: &Stage, pairs: usize) -> Result<(), String> {
    if stage.name.is_empty() {
        return Err("a stage without a name".to_owned());
    }
    if stage.pairs.is_empty() {
        return Err(format!("stage `{}` is empty", stage.name));
    }
    let mut seen = BTreeSet::new();
    for index in &stage.pairs {
        if *index as usize >= pairs {
            return Err(format!("stage `{}` names pair {index} of {pairs}", stage.name));
        }
        if !seen.insert(index) {
            return Err(format!("stage `{}` holds pair {index} twice", stage.name));
        }
    }
    let overrides = &stage.overrides;
    let numbers = [overrides.beta, overrides.learning_rate_scale, overrides.label_smoothing, overrides.nll_weight];
    if numbers.into_iter().flatten().any(|number| !number.is_finite()) {
        return Err(format!("stage `{}` overrides a setting with a number that is not finite", stage.name));
    }
    Ok(())
}
