//! Which pair belongs to which stage.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use udasa_plugin_sdk::Pair;
use udasa_plugin_sdk::schedule::stage_sizes;

use crate::{Direction, Within};

/// The members of each stage. No stage is empty: with fewer pairs than stages there are fewer stages.
pub fn divide(pairs: &[Pair], stages: usize, within: Within, direction: Direction) -> Vec<Vec<u32>> {
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); stage_sizes(pairs.len(), stages).len()];
    for mut group in groups(pairs, members.len(), within) {
        group.sort_by(|a, b| order(pairs, *a, *b, direction));
        let mut rest = group.as_slice();
        for (stage, size) in sizes(group.len(), &members).into_iter().enumerate() {
            let (part, after) = rest.split_at(size.min(rest.len()));
            members[stage].extend(part);
            rest = after;
        }
    }
    members
}

/// Groups of indices. One with fewer pairs than stages cannot be divided by itself: all such are divided together.
fn groups(pairs: &[Pair], stages: usize, within: Within) -> Vec<Vec<u32>> {
    let indices = 0..pairs.len() as u32;
    if within == Within::All {
        return vec![indices.collect()];
    }
    let mut named: BTreeMap<Option<&str>, Vec<u32>> = BTreeMap::new();
    for (index, pair) in indices.zip(pairs) {
        named.entry(pair.group.as_deref()).or_default().push(index);
    }
    let (mut groups, small): (Vec<_>, Vec<_>) = named.into_values().partition(|group| group.len() >= stages);
    groups.push(small.concat());
    groups
}

/// A group's share of each stage: equal, and what is left over goes to the stages that are smallest so far, so that
/// the remainders of many groups do not pile up in the first stage.
fn sizes(group: usize, members: &[Vec<u32>]) -> Vec<usize> {
    let stages = members.len().max(1);
    let mut sizes = vec![group / stages; members.len()];
    let mut smallest: Vec<usize> = (0..members.len()).collect();
    smallest.sort_by_key(|stage| (members[*stage].len(), *stage));
    for stage in smallest.into_iter().take(group % stages) {
        sizes[stage] += 1;
    }
    sizes
}

/// By gap; ties by id, so that the order of the file does not matter.
fn order(pairs: &[Pair], a: u32, b: u32, direction: Direction) -> Ordering {
    let (Some(x), Some(y)) = (pairs.get(a as usize), pairs.get(b as usize)) else {
        return a.cmp(&b);
    };
    let by_gap = match direction {
        Direction::LargeFirst => y.gap.total_cmp(&x.gap),
        Direction::SmallFirst => x.gap.total_cmp(&y.gap),
    };
    by_gap.then_with(|| x.id.cmp(&y.id)).then(a.cmp(&b))
}
