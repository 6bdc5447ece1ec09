//! Histograms: layers stacked in one set of bins, with labelled borders between them.

use super::svg::fitted;
use super::{Anchor, Scale, Svg};

/// One set of values, drawn in one colour.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// Named in the tool tip.
    pub name: String,
    /// CSS class of its bars.
    pub class: String,
    /// What is counted; non-finite values are left out.
    pub values: Vec<f64>,
}

/// A vertical line at a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Border {
    /// Where.
    pub at: f64,
    /// Its label.
    pub label: String,
}

/// What to draw.
#[derive(Debug, Clone)]
pub struct Histogram {
    /// Above the plot.
    pub title: String,
    /// For screen readers.
    pub alternative: String,
    /// Stacked, the first at the bottom.
    pub layers: Vec<Layer>,
    /// Fixed ends; fitted to the values where none are given.
    pub domain: Option<(f64, f64)>,
    /// How many bins.
    pub bins: usize,
    /// Lines over the bars.
    pub borders: Vec<Border>,
    /// Pixels.
    pub size: (f64, f64),
}

/// Pixels that the label of a border needs.
const LABEL: f64 = 28.0;

/// Draws it. The y axis counts.
pub fn histogram(plot: &Histogram) -> String {
    let (width, height) = plot.size;
    let (left, right, top, bottom) = (34.0, width - 8.0, 34.0, height - 22.0);
    let all = || plot.layers.iter().flat_map(|l| l.values.iter().copied());
    let x = match plot.domain {
        Some(domain) => Scale::new(domain, (left, right)),
        None => Scale::fitted(all(), 5, (left, right)),
    };
    let counts: Vec<Vec<usize>> = plot
        .layers
        .iter()
        .map(|layer| binned(&layer.values, x.domain, plot.bins.max(1)))
        .collect();
    let tallest = (0..plot.bins.max(1))
        .map(|bin| counts.iter().map(|c| c[bin]).sum::<usize>())
        .max()
        .unwrap_or(0);
    let y = Scale::fitted([0.0, (tallest.max(1)) as f64].into_iter(), 3, (bottom, top));

    let mut svg = Svg::new(width, height, &plot.alternative);
    svg.text(
        (left, 14.0),
        Anchor::Start,
        "title",
        &fitted(&plot.title, width - left),
    );
    for (value, label) in y.ticks(3) {
        if value.fract() == 0.0 {
            svg.line((left, y.at(value)), (right, y.at(value)), "grid");
            svg.text((left - 5.0, y.at(value) + 3.5), Anchor::End, "tick", &label);
        }
    }
    for (value, label) in x.ticks(5) {
        svg.line((x.at(value), bottom), (x.at(value), bottom + 4.0), "axis");
        svg.text((x.at(value), bottom + 16.0), Anchor::Middle, "tick", &label);
    }
    if all().all(|v| !v.is_finite()) {
        let middle = ((left + right) / 2.0, (top + bottom) / 2.0);
        svg.text(middle, Anchor::Middle, "tick", "no values");
    }
    let bin_width = (x.domain.1 - x.domain.0) / plot.bins.max(1) as f64;
    for bin in 0..plot.bins.max(1) {
        let from = x.domain.0 + bin as f64 * bin_width;
        let (x0, x1) = (x.at(from), x.at(from + bin_width));
        let mut below = 0;
        for (layer, counts) in plot.layers.iter().zip(&counts) {
            let n = counts[bin];
            let (y0, y1) = (y.at(below as f64), y.at((below + n) as f64));
            let tip = format!("{} {from:.3} to {:.3}: {n}", layer.name, from + bin_width);
            let size = ((x1 - x0 - 1.0).max(0.6), y0 - y1);
            svg.rect((x0 + 0.5, y1), size, &layer.class, tip.trim_start());
            below += n;
        }
    }
    svg.line((left, bottom), (right, bottom), "axis");
    for (i, border) in plot.borders.iter().enumerate() {
        let at = x.at(border.at);
        svg.line((at, top - 6.0), (at, bottom), "border");
        // Labels of close borders lean away from each other.
        let near = |other: Option<&Border>| other.is_some_and(|o| (x.at(o.at) - at).abs() < LABEL);
        let before = i.checked_sub(1).and_then(|before| plot.borders.get(before));
        let (anchor, shift) = match (near(before), near(plot.borders.get(i + 1))) {
            (true, false) => (Anchor::Start, -3.0),
            (false, true) => (Anchor::End, 3.0),
            _ => (Anchor::Middle, 0.0),
        };
        svg.text(
            (at + shift, top - 9.0),
            anchor,
            "border-label",
            &border.label,
        );
    }
    svg.finish()
}

/// How many values fall in each of `bins` equal bins; those outside the domain count in the outermost ones.
fn binned(values: &[f64], domain: (f64, f64), bins: usize) -> Vec<usize> {
    let mut counts = vec![0; bins];
    for value in values.iter().filter(|v| v.is_finite()) {
        let part = (value - domain.0) / (domain.1 - domain.0);
        let bin = (part * bins as f64).floor().clamp(0.0, (bins - 1) as f64);
        counts[bin as usize] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: Vec<f64>, domain: Option<(f64, f64)>) -> String {
        histogram(&Histogram {
            title: "</script><img onerror=1>".into(),
            alternative: String::new(),
            layers: vec![Layer {
                name: "n".into(),
                class: "plain".into(),
                values,
            }],
            domain,
            bins: 10,
            borders: vec![Border {
                at: f64::NAN,
                label: "x".into(),
            }],
            size: (300.0, 150.0),
        })
    }

    #[test]
    fn empty_constant_and_broken_data_are_drawn_without_a_nan() {
        for values in [
            vec![],
            vec![0.5; 20],
            vec![f64::NAN, f64::INFINITY],
            vec![0.0],
            vec![f64::MAX, f64::MIN],
        ] {
            for domain in [None, Some((0.0, 1.0)), Some((1.0, 1.0))] {
                let svg = of(values.clone(), domain);
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                assert!(!svg.contains("<img"), "{svg}");
            }
        }
    }

    #[test]
    fn both_ends_of_the_domain_are_counted() {
        assert_eq!(binned(&[0.0, 1.0, 0.5, 2.0, -1.0], (0.0, 1.0), 2), [2, 3]);
    }
}
