//! Before and after: the headline measures as bars, every measure as a table, and one plain sentence of what changed.

use serde::Serialize;

use super::{Figure, Key, Table};
use crate::records::{EvalPoint, Evaluation, Measure};
use crate::report::plot::{Bar, BarGroup, bars};
use crate::report::read::{Absent, Found, RunFiles};
use crate::report::statistics::Change;
use crate::report::text::{counted, difference_with_error, rate, with_error};

/// What the section shows.
#[derive(Debug, Serialize)]
pub struct Headline {
    /// What changed.
    pub sentence: String,
    /// Bars: those in [0, 1] on one axis, then the others.
    pub figures: Vec<Figure>,
    /// Every measure at every point.
    pub all: Table,
}

/// Builds it.
pub fn headline(files: &RunFiles) -> Found<Headline> {
    let evaluation = files.evaluation.as_ref().map_err(Clone::clone)?;
    if evaluation.points.is_empty() {
        return Err(Absent::new("eval.json holds no measurement"));
    }
    Ok(Headline {
        sentence: sentence(evaluation),
        figures: figures(evaluation),
        all: all_measures(evaluation),
    })
}

/// Names of the headline measures, in order of name; every measure where none is marked.
fn headline_names(points: &[EvalPoint]) -> Vec<&str> {
    let names = |all: bool| {
        let mut names: Vec<&str> = points
            .iter()
            .flat_map(|point| &point.measures)
            .filter(|(_, measure)| all || measure.headline)
            .map(|(name, _)| name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let marked = names(false);
    if marked.is_empty() {
        names(true)
    } else {
        marked
    }
}

/// What a change means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Better,
    Worse,
    /// The measure has no better direction, or no standard error to judge by.
    Moved,
    /// Within 1.96 standard errors.
    Same,
}

fn verdict(measure: &Measure, change: Change) -> Verdict {
    match (change.measurable(), measure.higher_is_better) {
        (Some(false), _) => Verdict::Same,
        (_, _) if change.difference == 0.0 => Verdict::Same,
        (None, _) | (_, None) => Verdict::Moved,
        (_, Some(up)) if up == (change.difference > 0.0) => Verdict::Better,
        _ => Verdict::Worse,
    }
}

/// First and last point, where there are two.
fn ends(points: &[EvalPoint]) -> Option<(&EvalPoint, &EvalPoint)> {
    match points {
        [before, .., after] => Some((before, after)),
        _ => None,
    }
}

fn sentence(evaluation: &Evaluation) -> String {
    let Some((before, after)) = ends(&evaluation.points) else {
        return "Only the model before alignment has been measured, so nothing can be said about a change yet.".into();
    };
    let changes: Vec<(&str, &Measure, &Measure, Change, Verdict)> =
        headline_names(&evaluation.points)
            .into_iter()
            .filter_map(|name| {
                let (b, a) = (before.measures.get(name)?, after.measures.get(name)?);
                let change = Change::between(b, a);
                Some((name, b, a, change, verdict(a, change)))
            })
            .collect();
    let number = |wanted| changes.iter().filter(|c| c.4 == wanted).count();
    let total = changes.len();
    let phrases = [
        (Verdict::Better, "got better"),
        (Verdict::Worse, "got worse"),
        (Verdict::Moved, "moved"),
        (Verdict::Same, "did not change measurably"),
    ];
    let parts: Vec<String> = phrases
        .iter()
        .map(|(verdict, words)| (number(*verdict), words))
        .filter(|(n, _)| *n > 0)
        .map(|(n, words)| format!("{n} {words}"))
        .collect();
    let largest = changes
        .iter()
        .filter(|c| c.3.difference.is_finite())
        .max_by(|a, b| a.3.difference.abs().total_cmp(&b.3.difference.abs()));
    let Some((name, b, a, change, _)) = largest else {
        return "No headline measure was taken both before and after.".into();
    };
    format!(
        "Of {}, {}. The largest change is {name}: {} before, {} after ({}).",
        counted(total, "headline measure"),
        listed(&parts),
        rate(b.value),
        rate(a.value),
        difference_with_error(change.difference, change.se.map(|se| 1.96 * se)),
    )
}

/// "a", "a and b", "a, b and c".
fn listed(parts: &[String]) -> String {
    match parts {
        [init @ .., last] if !init.is_empty() => format!("{} and {last}", init.join(", ")),
        _ => parts.concat(),
    }
}

fn figures(evaluation: &Evaluation) -> Vec<Figure> {
    let points = &evaluation.points;
    let names = headline_names(points);
    let is_share = |name: &&str| {
        points
            .iter()
            .filter_map(|point| point.measures.get(*name))
            .all(|m| (0.0..=1.0).contains(&m.value))
    };
    let (shares, others): (Vec<&str>, Vec<&str>) = names.into_iter().partition(is_share);
    let mut figures = Vec::new();
    if !shares.is_empty() {
        figures.push(figure(points, &shares, Some((0.0, 1.0))));
    }
    // Measures with units of their own share no axis.
    figures.extend(others.into_iter().map(|name| figure(points, &[name], None)));
    figures
}

fn figure(points: &[EvalPoint], names: &[&str], domain: Option<(f64, f64)>) -> Figure {
    let groups: Vec<BarGroup> = names.iter().map(|name| group(points, name)).collect();
    let alternative = groups
        .iter()
        .map(|group| format!("{}: {}", group.label, group.note))
        .collect::<Vec<_>>()
        .join("; ");
    let mut table = Table::new(&["measure"]);
    table
        .columns
        .extend(points.iter().map(|point| point.at.clone()));
    table.columns.push("change".into());
    table.rows = names.iter().map(|name| row(points, name)).collect();
    Figure {
        plots: vec![bars(&alternative, &groups, domain, 960.0)],
        caption: "Bars are means over the evaluation's responses, whiskers one standard error."
            .into(),
        legend: points
            .iter()
            .enumerate()
            .map(|(i, point)| Key {
                class: point_class(i, points.len()),
                name: point.at.clone(),
            })
            .collect(),
        table: Some(table),
    }
}

fn point_class(i: usize, n: usize) -> String {
    match i {
        0 => "before",
        _ if i + 1 == n => "after",
        _ => "between",
    }
    .into()
}

fn group(points: &[EvalPoint], name: &str) -> BarGroup {
    let bars = points
        .iter()
        .enumerate()
        .map(|(i, point)| {
            let measure = point.measures.get(name);
            Bar {
                name: point.at.clone(),
                class: point_class(i, points.len()),
                value: measure.map(|m| m.value),
                se: measure.and_then(|m| m.se),
            }
        })
        .collect();
    let both = ends(points).and_then(|(b, a)| b.measures.get(name).zip(a.measures.get(name)));
    let (note, note_class) = match both {
        None => (
            points
                .iter()
                .find_map(|p| p.measures.get(name))
                .map_or_else(String::new, |m| rate(m.value)),
            "",
        ),
        Some((b, a)) => {
            let change = Change::between(b, a);
            let (sign, class) = match verdict(a, change) {
                Verdict::Better => ("better", "better"),
                Verdict::Worse => ("worse", "worse"),
                Verdict::Moved => ("", ""),
                Verdict::Same => ("≈", ""),
            };
            let values = format!("{} → {}", rate(b.value), rate(a.value));
            (format!("{values}  {sign}").trim_end().to_owned(), class)
        }
    };
    BarGroup {
        label: name.into(),
        note,
        note_class: note_class.into(),
        bars,
    }
}

/// A measure with its standard error at every point, and its change.
pub fn row(points: &[EvalPoint], name: &str) -> Vec<String> {
    let mut cells = vec![name.to_owned()];
    cells.extend(points.iter().map(|point| {
        let measure = point.measures.get(name);
        measure.map_or_else(|| "–".into(), |m| with_error(m.value, m.se))
    }));
    let both = ends(points).and_then(|(b, a)| b.measures.get(name).zip(a.measures.get(name)));
    cells.push(both.map_or_else(
        || "–".into(),
        |(b, a)| {
            let change = Change::between(b, a);
            difference_with_error(change.difference, change.se)
        },
    ));
    cells
}

fn all_measures(evaluation: &Evaluation) -> Table {
    let points = &evaluation.points;
    let mut names: Vec<&String> = points.iter().flat_map(|p| p.measures.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let mut table = Table::new(&["measure"]);
    table
        .columns
        .extend(points.iter().map(|point| point.at.clone()));
    table.columns.extend(["change".into(), "n".into()]);
    for name in names {
        let mut cells = row(points, name);
        let n = points
            .iter()
            .rev()
            .find_map(|p| p.measures.get(name))
            .map(|m| m.n);
        cells.push(n.map_or_else(|| "–".into(), |n| n.to_string()));
        table.rows.push(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: &str, value: f64, se: Option<f64>, up: Option<bool>) -> EvalPoint {
        let measure = Measure {
            value,
            n: 100,
            se,
            higher_is_better: up,
            headline: true,
        };
        EvalPoint {
            at: at.into(),
            measures: [("harm/refused".to_owned(), measure)].into(),
        }
    }

    fn said(before: EvalPoint, after: EvalPoint) -> String {
        sentence(&Evaluation {
            points: vec![before, after],
            gates: vec![],
        })
    }

    #[test]
    fn a_large_rise_of_a_good_measure_is_better() {
        let text = said(
            point("before", 0.49, Some(0.03), Some(true)),
            point("after", 0.85, Some(0.02), Some(true)),
        );
        assert_eq!(
            text,
            "Of 1 headline measure, 1 got better. The largest change is harm/refused: 0.49 before, 0.85 after (+0.36 ± 0.07)."
        );
    }

    #[test]
    fn a_rise_of_a_bad_measure_is_worse_and_noise_is_no_change() {
        let bad = said(
            point("before", 0.1, Some(0.01), Some(false)),
            point("after", 0.3, Some(0.01), Some(false)),
        );
        assert!(bad.contains("1 got worse"), "{bad}");
        let noise = said(
            point("before", 0.50, Some(0.03), Some(true)),
            point("after", 0.53, Some(0.03), Some(true)),
        );
        assert!(noise.contains("1 did not change measurably"), "{noise}");
    }

    #[test]
    fn one_measurement_is_no_change() {
        let text = sentence(&Evaluation {
            points: vec![point("before", 0.5, None, None)],
            gates: vec![],
        });
        assert!(
            text.starts_with("Only the model before alignment"),
            "{text}"
        );
    }
}
