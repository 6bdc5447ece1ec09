//! Gates: conditions on the model before alignment, with the place of the value beside the bar it must clear.

use serde::Serialize;

use crate::report::read::{Found, RunFiles};
use crate::report::text::rate;

/// What the section shows.
#[derive(Debug, Serialize)]
pub struct Gates {
    /// How many passed, in words.
    pub sentence: String,
    /// Whether all did.
    pub all_passed: bool,
    /// Each gate.
    pub rows: Vec<GateRow>,
}

/// One gate.
#[derive(Debug, Serialize)]
pub struct GateRow {
    /// What is measured.
    pub name: String,
    /// Measured.
    pub value: String,
    /// Required.
    pub at_least: String,
    /// Whether it is.
    pub passed: bool,
    /// Width of the bar, percent of [0, 1]; none for measures outside it.
    pub percent: Option<f64>,
    /// Place of the requirement, percent.
    pub mark: f64,
}

/// Builds it.
pub fn gates(files: &RunFiles) -> Found<Gates> {
    let gates = &files.evaluation.as_ref().map_err(Clone::clone)?.gates;
    let passed = gates.iter().filter(|gate| gate.passed).count();
    let sentence = match gates.len() {
        0 => "The config sets no gates.".into(),
        all if passed == all => {
            format!("The model before alignment passed all {all} gates: what follows starts from a sound base.")
        }
        all => format!(
            "The model before alignment failed {} of {all} gates: read what follows with that in mind.",
            all - passed
        ),
    };
    let rows = gates
        .iter()
        .map(|gate| {
            let in_unit = |v: f64| (0.0..=1.0).contains(&v);
            let drawn = in_unit(gate.value) && in_unit(gate.at_least);
            GateRow {
                name: gate.name.clone(),
                value: rate3(gate.value),
                at_least: rate3(gate.at_least),
                passed: gate.passed,
                percent: drawn.then(|| (gate.value * 1000.0).round() / 10.0),
                mark: (gate.at_least * 1000.0).round() / 10.0,
            }
        })
        .collect();
    Ok(Gates { sentence, all_passed: passed == gates.len(), rows })
}

/// Three decimals: a gate of 0.97 that is missed by 0.001 must not read as met.
fn rate3(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}").replace('-', "−") } else { rate(value) }
}
