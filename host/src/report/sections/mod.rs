//! The report's sections, in the order of the page: each turns records into what its template shows.

pub mod diagnostics;
pub mod examples;
pub mod gaps;
pub mod gates;
pub mod headline;
pub mod health;
pub mod pairs;
pub mod plugins;
pub mod provenance;
pub mod summary;
pub mod training;
pub mod uncertainty;

use serde::Serialize;

/// A table: the first column names the row, the others are numbers or short words.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Table {
    /// Column heads.
    pub columns: Vec<String>,
    /// As many cells a row.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these heads.
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|&c| c.into()).collect(), rows: Vec::new() }
    }
}

/// One entry of a legend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// CSS class of its colour.
    pub class: String,
    /// What it stands for.
    pub name: String,
}

/// One or several plots with what they say, their legend and their numbers.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Figure {
    /// SVG elements.
    pub plots: Vec<String>,
    /// Below them.
    pub caption: String,
    /// Above them.
    pub legend: Vec<Key>,
    /// Behind "the numbers".
    pub table: Option<Table>,
}

/// The colour class of a stage, by its number. More stages than colours start over.
pub fn stage_class(stage: usize) -> String {
    format!("stage-{}", stage % 6)
}

/// Minimum, quartiles, maximum and mean as table cells.
pub fn five_numbers(values: &[f64]) -> Vec<String> {
    use super::statistics::{mean, quantile};
    use super::text::number;
    let cell = |value: Option<f64>| number(value.unwrap_or(f64::NAN));
    [0.0, 0.25, 0.5, 0.75, 1.0].into_iter().map(|q| cell(quantile(values, q))).chain([cell(mean(values))]).collect()
}

/// Heads that go with [`five_numbers`].
pub const FIVE_NUMBERS: [&str; 6] = ["min", "25 %", "median", "75 %", "max", "mean"];
