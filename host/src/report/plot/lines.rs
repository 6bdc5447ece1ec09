//! Line plots over steps, with the stages behind them.

use super::svg::fitted;
use super::{Anchor, Scale, Svg};

/// One line.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Written at its end where there is more than one.
    pub name: String,
    /// CSS class.
    pub class: String,
    /// (x, y) in order of x.
    pub points: Vec<(f64, f64)>,
}

/// A named stretch of x: a stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// First and last x.
    pub x: (f64, f64),
}

/// What to draw.
#[derive(Debug, Clone)]
pub struct Lines {
    /// Above the plot.
    pub title: String,
    /// For screen readers.
    pub alternative: String,
    /// At most a few.
    pub series: Vec<Series>,
    /// Shaded alternately, divided by lines, named on top.
    pub spans: Vec<Span>,
    /// A level worth a line of its own, such as chance.
    pub level: Option<f64>,
    /// Fixed ends of y; fitted where none are given.
    pub domain: Option<(f64, f64)>,
    /// Pixels.
    pub size: (f64, f64),
}

/// Points kept of a line: more cannot be told apart on a screen.
const POINTS: usize = 400;

/// Draws it.
pub fn lines(plot: &Lines) -> String {
    let (width, height) = plot.size;
    let (left, right, top, bottom) = (44.0, width - 8.0, 40.0, height - 22.0);
    let points = || plot.series.iter().flat_map(|s| s.points.iter().copied());
    let span = |pick: fn(f64, f64) -> f64, start: f64| {
        points()
            .map(|p| p.0)
            .filter(|x| x.is_finite())
            .fold(start, pick)
    };
    let x = Scale::new(
        (
            span(f64::min, f64::INFINITY),
            span(f64::max, f64::NEG_INFINITY),
        ),
        (left, right),
    );
    let y = match plot.domain {
        Some(domain) => Scale::new(domain, (bottom, top)),
        None => Scale::fitted(points().map(|p| p.1).chain(plot.level), 4, (bottom, top)),
    };

    let mut svg = Svg::new(width, height, &plot.alternative);
    svg.text(
        (left, 13.0),
        Anchor::Start,
        "title",
        &fitted(&plot.title, width - left),
    );
    for (i, span) in plot.spans.iter().enumerate() {
        let from = if i == 0 {
            left
        } else {
            x.at(span.x.0 - 0.5).clamp(left, right)
        };
        let to = match plot.spans.get(i + 1) {
            Some(next) => x.at(next.x.0 - 0.5).clamp(left, right),
            None => right,
        };
        let class = if i % 2 == 0 { "band" } else { "band odd" };
        svg.rect((from, top), (to - from, bottom - top), class, &span.name);
        if i > 0 {
            svg.line((from, top - 14.0), (from, bottom), "border");
        }
        let name = fitted(&span.name, to - from - 6.0);
        if name.chars().count() > 3 || name == span.name {
            svg.text(
                (from + 4.0, top - 5.0),
                Anchor::Start,
                "border-label",
                &name,
            );
        }
    }
    for (value, label) in y.ticks(4) {
        svg.line((left, y.at(value)), (right, y.at(value)), "grid");
        svg.text((left - 5.0, y.at(value) + 3.5), Anchor::End, "tick", &label);
    }
    for (value, label) in x.ticks(6) {
        if value.fract() == 0.0 {
            svg.text((x.at(value), bottom + 16.0), Anchor::Middle, "tick", &label);
        }
    }
    svg.line((left, bottom), (right, bottom), "axis");
    if let Some(level) = plot.level {
        svg.line((left, y.at(level)), (right, y.at(level)), "level");
    }
    if plot.series.iter().all(|s| s.points.is_empty()) {
        let middle = ((left + right) / 2.0, (top + bottom) / 2.0);
        svg.text(middle, Anchor::Middle, "tick", "no steps");
    }
    for series in &plot.series {
        let drawn: Vec<(f64, f64)> = thinned(&series.points, POINTS)
            .into_iter()
            .map(|(a, b)| (x.at(a), y.at(b)))
            .collect();
        svg.polyline(&drawn, &format!("line {}", series.class));
        if plot.series.len() > 1
            && let Some((_, end)) = drawn.last()
        {
            // Above the highest line, below the others.
            let highest = plot.series.iter().all(|s| last(s) <= last(series));
            let at = if highest { end - 8.0 } else { end + 16.0 };
            let at = at.clamp(top + 10.0, bottom - 4.0);
            svg.text((right - 2.0, at), Anchor::End, "series", &series.name);
        }
    }
    svg.finish()
}

fn last(series: &Series) -> f64 {
    series
        .points
        .last()
        .map_or(f64::NEG_INFINITY, |point| point.1)
}

/// At most `limit` points: each the mean of a stretch of equal length.
pub fn thinned(points: &[(f64, f64)], limit: usize) -> Vec<(f64, f64)> {
    if points.len() <= limit || limit == 0 {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(limit);
    points
        .chunks(stretch)
        .map(|chunk| {
            let n = chunk.len() as f64;
            let (x, y) = chunk
                .iter()
                .fold((0.0, 0.0), |(x, y), p| (x + p.0, y + p.1));
            (x / n, y / n)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(points: Vec<(f64, f64)>) -> String {
        lines(&Lines {
            title: "loss".into(),
            alternative: String::new(),
            series: vec![Series {
                name: "loss".into(),
                class: "a".into(),
                points,
            }],
            spans: vec![Span {
                name: "</script><img onerror=1>".into(),
                x: (1.0, 5.0),
            }],
            level: Some(0.5),
            domain: None,
            size: (460.0, 190.0),
        })
    }

    #[test]
    fn no_one_and_broken_points_are_drawn_without_a_nan() {
        for points in [
            vec![],
            vec![(1.0, 0.7)],
            vec![(1.0, 0.7), (2.0, f64::NAN), (3.0, 0.6)],
            vec![(1.0, 0.7), (2.0, 0.7)],
            vec![(f64::NAN, f64::NAN)],
        ] {
            let svg = of(points);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(!svg.contains("<img"), "{svg}");
        }
    }

    #[test]
    fn long_runs_are_thinned_to_means() {
        let points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), 1.0)).collect();
        let thin = thinned(&points, 400);
        assert_eq!(thin.len(), 400);
        assert!(thin.iter().all(|p| p.1 == 1.0));
        assert_eq!(thinned(&points[..3], 400).len(), 3);
    }
}
