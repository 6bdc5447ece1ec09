//! A small SVG writer: escaped text, finite coordinates, classes instead of colours.

use std::fmt::Write;

/// Which end of a text its x coordinate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// x is the left end.
    Start,
    /// x is the middle.
    Middle,
    /// x is the right end.
    End,
}

/// A drawing in progress. Elements with a coordinate that is not finite are left out.
#[derive(Debug)]
pub struct Svg {
    body: String,
    width: f64,
    height: f64,
    alternative: String,
}

impl Svg {
    /// `alternative` is what a screen reader says.
    pub fn new(width: f64, height: f64, alternative: &str) -> Self {
        Self { body: String::new(), width, height, alternative: escape(alternative) }
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        if finite(&[from.0, from.1, to.0, to.1]) {
            self.push(&format!(
                r#"<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>"#,
                escape(class),
                short(from.0),
                short(from.1),
                short(to.0),
                short(to.1)
            ));
        }
    }

    /// A rectangle; `tip` is shown when the pointer rests on it.
    pub fn rect(&mut self, at: (f64, f64), size: (f64, f64), class: &str, tip: &str) {
        if finite(&[at.0, at.1, size.0, size.1]) && size.0 > 0.0 && size.1 > 0.0 {
            let shape = format!(
                r#"<rect class="{}" x="{}" y="{}" width="{}" height="{}""#,
                escape(class),
                short(at.0),
                short(at.1),
                short(size.0),
                short(size.1)
            );
            self.tipped(&shape, "rect", tip);
        }
    }

    /// A circle.
    pub fn circle(&mut self, at: (f64, f64), radius: f64, class: &str, tip: &str) {
        if finite(&[at.0, at.1, radius]) {
            let shape = format!(
                r#"<circle class="{}" cx="{}" cy="{}" r="{}""#,
                escape(class),
                short(at.0),
                short(at.1),
                short(radius)
            );
            self.tipped(&shape, "circle", tip);
        }
    }

    /// Connected points; broken where a point is not finite.
    pub fn polyline(&mut self, points: &[(f64, f64)], class: &str) {
        for part in points.split(|(x, y)| !finite(&[*x, *y])) {
            match part {
                [] => {}
                [only] => self.circle(*only, 2.0, &format!("{class} dot"), ""),
                _ => {
                    let mut list = String::new();
                    for (x, y) in part {
                        // Writing to a string cannot fail.
                        let _ = write!(list, "{},{} ", short(*x), short(*y));
                    }
                    self.push(&format!(r#"<polyline class="{}" points="{}"/>"#, escape(class), list.trim_end()));
                }
            }
        }
    }

    /// Text on one line, escaped.
    pub fn text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        if finite(&[at.0, at.1]) {
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            self.push(&format!(
                r#"<text class="{}" x="{}" y="{}" text-anchor="{anchor}">{}</text>"#,
                escape(class),
                short(at.0),
                short(at.1),
                escape(&super::super::text::visible(text))
            ));
        }
    }

    /// The finished element.
    pub fn finish(self) -> String {
        format!(
            r#"<svg role="img" aria-label="{}" width="{w}" height="{h}" viewBox="0 0 {w} {h}">{}</svg>"#,
            self.alternative,
            self.body,
            w = short(self.width),
            h = short(self.height),
        )
    }

    fn tipped(&mut self, shape: &str, name: &str, tip: &str) {
        if tip.is_empty() {
            self.push(&format!("{shape}/>"));
        } else {
            self.push(&format!("{shape}><title>{}</title></{name}>", escape(tip)));
        }
    }

    fn push(&mut self, element: &str) {
        self.body.push_str(element);
    }
}

fn finite(numbers: &[f64]) -> bool {
    numbers.iter().all(|n| n.is_finite())
}

/// One decimal of a CSS pixel is finer than any screen; trailing zeros are bytes.
fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".into() } else { text.to_owned() }
}

/// For element content and quoted attributes alike.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// What a line of 11-pixel text may hold in a given width; longer labels are cut with an ellipsis.
pub(super) fn fitted(text: &str, width: f64) -> String {
    // A wide sans-serif's mean advance is near 0.56 em.
    let room = (width / (11.0 * 0.56)).floor().max(1.0) as usize;
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(room.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_escaped_everywhere() {
        let hostile = r#""></svg></script><img onerror=x>'"#;
        let mut svg = Svg::new(10.0, 10.0, hostile);
        svg.text((0.0, 0.0), Anchor::Start, hostile, hostile);
        svg.rect((0.0, 0.0), (1.0, 1.0), hostile, hostile);
        svg.circle((0.0, 0.0), 1.0, hostile, hostile);
        svg.polyline(&[(0.0, 0.0), (1.0, 1.0)], hostile);
        let out = svg.finish();
        assert!(!out.contains("<img") && !out.contains("</script"), "{out}");
        assert_eq!(out.matches("</svg>").count(), 1);
    }

    #[test]
    fn no_coordinate_is_ever_not_a_number() {
        let mut svg = Svg::new(10.0, 10.0, "");
        svg.line((f64::NAN, 0.0), (1.0, 1.0), "");
        svg.rect((0.0, 0.0), (f64::INFINITY, 1.0), "", "");
        svg.circle((0.0, f64::NAN), 1.0, "", "");
        svg.polyline(&[(0.0, 0.0), (1.0, f64::NAN), (2.0, 2.0), (3.0, 3.0)], "");
        let out = svg.finish();
        assert!(!out.contains("NaN") && !out.contains("inf"), "{out}");
        assert!(out.contains("polyline"), "the finite part is still drawn");
    }
}
