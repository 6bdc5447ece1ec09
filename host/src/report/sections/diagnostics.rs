//! Diagnostics: does `u` follow length, do the dimensions agree, and what did the scorers fail on?

use serde::Serialize;

use super::Table;
use super::uncertainty::{combined, dimensions};
use crate::records::SampleUncertainty;
use crate::report::evidence::Evidence;
use crate::report::read::{Absent, Found, RunFiles};
use crate::report::statistics::{mean, pearson, spearman};
use crate::report::text::{count, difference, number, rate, shortened, visible};

/// What the section shows.
#[derive(Debug, Serialize)]
pub struct Diagnostics {
    /// Correlation of `u` and each dimension with length.
    pub length: Option<Table>,
    /// Why there is none.
    pub no_length: Option<String>,
    /// Spearman between dimensions.
    pub agreement: Agreement,
}

/// A matrix of correlations.
#[derive(Debug, Serialize)]
pub struct Agreement {
    /// Rows and columns.
    pub names: Vec<String>,
    /// Cells by row.
    pub rows: Vec<Vec<Cell>>,
    /// Over how many responses.
    pub n: String,
}

/// One correlation with the strength of its shade.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// In digits.
    pub text: String,
    /// |ρ| in percent.
    pub shade: f64,
    /// Below zero.
    pub negative: bool,
}

/// Responses that correlations are taken over: ranks of more cost time and change no digit that is shown.
const SAMPLE: usize = 20_000;

/// Builds it.
pub fn diagnostics(files: &RunFiles, evidence: &Evidence) -> Found<Diagnostics> {
    let rows = files.uncertainty.as_ref().map_err(Clone::clone)?;
    let mut sets = vec![("u, combined".to_owned(), combined(rows))];
    for (dimension, values) in dimensions(rows) {
        sets.push((dimension.name().to_owned(), values));
    }
    let (length, no_length) = match length_table(rows, evidence, &sets) {
        Ok(table) => (Some(table), None),
        Err(absent) => (None, Some(absent.0)),
    };
    Ok(Diagnostics { length, no_length, agreement: agreement(&sets) })
}

fn length_table(rows: &[SampleUncertainty], evidence: &Evidence, sets: &[(String, Vec<f64>)]) -> Found<Table> {
    let known = evidence.lengths.as_ref().map_err(Clone::clone)?;
    let mut lengths = Vec::new();
    for row in rows {
        match known.get(&row.id) {
            Some(each) if each.len() == row.u.len() => {
                lengths.extend(each.iter().map(|&n| n as f64));
            }
            _ => {
                return Err(Absent::new(format!(
                    "responses.jsonl and uncertainty.jsonl disagree about prompt {}",
                    row.id
                )));
            }
        }
    }
    let lengths = thin(&lengths);
    let mut table = Table::new(&["with length in tokens", "Spearman ρ", "Pearson r"]);
    for (name, values) in sets {
        // A dimension that skipped samples cannot be aligned with the lengths.
        let aligned = values.len() == sets[0].1.len();
        let values = thin(values);
        let cell = |r: Option<f64>| difference(r.filter(|_| aligned).unwrap_or(f64::NAN));
        table.rows.push(vec![name.clone(), cell(spearman(&values, &lengths)), cell(pearson(&values, &lengths))]);
    }
    Ok(table)
}

fn agreement(sets: &[(String, Vec<f64>)]) -> Agreement {
    let thinned: Vec<Vec<f64>> = sets.iter().map(|(_, values)| thin(values)).collect();
    let rows = sets
        .iter()
        .zip(&thinned)
        .map(|((_, a), thin_a)| {
            sets.iter()
                .zip(&thinned)
                .map(|((_, b), thin_b)| {
                    let rho = if a.len() == b.len() { spearman(thin_a, thin_b) } else { None };
                    Cell {
                        text: rate(rho.unwrap_or(f64::NAN)),
                        shade: (rho.unwrap_or(0.0).abs() * 100.0).round(),
                        negative: rho.is_some_and(|rho| rho < 0.0),
                    }
                })
                .collect()
        })
        .collect();
    Agreement {
        names: sets.iter().map(|(name, _)| name.clone()).collect(),
        rows,
        n: count(thinned.first().map_or(0, Vec::len)),
    }
}

/// Every k-th value, so that at most [`SAMPLE`] are left.
fn thin(values: &[f64]) -> Vec<f64> {
    let stride = values.len().div_ceil(SAMPLE).max(1);
    values.iter().copied().step_by(stride).collect()
}

/// Per scorer: samples, faults, means of its notes.
#[derive(Debug, Serialize)]
pub struct Scorers {
    /// One row a scorer.
    pub table: Table,
    /// The first faults of each.
    pub faults: Vec<Fault>,
    /// Faults not listed.
    pub unlisted: usize,
}

/// A sample that a scorer failed on.
#[derive(Debug, Serialize)]
pub struct Fault {
    /// The scorer.
    pub scorer: String,
    /// The prompt.
    pub prompt_id: String,
    /// What went wrong.
    pub message: String,
}

/// Faults listed per scorer.
const FAULTS: usize = 5;

/// Builds it.
pub fn scorers(evidence: &Evidence) -> Found<Scorers> {
    let scorers = evidence.scorers.as_ref().map_err(Clone::clone)?;
    let mut table = Table::new(&["scorer", "samples", "faults", "mean raw u", "mean of its notes"]);
    let mut faults = Vec::new();
    let mut unlisted = 0;
    for scorer in scorers {
        let notes: Vec<String> =
            scorer.notes.iter().map(|(name, value)| format!("{} {}", visible(name), number(*value))).collect();
        table.rows.push(vec![
            scorer.name.clone(),
            count(scorer.samples),
            count(scorer.faults.len()),
            number(mean(&scorer.values).unwrap_or(f64::NAN)),
            if notes.is_empty() { "–".into() } else { notes.join(", ") },
        ]);
        unlisted += scorer.faults.len().saturating_sub(FAULTS);
        faults.extend(scorer.faults.iter().take(FAULTS).map(|(id, message)| Fault {
            scorer: scorer.name.clone(),
            prompt_id: visible(id),
            message: shortened(&visible(message), 400),
        }));
    }
    Ok(Scorers { table, faults, unlisted })
}
