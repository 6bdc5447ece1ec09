//! The stage room: a staging policy divides the pairs into ordered stages.
//!
//! In: pairs and a policy (a plugin behind [`NextStage`]). Out: `stages.jsonl`, one line per pair and stage with the
//! reason why it is there. This is the plan: the policy sees its own stages without outcomes. A policy that uses the
//! outcomes of training is asked again, with them, by whoever trains.

mod borders;
mod members;
mod plan;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::config::Train;
use crate::data::jsonl;
use crate::error::UserError;
use crate::records::{Overrides, Pair, PastStage, Stage};

pub use borders::{Border, borders};
pub use members::{Ranked, members};
pub use plan::{MAX_STAGES, check, plan};

/// A pure function from the pairs and the stages so far to the next stage.
pub trait NextStage {
    /// None: no more stages.
    fn next_stage(&self, seed: u64, pairs: &[Pair], history: &[PastStage]) -> Result<Option<Stage>>;
}

/// All pairs in one stage, in their order: what is left where there is no policy, for pairs made elsewhere.
pub struct InOrder;

impl NextStage for InOrder {
    fn next_stage(&self, _: u64, pairs: &[Pair], history: &[PastStage]) -> Result<Option<Stage>> {
        Ok(history.is_empty().then(|| Stage {
            name: "all".into(),
            pairs: (0..pairs.len() as u32).collect(),
            overrides: Overrides::default(),
            refresh_reference: false,
            resample: false,
            reason: "all pairs, in the order of their rows: there is no staging policy".into(),
        }))
    }
}

/// What the room did, for the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name, pairs and reason of each stage, in order.
    pub stages: Vec<StageSummary>,
    /// Pairs that no stage has.
    pub unstaged: usize,
    /// Pairs that several stages have.
    pub repeated: usize,
    /// The range of Δu in every stage and group.
    pub borders: Vec<Border>,
}

/// One planned stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageSummary {
    /// Its name.
    pub name: String,
    /// How many pairs it has.
    pub pairs: usize,
    /// The policy's reason.
    pub reason: String,
}

/// Plans the stages and writes `stages.jsonl`. `drops` counts the pair room's drops by reason: they are the explanation
/// where no pair is left. `train` is what the stages' overrides depart from, and are checked with.
pub fn room(
    policy: &dyn NextStage,
    seed: u64,
    pairs: &[Pair],
    drops: &BTreeMap<String, usize>,
    train: &Train,
    stages_file: &Path,
) -> Result<(Vec<Stage>, Summary)> {
    if pairs.is_empty() {
        return Err(no_pairs(drops).into());
    }
    let stages = plan(policy, seed, pairs, train)?;
    let members = members(pairs, &stages);
    jsonl::write(stages_file, &members)?;
    let mut staged = HashSet::new();
    let mut repeated = HashSet::new();
    for member in &members {
        if !staged.insert(&member.pair_id) {
            repeated.insert(&member.pair_id);
        }
    }
    let summary = Summary {
        stages: stages
            .iter()
            .map(|stage| StageSummary {
                name: stage.name.clone(),
                pairs: stage.pairs.len(),
                reason: stage.reason.clone(),
            })
            .collect(),
        unstaged: pairs.len() - staged.len(),
        repeated: repeated.len(),
        borders: borders(&members),
    };
    Ok((stages, summary))
}

fn no_pairs(drops: &BTreeMap<String, usize>) -> UserError {
    let mut counts: Vec<(&String, &usize)> = drops.iter().collect();
    counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let counts: Vec<String> = counts.into_iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let cause =
        if counts.is_empty() { "there are no samples".to_owned() } else { format!("dropped: {}", counts.join(", ")) };
    UserError::new(format!("there are no pairs to train on ({cause})")).hint(
        "drops.jsonl gives the reason for every prompt; lower `pair.min_gap`, raise `generate.temperature` or \
         `generate.max_tokens`, or add prompts",
    )
}

#[cfg(test)]
mod tests;
