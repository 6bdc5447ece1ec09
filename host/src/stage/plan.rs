//! Asks a policy for one stage after the other, and refuses what cannot be trained: unknown pairs, and overrides that no loss takes.

use std::collections::HashSet;

use anyhow::{Context, Result};

use super::NextStage;
use crate::config::{Loss, Train};
use crate::error::UserError;
use crate::records::{Pair, PastStage, Stage};

/// A plan has at most this many stages. More is a policy that waits for an outcome, and in a plan there is none.
pub const MAX_STAGES: usize = 100;

/// All stages, as the policy plans them without outcomes. `train` is what their overrides depart from.
pub fn plan(policy: &dyn NextStage, seed: u64, pairs: &[Pair], train: &Train) -> Result<Vec<Stage>> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut history: Vec<PastStage> = Vec::new();
    loop {
        let next =
            policy.next_stage(seed, pairs, &history).with_context(|| format!("planning stage {}", stages.len() + 1))?;
        let Some(stage) = next else {
            break;
        };
        if stages.len() == MAX_STAGES {
            return Err(UserError::new(format!(
                "the staging policy gave {MAX_STAGES} stages and goes on; the last is `{}`",
                stage.name
            ))
            .hint("a policy must end its plan by giving no stage; `stage.policy` names another one")
            .into());
        }
        check(&stage, pairs.len())?;
        check_loss(&stage, pairs, train)?;
        history.push(PastStage { name: stage.name.clone(), pairs: stage.pairs.clone(), outcome: None });
        stages.push(stage);
    }
    if stages.is_empty() {
        return Err(UserError::new(format!("the staging policy gave no stage for {} pairs", pairs.len()))
            .hint("check `stage.settings`, or set `stage.policy` to another one")
            .into());
    }
    Ok(stages)
}

/// A stage that can be trained: pairs that exist, each once.
pub fn check(stage: &Stage, pairs: usize) -> Result<(), UserError> {
    let wrong = |what: String| {
        Err(UserError::new(format!("stage `{}` of the staging policy {what}", stage.name))
            .hint("the policy is at fault; `stage.policy` names another one"))
    };
    if stage.pairs.is_empty() {
        return wrong("has no pairs".into());
    }
    let mut seen = HashSet::new();
    for &index in &stage.pairs {
        if index as usize >= pairs {
            return wrong(format!("names pair {index}, and there are {pairs}"));
        }
        if !seen.insert(index) {
            return wrong(format!("names pair {index} twice"));
        }
    }
    Ok(())
}

/// Overrides that the training takes, and for a loss that compares prompts more than one.
fn check_loss(stage: &Stage, pairs: &[Pair], train: &Train) -> Result<()> {
    let train = train.with(&stage.overrides).map_err(|error| {
        let with_stage = UserError::new(format!("stage `{}`: {}", stage.name, error.message));
        UserError { hint: error.hint, ..with_stage }
    })?;
    let mut prompts = stage.pairs.iter().map(|&i| &pairs[i as usize].prompt_id);
    let first = prompts.next();
    if train.loss.has(Loss::Kto) && prompts.all(|prompt| Some(prompt) == first) {
        return Err(UserError::new(format!(
            "stage `{}` of the staging policy has pairs of a single prompt, and the loss `kto` needs two",
            stage.name
        ))
        .hint("give the stage more prompts, or take the loss `apo-zero`, which is KTO without its KL term")
        .into());
    }
    Ok(())
}
