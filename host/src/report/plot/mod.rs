//! SVG plots as pure functions from numbers to text. Colours and fonts are the page's (`templates/style.css`), by class, so
//! that one plot serves light, dark and print.
//!
//! Every plot survives empty, constant and non-finite data. What they show also stands in a table beside them: the plot's
//! own text alternative is one sentence.

mod bars;
mod histogram;
mod lines;
mod scale;
mod strip;
mod svg;

pub use bars::{Bar, BarGroup, bars};
pub use histogram::{Border, Histogram, Layer, histogram};
pub use lines::{Lines, Series, Span, lines, thinned};
pub use scale::{Scale, ticks};
pub use strip::{Dot, strip};
pub use svg::{Anchor, Svg, escape};
