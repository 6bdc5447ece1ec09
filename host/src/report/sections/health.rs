//! Refusals and garbled text as separate numbers, and the distance from the initial model. A model that refuses everything or
//! writes nonsense can look harmless; these numbers say which.

use serde::Serialize;

use super::Table;
use super::headline::row;
use crate::records::EvalPoint;
use crate::report::read::{Found, RunFiles};

/// What the section shows. Each table may be empty.
#[derive(Debug, Serialize)]
pub struct Health {
    /// Rates of refusal by group.
    pub refusals: Table,
    /// Rates of garbled and of well-formed text.
    pub garbled: Table,
    /// Kullback–Leibler divergence from the initial model.
    pub kl: Table,
}

/// Builds it, by the names of the measures: `group/refused`, `group/garbled`, `well-formed`, `kl`.
pub fn health(files: &RunFiles) -> Found<Health> {
    let points = &files.evaluation.as_ref().map_err(Clone::clone)?.points;
    Ok(Health {
        refusals: matching(points, &["refus"]),
        garbled: matching(points, &["garbl", "well-formed", "wellformed", "malformed"]),
        kl: matching(points, &["kl"]),
    })
}

fn matching(points: &[EvalPoint], words: &[&str]) -> Table {
    let mut names: Vec<&String> = points.iter().flat_map(|p| p.measures.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let mut table = Table::new(&["measure"]);
    table.columns.extend(points.iter().map(|point| point.at.clone()));
    table.columns.push("change".into());
    table.rows = names.into_iter().filter(|name| is_about(name, words)).map(|name| row(points, name)).collect();
    table
}

/// Whether a part of the name (`group/label`) begins with one of the words.
fn is_about(name: &str, words: &[&str]) -> bool {
    // Finer rates (`facts/river/garbled`) would bury these; they stand under "every measure".
    if name.matches('/').count() > 1 {
        return false;
    }
    let name = name.to_lowercase();
    // `kl` is too short to be the beginning of a word.
    let matches = |part: &str, word: &str| part == word || (word.len() > 2 && part.starts_with(word));
    name.split(['/', ' ', '_']).any(|part| words.iter().any(|word| matches(part, word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_found_by_a_part_of_their_name() {
        assert!(is_about("harm/refused", &["refus"]));
        assert!(is_about("Refusals", &["refus"]));
        assert!(is_about("kl", &["kl"]));
        assert!(!is_about("facts/river/refused", &["refus"]));
        assert!(!is_about("truth/klingon", &["kl"]));
    }
}
