//! Distributions of uncertainty: combined and per dimension (scaled over the data set), and raw per scorer.

use std::collections::BTreeMap;

use super::{FIVE_NUMBERS, Figure, Table, five_numbers};
use crate::records::{Dimension, SampleUncertainty};
use crate::report::evidence::Evidence;
use crate::report::plot::{Histogram, Layer, histogram};
use crate::report::read::{Absent, Found, RunFiles};

/// Combined `u` and the scaled dimensions.
pub fn uncertainty(files: &RunFiles) -> Found<Figure> {
    let rows = files.uncertainty.as_ref().map_err(Clone::clone)?;
    let mut sets = vec![("u, combined".to_owned(), combined(rows))];
    for (dimension, values) in dimensions(rows) {
        sets.push((dimension.name().to_owned(), values));
    }
    Ok(figure(
        &sets,
        "Scaled over the whole data set, so that a difference means the same for every prompt. 0 is reliable, 1 is not.",
    ))
}

/// Each scorer's values as it gave them.
pub fn raw(evidence: &Evidence) -> Found<Figure> {
    let scorers = evidence.scorers.as_ref().map_err(Clone::clone)?;
    if scorers.is_empty() {
        return Err(Absent::new("no scorer has scored a sample"));
    }
    let sets: Vec<(String, Vec<f64>)> = scorers
        .iter()
        .map(|scorer| (scorer.name.clone(), scorer.values.clone()))
        .collect();
    Ok(figure(&sets, "As each scorer gave them, before scaling."))
}

/// Every response's combined `u`.
pub fn combined(rows: &[SampleUncertainty]) -> Vec<f64> {
    rows.iter().flat_map(|row| row.u.iter().copied()).collect()
}

/// Every response's scaled uncertainty, by dimension.
pub fn dimensions(rows: &[SampleUncertainty]) -> BTreeMap<Dimension, Vec<f64>> {
    let mut all: BTreeMap<Dimension, Vec<f64>> = BTreeMap::new();
    for row in rows {
        for (dimension, values) in &row.dimensions {
            all.entry(*dimension).or_default().extend(values);
        }
    }
    all
}

fn figure(sets: &[(String, Vec<f64>)], caption: &str) -> Figure {
    let mut table = Table::new(&["", "responses"]);
    table.columns.extend(FIVE_NUMBERS.map(String::from));
    let mut plots = Vec::new();
    for (name, values) in sets {
        let numbers = five_numbers(values);
        plots.push(histogram(&Histogram {
            title: name.clone(),
            alternative: format!("Histogram of {name}, from 0 to 1: median {}", numbers[2]),
            layers: vec![Layer {
                name: String::new(),
                class: "plain".into(),
                values: values.clone(),
            }],
            domain: Some((0.0, 1.0)),
            bins: 25,
            borders: Vec::new(),
            // Four fit in the column's width, two on a telephone.
            size: (if sets.len() == 4 { 225.0 } else { 306.0 }, 150.0),
        }));
        let mut row = vec![name.clone(), values.len().to_string()];
        row.extend(numbers);
        table.rows.push(row);
    }
    Figure {
        plots,
        caption: caption.into(),
        legend: Vec::new(),
        table: Some(table),
    }
}
