//! What a row says of a pair.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::data::dimension_column;
use crate::records::{Dimension, Pair, PromptText, StageMember};

/// One row: TRL's three columns, and ours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row<'a> {
    /// The pair's id.
    pub id: &'a str,
    /// Text, or a list of messages.
    pub prompt: &'a PromptText,
    /// Likewise.
    pub chosen: &'a PromptText,
    /// Likewise.
    pub rejected: &'a PromptText,
    /// The prompt's id.
    pub prompt_id: &'a str,
    /// The prompt's group.
    pub group: Option<&'a str>,
    /// The name of the pair's stage; of its first one where it has several.
    pub stage: Option<&'a str>,
    /// 1 − u of the chosen response.
    pub chosen_rating: f64,
    /// 1 − u of the rejected response.
    pub rejected_rating: f64,
    /// Δu.
    pub gap: f64,
    /// `u_semantic_chosen` and so on: scaled uncertainties. All rows have the same ones, null where a pair lacks one.
    #[serde(flatten)]
    pub dimensions: BTreeMap<String, Option<f64>>,
    /// Which of the prompt's responses is chosen.
    pub chosen_index: usize,
    /// Which is rejected.
    pub rejected_index: usize,
    /// The rendered prompt. TRL takes no token ids: it tokenizes the texts.
    pub prompt_token_ids: &'a [u32],
    /// The sampled ids of the chosen response.
    pub chosen_token_ids: &'a [u32],
    /// The sampled ids of the rejected response.
    pub rejected_token_ids: &'a [u32],
}

/// One row a pair, in the order of the pairs.
pub fn whole_run<'a>(pairs: &'a [Pair], members: &'a [StageMember]) -> Vec<Row<'a>> {
    let mut stage_of: HashMap<&str, &str> = HashMap::new();
    for member in members {
        stage_of.entry(&member.pair_id).or_insert(&member.name);
    }
    let columns = dimensions(pairs);
    pairs.iter().map(|pair| row(pair, stage_of.get(pair.id.as_str()).copied(), &columns)).collect()
}

/// The rows of one stage, in the order in which they are trained.
pub fn of_stage<'a>(pairs: &'a [Pair], members: &'a [StageMember], stage: usize) -> Vec<Row<'a>> {
    let of_id: HashMap<&str, &Pair> = pairs.iter().map(|pair| (pair.id.as_str(), pair)).collect();
    let columns = dimensions(pairs);
    let own = members.iter().filter(|member| member.stage == stage);
    own.filter_map(|member| Some(row(of_id.get(member.pair_id.as_str())?, Some(&member.name), &columns))).collect()
}

/// Number and name of every stage, in order.
pub fn stages(members: &[StageMember]) -> BTreeMap<usize, &str> {
    members.iter().map(|member| (member.stage, member.name.as_str())).collect()
}

fn row<'a>(pair: &'a Pair, stage: Option<&'a str>, columns: &[Dimension]) -> Row<'a> {
    let each = columns.iter().flat_map(|dimension| {
        let both = pair.dimensions.get(dimension);
        [("chosen", 0), ("rejected", 1)].map(|(side, i)| (dimension_column(*dimension, side), both.map(|both| both[i])))
    });
    Row {
        id: &pair.id,
        prompt: &pair.prompt,
        chosen: &pair.chosen,
        rejected: &pair.rejected,
        prompt_id: &pair.prompt_id,
        group: pair.group.as_deref(),
        stage,
        chosen_rating: pair.chosen_rating,
        rejected_rating: pair.rejected_rating,
        gap: pair.gap,
        dimensions: each.collect(),
        chosen_index: pair.chosen_index,
        rejected_index: pair.rejected_index,
        prompt_token_ids: &pair.prompt_token_ids,
        chosen_token_ids: &pair.chosen_token_ids,
        rejected_token_ids: &pair.rejected_token_ids,
    }
}

/// The dimensions that any pair has.
fn dimensions(pairs: &[Pair]) -> Vec<Dimension> {
    let all = Dimension::ALL.into_iter();
    all.filter(|dimension| pairs.iter().any(|pair| pair.dimensions.contains_key(dimension))).collect()
}
