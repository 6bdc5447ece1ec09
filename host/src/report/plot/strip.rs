//! A strip: a few values on one line from 0 to 1, some of them marked.

use super::{Anchor, Scale, Svg};

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Dot {
    /// Where.
    pub value: f64,
    /// CSS class.
    pub class: String,
    /// Shown when the pointer rests on it.
    pub tip: String,
}

/// Draws the dots over [0, 1]; later ones lie on top.
pub fn strip(alternative: &str, dots: &[Dot], width: f64) -> String {
    let height = 34.0;
    let x = Scale::new((0.0, 1.0), (10.0, width - 10.0));
    let mut svg = Svg::new(width, height, alternative);
    svg.line((x.at(0.0), 12.0), (x.at(1.0), 12.0), "axis");
    for (value, label) in [(0.0, "0 reliable"), (0.5, "u"), (1.0, "1 unreliable")] {
        svg.line((x.at(value), 9.0), (x.at(value), 15.0), "axis");
        let anchor = match value {
            0.0 => Anchor::Start,
            1.0 => Anchor::End,
            _ => Anchor::Middle,
        };
        let at = match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => x.at(value),
            Anchor::End => width,
        };
        svg.text((at, 31.0), anchor, "tick", label);
    }
    for dot in dots {
        let radius = if dot.class == "other" { 4.0 } else { 6.0 };
        svg.circle((x.at(dot.value.clamp(0.0, 1.0)), 12.0), radius, &dot.class, &dot.tip);
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_values_are_left_out() {
        let dot = |value| Dot { value, class: "other".into(), tip: "<i>".into() };
        let svg = strip("", &[dot(f64::NAN), dot(0.5), dot(7.0)], 300.0);
        assert!(!svg.contains("NaN") && !svg.contains("<i>"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
    }
}
