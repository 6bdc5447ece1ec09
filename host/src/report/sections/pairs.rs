//! Pairs: how many, how they differ in length, and why the others were dropped.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Table;
use crate::report::evidence::Evidence;
use crate::report::read::{Found, RunFiles};
use crate::report::statistics::mean;
use crate::report::text::counted;

/// What the section shows.
#[derive(Debug, Serialize)]
pub struct Pairs {
    /// Counts and lengths.
    pub sentences: Vec<String>,
    /// By reason.
    pub drops: Vec<DropRow>,
    /// Why `drops` cannot be shown.
    pub no_drops: Option<String>,
    /// By group and stage.
    pub table: Table,
}

/// One reason.
#[derive(Debug, Serialize)]
pub struct DropRow {
    /// Its short name.
    pub reason: String,
    /// How often.
    pub count: usize,
    /// Width of its bar, percent of the most frequent.
    pub percent: f64,
    /// The first one in words.
    pub example: String,
    /// And its prompt.
    pub prompt_id: String,
}

/// Builds it.
pub fn pairs(files: &RunFiles, evidence: &Evidence) -> Found<Pairs> {
    let pairs = files.pairs.as_ref().map_err(Clone::clone)?;
    let prompts: std::collections::BTreeSet<&str> =
        pairs.iter().map(|pair| pair.prompt_id.as_str()).collect();
    let mut sentences = vec![format!(
        "{} from {}.",
        counted(pairs.len(), "pair"),
        counted(prompts.len(), "prompt")
    )];
    if let Ok(lengths) = &evidence.lengths {
        let of = |pick: fn(&crate::records::Pair) -> usize| {
            let each: Vec<f64> = pairs
                .iter()
                .filter_map(|pair| Some(*lengths.get(&pair.prompt_id)?.get(pick(pair))? as f64))
                .collect();
            mean(&each)
        };
        if let (Some(chosen), Some(rejected)) = (of(|p| p.chosen_index), of(|p| p.rejected_index)) {
            sentences.push(format!(
                "Chosen responses have {chosen:.1} tokens on average, rejected ones {rejected:.1}."
            ));
        }
    }
    let (drops, no_drops) = match &files.drops {
        Ok(drops) => (by_reason(drops), None),
        Err(absent) => (Vec::new(), Some(absent.0.clone())),
    };
    Ok(Pairs {
        sentences,
        drops,
        no_drops,
        table: by_group(pairs, files),
    })
}

fn by_reason(drops: &[crate::records::Drop]) -> Vec<DropRow> {
    let mut reasons: BTreeMap<&str, (usize, &crate::records::Drop)> = BTreeMap::new();
    for drop in drops {
        reasons.entry(&drop.reason).or_insert((0, drop)).0 += 1;
    }
    let most = reasons.values().map(|(n, _)| *n).max().unwrap_or(1) as f64;
    let mut rows: Vec<DropRow> = reasons
        .into_iter()
        .map(|(reason, (count, first))| DropRow {
            reason: reason.into(),
            count,
            percent: (count as f64 / most * 100.0).round(),
            example: first.detail.clone(),
            prompt_id: first.prompt_id.clone(),
        })
        .collect();
    rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
    rows
}

/// Pairs per group (rows) and stage (columns).
fn by_group(pairs: &[crate::records::Pair], files: &RunFiles) -> Table {
    let members = files.stages.as_deref().unwrap_or_default();
    let names = super::gaps::stage_names(members);
    let mut table = Table::new(&["group", "pairs"]);
    table.columns.extend(names.values().cloned());
    let group_of = |group: &Option<String>| group.clone().unwrap_or_else(|| "no group".into());
    let mut groups: BTreeMap<String, (usize, BTreeMap<usize, usize>)> = BTreeMap::new();
    for pair in pairs {
        groups.entry(group_of(&pair.group)).or_default().0 += 1;
    }
    for member in members {
        let stages = &mut groups.entry(group_of(&member.group)).or_default().1;
        *stages.entry(member.stage).or_default() += 1;
    }
    for (group, (count, stages)) in groups {
        let mut row = vec![group, count.to_string()];
        row.extend(
            names
                .keys()
                .map(|stage| stages.get(stage).unwrap_or(&0).to_string()),
        );
        table.rows.push(row);
    }
    table
}
