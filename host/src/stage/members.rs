//! Which pair is in which stage, and why. Pure.

use std::collections::HashMap;

use crate::records::{Pair, Stage, StageMember};

/// One line per pair and stage, in training order. The reason is the stage's, with the pair's own numbers.
pub fn members(pairs: &[Pair], stages: &[Stage]) -> Vec<StageMember> {
    let ranked = Ranked::new(pairs);
    stages.iter().enumerate().flat_map(|(number, stage)| ranked.members(number, stage)).collect()
}

/// Pairs with their ranks, which stages are made of.
pub struct Ranked<'a> {
    pairs: &'a [Pair],
    ranks: Vec<Rank>,
}

impl<'a> Ranked<'a> {
    /// Ranks them.
    pub fn new(pairs: &'a [Pair]) -> Self {
        Self { pairs, ranks: ranks_in_group(pairs) }
    }

    /// The lines of one stage.
    pub fn members(&self, number: usize, stage: &Stage) -> Vec<StageMember> {
        let anew = if stage.resample { "; its prompts are sampled anew before it is trained" } else { "" };
        let member = |&index: &u32| {
            let (pair, rank) = (self.pairs.get(index as usize)?, self.ranks.get(index as usize)?);
            let group = match &pair.group {
                Some(group) => format!("group `{group}`"),
                None => "the pairs without a group".to_owned(),
            };
            let Rank { rank, of } = rank;
            Some(StageMember {
                stage: number,
                name: stage.name.clone(),
                pair_id: pair.id.clone(),
                group: pair.group.clone(),
                gap: pair.gap,
                reason: format!("{}{anew} (gap {:.3}, rank {rank} of {of} in {group})", stage.reason, pair.gap),
            })
        };
        stage.pairs.iter().filter_map(member).collect()
    }
}

/// A pair's place among the pairs of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rank {
    /// From 1, the largest gap; ties share the best rank.
    rank: usize,
    /// Pairs in the group.
    of: usize,
}

fn ranks_in_group(pairs: &[Pair]) -> Vec<Rank> {
    let mut groups: HashMap<Option<&str>, Vec<f64>> = HashMap::new();
    for pair in pairs {
        groups.entry(pair.group.as_deref()).or_default().push(pair.gap);
    }
    for gaps in groups.values_mut() {
        gaps.sort_by(|a, b| b.total_cmp(a));
    }
    pairs
        .iter()
        .map(|pair| {
            let gaps = groups.get(&pair.group.as_deref()).map_or(&[][..], Vec::as_slice);
            Rank { rank: 1 + gaps.partition_point(|&gap| gap > pair.gap), of: gaps.len() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::tests::{pair, stage};

    #[test]
    fn ranks_count_from_the_largest_gap_within_the_group_and_ties_share() {
        let pairs =
            [pair("a", Some("g"), 0.2), pair("b", None, 0.9), pair("c", Some("g"), 0.5), pair("d", Some("g"), 0.5)];
        let ranks: Vec<(usize, usize)> = ranks_in_group(&pairs).iter().map(|r| (r.rank, r.of)).collect();
        assert_eq!(ranks, [(3, 3), (1, 1), (1, 3), (1, 3)]);
    }

    #[test]
    fn the_reason_carries_gap_rank_and_group() {
        let pairs = [pair("a", Some("g"), 0.25), pair("b", None, 0.5)];
        let members = members(&pairs, &[stage("first", &[1]), stage("second", &[0, 1])]);
        assert_eq!(members.len(), 3);
        assert_eq!(members[0].reason, "because (gap 0.500, rank 1 of 1 in the pairs without a group)");
        assert_eq!(members[1].reason, "because (gap 0.250, rank 1 of 1 in group `g`)");
        assert_eq!((members[2].stage, members[2].pair_id.as_str()), (1, "b"));
    }

    #[test]
    fn no_pairs_and_no_stages_are_no_members() {
        assert!(members(&[], &[]).is_empty());
        assert!(members(&[], &[stage("x", &[0])]).is_empty());
    }
}
