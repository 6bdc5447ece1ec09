//! Gaps Δu and the stages made from them. Stages may be made within groups, so the borders are drawn per group; where the
//! stages of a group overlap (random stages, smooth curricula) there is no border to draw, and the section says so.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Figure, Key, Table, stage_class};
use crate::records::StageMember;
use crate::report::plot::{Border, Histogram, Layer, histogram};
use crate::report::read::{Absent, Found, RunFiles};
use crate::report::statistics::{mean, quantile};
use crate::report::text::{number, rate};

/// What the section shows.
#[derive(Debug, Serialize)]
pub struct Gaps {
    /// What the borders are, in words.
    pub sentence: String,
    /// One histogram per group, coloured by stage.
    pub figure: Figure,
}

/// Groups drawn; the smallest are put together.
const GROUPS: usize = 12;

/// Builds it: from the stages where there are some, else from the pairs alone.
pub fn gaps(files: &RunFiles) -> Found<Gaps> {
    match (&files.stages, &files.pairs) {
        (Ok(members), _) if !members.is_empty() => Ok(staged(members)),
        (_, Ok(pairs)) if !pairs.is_empty() => {
            let members: Vec<StageMember> = pairs
                .iter()
                .map(|pair| StageMember {
                    stage: 0,
                    name: "not staged".into(),
                    pair_id: pair.id.clone(),
                    group: pair.group.clone(),
                    gap: pair.gap,
                    reason: String::new(),
                })
                .collect();
            let mut gaps = staged(&members);
            gaps.sentence = match &files.stages {
                Err(Absent(reason)) => format!("Gaps only: {reason}."),
                Ok(_) => "The staging policy took no pair.".into(),
            };
            Ok(gaps)
        }
        (_, Ok(_)) => Err(Absent::new("no prompt made a pair")),
        (_, Err(absent)) => Err(absent.clone()),
    }
}

/// (number, name) of every stage, in order.
pub fn stage_names(members: &[StageMember]) -> BTreeMap<usize, String> {
    members
        .iter()
        .map(|member| (member.stage, member.name.clone()))
        .collect()
}

fn staged(members: &[StageMember]) -> Gaps {
    let names = stage_names(members);
    let groups = grouped(members);
    let mut borderless = 0;
    let mut plots = Vec::new();
    let mut table = Table::new(&[
        "group",
        "stage",
        "pairs",
        "lowest Δu",
        "median Δu",
        "highest Δu",
    ]);
    let top = members
        .iter()
        .map(|m| m.gap)
        .filter(|g| g.is_finite())
        .fold(0.0, f64::max);
    let single = groups.len() == 1;
    for (group, members) in &groups {
        let borders = borders(members);
        borderless += usize::from(borders.is_none() && names.len() > 1);
        let layers = names.iter().map(|(stage, name)| Layer {
            name: name.clone(),
            class: stage_class(*stage),
            values: of_stage(members, *stage),
        });
        let layers: Vec<Layer> = layers.collect();
        for layer in layers.iter().filter(|layer| !layer.values.is_empty()) {
            let cell = |q| number(quantile(&layer.values, q).unwrap_or(f64::NAN));
            table.rows.push(vec![
                group.clone(),
                layer.name.clone(),
                layer.values.len().to_string(),
                cell(0.0),
                cell(0.5),
                cell(1.0),
            ]);
        }
        let drawn = borders.unwrap_or_default();
        let said = drawn
            .iter()
            .map(|b| b.label.as_str())
            .collect::<Vec<_>>()
            .join(" and ");
        plots.push(histogram(&Histogram {
            title: format!("{group} · {}", members.len()),
            alternative: format!(
                "Histogram of the gap in {group}, {} pairs, coloured by stage{}",
                members.len(),
                if said.is_empty() {
                    String::new()
                } else {
                    format!("; borders at {said}")
                }
            ),
            layers,
            // One axis for all groups: where a group's gaps lie is half of what the figure says.
            domain: Some((0.0, nice_top(top))),
            bins: if single { 60 } else { 24 },
            borders: drawn,
            size: if single {
                (960.0, 230.0)
            } else {
                (306.0, 170.0)
            },
        }));
    }
    Gaps {
        sentence: sentence(&names, groups.len(), borderless),
        figure: Figure {
            plots,
            caption: "Δu of every pair: how much less reliable the rejected response is than the chosen one.".into(),
            legend: names
                .iter()
                .map(|(stage, name)| Key {
                    class: stage_class(*stage),
                    name: name.clone(),
                })
                .collect(),
            table: Some(table),
        },
    }
}

