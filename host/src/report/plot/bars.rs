//! Horizontal bars in groups, with error bars: a measure before and after.

use super::svg::fitted;
use super::{Anchor, Scale, Svg};
use crate::report::text::rate;

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Named in the tool tip.
    pub name: String,
    /// CSS class.
    pub class: String,
    /// Its length; none leaves the place empty.
    pub value: Option<f64>,
    /// Half the length of its error bar.
    pub se: Option<f64>,
}

/// Bars that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct BarGroup {
    /// On the left.
    pub label: String,
    /// On the right: what the bars say in a few words.
    pub note: String,
    /// CSS class of the note.
    pub note_class: String,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

const BAR: f64 = 13.0;
const GAP: f64 = 3.0;
const BETWEEN: f64 = 18.0;

/// Draws the groups on one axis; `domain` is fitted (with zero) where none is given.
pub fn bars(alternative: &str, groups: &[BarGroup], domain: Option<(f64, f64)>, width: f64) -> String {
    let (left, right) = (190.0_f64.min(width * 0.3), width - 170.0_f64.min(width * 0.25));
    let heights: f64 = groups.iter().map(height).sum();
    let (top, bottom) = (8.0, 8.0 + heights + BETWEEN * groups.len() as f64);
    let each = || groups.iter().flat_map(|g| &g.bars);
    let x = match domain {
        Some(domain) => Scale::new(domain, (left, right)),
        None => Scale::fitted(
            each().filter_map(|b| b.value.map(|v| v + b.se.unwrap_or(0.0).copysign(v))).chain([0.0]),
            5,
            (left, right),
        ),
    };
    let zero = x.at(x.domain.0.max(0.0).min(x.domain.1));

    let mut svg = Svg::new(width, bottom + 24.0, alternative);
    for (value, label) in x.ticks(5) {
        svg.line((x.at(value), top), (x.at(value), bottom), "grid");
        svg.text((x.at(value), bottom + 16.0), Anchor::Middle, "tick", &label);
    }
    let mut y = top + BETWEEN / 2.0;
    for group in groups {
        let middle = y + height(group) / 2.0 + 4.0;
        let label = fitted(&group.label, left - 12.0);
        svg.text((left - 12.0, middle), Anchor::End, "label", &label);
        let note_class = format!("note {}", group.note_class);
        svg.text((right + 14.0, middle), Anchor::Start, &note_class, &group.note);
        for bar in &group.bars {
            if let Some(value) = bar.value {
                let end = x.at(value).clamp(left - 4.0, right + 4.0);
                let se = bar.se.map_or_else(String::new, |se| format!(" ± {}", rate(se)));
                let tip = format!("{}: {}{se}", bar.name, rate(value));
                let size = ((end - zero).abs().max(1.0), BAR);
                svg.rect((zero.min(end), y), size, &bar.class, &tip);
                if let Some(se) = bar.se {
                    let (low, high) = (x.at(value - se), x.at(value + se));
                    let at = y + BAR / 2.0;
                    svg.line((low, at), (high, at), "whisker");
                    svg.line((low, at - 3.0), (low, at + 3.0), "whisker");
                    svg.line((high, at - 3.0), (high, at + 3.0), "whisker");
                }
            }
            y += BAR + GAP;
        }
        y += BETWEEN - GAP;
    }
    svg.line((zero, top), (zero, bottom), "axis");
    svg.finish()
}

fn height(group: &BarGroup) -> f64 {
    (group.bars.len() as f64 * (BAR + GAP) - GAP).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(value: Option<f64>, se: Option<f64>) -> BarGroup {
        BarGroup {
            label: "</script><img onerror=1>".into(),
            note: "<b>".into(),
            note_class: String::new(),
            bars: vec![Bar { name: "before".into(), class: "before".into(), value, se }],
        }
    }

    #[test]
    fn nothing_zero_and_broken_values_are_drawn_without_a_nan() {
        for groups in [
            vec![],
            vec![group(None, None)],
            vec![group(Some(0.0), Some(0.0))],
            vec![group(Some(f64::NAN), Some(f64::NAN))],
            vec![group(Some(-3.0), Some(1.0)), group(Some(9.0), None)],
        ] {
            for domain in [None, Some((0.0, 1.0))] {
                let svg = bars("", &groups, domain, 900.0);
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                assert!(!svg.contains("<img") && !svg.contains("<b>"), "{svg}");
            }
        }
    }
}
