//! The range of Δu that each stage takes of each group: the borders that the report draws. Pure.

use serde::{Deserialize, Serialize};

use crate::records::StageMember;

/// One stage's part of one group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Border {
    /// The stage's number, from 0.
    pub stage: usize,
    /// Its name.
    pub name: String,
    /// The group; none for pairs without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Pairs of the group in the stage.
    pub pairs: usize,
    /// Smallest Δu among them.
    pub min_gap: f64,
    /// Largest Δu among them.
    pub max_gap: f64,
}

/// In the order of stages, then of groups (pairs without a group first). Gaps that are not finite are counted but make
/// no border.
pub fn borders(members: &[StageMember]) -> Vec<Border> {
    let mut sorted: Vec<&StageMember> = members.iter().collect();
    sorted.sort_by(|a, b| (a.stage, &a.group).cmp(&(b.stage, &b.group)));
    sorted
        .chunk_by(|a, b| (a.stage, &a.group) == (b.stage, &b.group))
        .filter_map(|part| {
            let first = part.first()?;
            let gaps = || part.iter().map(|member| member.gap).filter(|gap| gap.is_finite());
            let border = Border {
                stage: first.stage,
                name: first.name.clone(),
                group: first.group.clone(),
                pairs: part.len(),
                min_gap: gaps().fold(f64::INFINITY, f64::min),
                max_gap: gaps().fold(f64::NEG_INFINITY, f64::max),
            };
            (border.min_gap <= border.max_gap).then_some(border)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::members;
    use crate::stage::tests::{pair, stage};

    #[test]
    fn each_stage_and_group_has_its_range() {
        let pairs =
            [pair("a", Some("g"), 0.9), pair("b", None, 0.4), pair("c", Some("g"), 0.7), pair("d", Some("g"), 0.1)];
        let borders = borders(&members(&pairs, &[stage("x", &[2, 0, 1]), stage("y", &[3])]));
        let got: Vec<_> =
            borders.iter().map(|b| (b.stage, b.group.as_deref(), b.pairs, b.min_gap, b.max_gap)).collect();
        assert_eq!(got, [(0, None, 1, 0.4, 0.4), (0, Some("g"), 2, 0.7, 0.9), (1, Some("g"), 1, 0.1, 0.1)]);
    }

    #[test]
    fn nothing_has_no_borders_and_nan_draws_none() {
        assert!(borders(&[]).is_empty());
        let pairs = [pair("a", None, f64::NAN), pair("b", None, 0.5)];
        let border = &borders(&members(&pairs, &[stage("x", &[0, 1])]))[0];
        assert_eq!((border.pairs, border.min_gap, border.max_gap), (2, 0.5, 0.5));
    }
}