fn nice_top(top: f64) -> f64 {
    ((top * 10.0).ceil() / 10.0).max(0.1)
}

fn of_stage(members: &[&StageMember], stage: usize) -> Vec<f64> {
    members
        .iter()
        .filter(|member| member.stage == stage)
        .map(|member| member.gap)
        .collect()
}

fn grouped(members: &[StageMember]) -> Vec<(String, Vec<&StageMember>)> {
    let mut groups: BTreeMap<String, Vec<&StageMember>> = BTreeMap::new();
    for member in members {
        let group = member.group.clone().unwrap_or_else(|| "all pairs".into());
        groups.entry(group).or_default().push(member);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    if groups.len() > GROUPS {
        groups.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
        let rest: Vec<_> = groups.split_off(GROUPS - 1);
        let name = format!("{} smaller groups", rest.len());
        groups.push((name, rest.into_iter().flat_map(|(_, m)| m).collect()));
    }
    groups
}

/// Midway between neighbouring stages, where every pair of one lies above every pair of the next; none where stages overlap.
fn borders(members: &[&StageMember]) -> Option<Vec<Border>> {
    let mut stages: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for member in members.iter().filter(|member| member.gap.is_finite()) {
        stages.entry(member.stage).or_default().push(member.gap);
    }
    let mut spans: Vec<(f64, f64, f64)> = stages
        .values()
        .filter_map(|gaps| Some((mean(gaps)?, quantile(gaps, 0.0)?, quantile(gaps, 1.0)?)))
        .collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    spans
        .windows(2)
        .map(|pair| {
            let (upper_end, lower_end) = (pair[0].2, pair[1].1);
            (upper_end <= lower_end).then(|| {
                let at = f64::midpoint(upper_end, lower_end);
                Border {
                    at,
                    label: rate(at),
                }
            })
        })
        .collect()
}

fn sentence(names: &BTreeMap<usize, String>, groups: usize, borderless: usize) -> String {
    let within = if groups > 1 {
        format!(" in each of {groups} groups of prompts, on one axis")
    } else {
        String::new()
    };
    match names.len() {
        1 => format!("One stage holds every pair{within}: there are no borders."),
        n if borderless == 0 => {
            format!("{n} stages{within}; a dashed line is the border between two of them.")
        }
        n if borderless == groups => format!(
            "{n} stages{within}. They overlap in Δu, so there are no borders to draw: the policy did not divide by Δu alone."
        ),
        n => format!(
            "{n} stages{within}; a dashed line is a border. In {borderless} of the groups the stages overlap, so none is drawn."
        ),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn member(stage: usize, gap: f64, group: &str) -> StageMember {
        StageMember {
            stage,
            name: format!("s{stage}"),
            pair_id: String::new(),
            group: Some(group.into()),
            gap,
            reason: String::new(),
        }
    }

    #[test]
    fn a_border_lies_midway_between_stages_that_do_not_overlap() {
        let members = [
            member(0, 0.9, ""),
            member(0, 0.6, ""),
            member(1, 0.4, ""),
            member(2, 0.1, ""),
        ];
        let borders = borders(&members.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(
            borders.iter().map(|b| b.at).collect::<Vec<_>>(),
            [0.25, 0.5]
        );
    }

    #[test]
    fn overlapping_stages_have_no_border() {
        let members = [member(0, 0.9, ""), member(0, 0.1, ""), member(1, 0.5, "")];
        assert_eq!(borders(&members.iter().collect::<Vec<_>>()), None);
    }

    #[test]
    fn many_groups_are_put_together() {
        let members: Vec<StageMember> = (0..40).map(|i| member(0, 0.5, &format!("g{i}"))).collect();
        let groups = grouped(&members);
        assert_eq!(groups.len(), GROUPS);
        assert_eq!(groups.iter().map(|g| g.1.len()).sum::<usize>(), 40);
        assert_eq!(groups.last().unwrap().0, "29 smaller groups");
    }

    #[test]
    fn gaps_that_are_not_numbers_break_nothing() {
        let gaps = staged(&[member(0, f64::NAN, ""), member(1, f64::INFINITY, "")]);
        assert!(!gaps.figure.plots[0].contains("NaN"));
    }
}
