//! Conditions on the model before alignment: checked and shown, never a reason to stop.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::error::UserError;
use crate::records::{EvalPoint, Gate};

/// Checks each wanted measure against its least value.
///
/// # Errors
/// A name that the evaluation does not measure.
pub fn gates(point: &EvalPoint, wanted: &BTreeMap<String, f64>) -> Result<Vec<Gate>> {
    wanted
        .iter()
        .map(|(name, &at_least)| {
            let measure = point.measures.get(name).ok_or_else(|| unknown(name, point))?;
            Ok(Gate { name: name.clone(), value: measure.value, at_least, passed: measure.value >= at_least })
        })
        .collect()
}

fn unknown(name: &str, point: &EvalPoint) -> UserError {
    let known: Vec<&str> = point.measures.keys().map(String::as_str).collect();
    UserError::new(format!("evaluate.gates: nothing measures `{name}`"))
        .hint(format!("measured are: {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tally::mean;

    fn point() -> EvalPoint {
        EvalPoint { at: "before".into(), measures: [("safe".to_owned(), mean(&[0.5, 1.0]))].into() }
    }

    #[test]
    fn a_gate_passes_at_its_very_limit_and_fails_above() {
        let gate = |limit| gates(&point(), &[("safe".to_owned(), limit)].into()).expect("known");
        assert!(gate(0.75)[0].passed);
        assert!(!gate(0.76)[0].passed);
    }

    #[test]
    fn an_unknown_measure_is_the_users_error_and_lists_the_known_ones() {
        let error = gates(&point(), &[("save".to_owned(), 0.5)].into()).expect_err("unknown");
        let error = error.downcast_ref::<UserError>().expect("the user's");
        assert!(error.message.contains("`save`"));
        assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("safe")));
    }
}
