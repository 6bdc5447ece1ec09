//! What an author types for a plugin: JSON to records. Pairs may be rows of a run, or the few fields that a policy sees.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::records::{Dimension, Pair, PastStage, PromptText};

/// A row holds the tokens themselves; a typed count must not fill the memory.
const MOST_TOKENS: u32 = 1 << 20;

pub(super) type Object = Map<String, Value>;

/// The input of `next-stage`.
pub(super) struct Staging {
    pub seed: u64,
    pub pairs: Vec<Pair>,
    pub history: Vec<PastStage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StagingInput {
    #[serde(default)]
    seed: u64,
    pairs: Vec<Value>,
    #[serde(default)]
    history: Vec<PastInput>,
}

/// A stage that was given out, as the plugin returned it: what else it holds (its reason, say) does not matter.
#[derive(Deserialize)]
struct PastInput {
    name: String,
    pairs: Vec<u32>,
    #[serde(default)]
    outcome: Option<crate::records::Outcome>,
}

/// The contract's view of a pair.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PairView {
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    pub group: Option<String>,
    pub gap: f64,
    #[serde(default)]
    pub chosen_uncertainty: Option<f64>,
    #[serde(default)]
    pub rejected_uncertainty: Option<f64>,
    #[serde(default)]
    pub gap_semantic: Option<f64>,
    #[serde(default)]
    pub gap_factual: Option<f64>,
    #[serde(default)]
    pub gap_value: Option<f64>,
    #[serde(default)]
    pub chosen_tokens: Option<u32>,
    #[serde(default)]
    pub rejected_tokens: Option<u32>,
}

/// A JSON object, or what the text is instead.
pub(super) fn object(text: &str) -> Result<Object, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("not a JSON object".to_owned()),
        Err(error) => Err(format!("not JSON ({error})")),
    }
}

pub(super) fn staging(text: &str) -> Result<Staging, String> {
    let input = Value::Object(object(text)?);
    let StagingInput { seed, pairs, history } = serde_json::from_value(input).map_err(|e| e.to_string())?;
    let pairs = pairs
        .into_iter()
        .enumerate()
        .map(|(index, pair)| read_pair(index, pair).map_err(|e| format!("pair {index}: {e}")))
        .collect::<Result<_, _>>()?;
    let history =
        history.into_iter().map(|PastInput { name, pairs, outcome }| PastStage { name, pairs, outcome }).collect();
    Ok(Staging { seed, pairs, history })
}

/// A row of pairs.jsonl, or the contract's view.
fn read_pair(index: usize, pair: Value) -> Result<Pair, String> {
    if pair.get("chosen_rating").is_some() {
        return serde_json::from_value(pair).map_err(|e| e.to_string());
    }
    let view: PairView = serde_json::from_value(pair).map_err(|e| e.to_string())?;
    if view.gap < 0.0 {
        return Err(format!("the gap {} is below 0", view.gap));
    }
    let most = view.chosen_tokens.max(view.rejected_tokens);
    match most.filter(|&tokens| tokens > MOST_TOKENS) {
        Some(tokens) => Err(format!("{tokens} tokens are more than {MOST_TOKENS}")),
        None => Ok(view.pair(index)),
    }
}

impl PairView {
    /// The row from which the host would make this view.
    pub(super) fn pair(self, index: usize) -> Pair {
        let text = || PromptText::Text(String::new());
        let rejected = self.rejected_uncertainty.unwrap_or_else(|| self.chosen_uncertainty.unwrap_or(0.0) + self.gap);
        let chosen = self.chosen_uncertainty.unwrap_or(rejected - self.gap);
        let gaps = [
            (Dimension::Semantic, self.gap_semantic),
            (Dimension::Factual, self.gap_factual),
            (Dimension::Value, self.gap_value),
        ];
        let tokens = |n: Option<u32>| vec![0; n.unwrap_or(1) as usize];
        Pair {
            id: self.id.unwrap_or_else(|| format!("p{index}")),
            prompt_id: String::new(),
            group: self.group,
            prompt: text(),
            chosen: text(),
            rejected: text(),
            chosen_rating: 1.0 - chosen,
            rejected_rating: 1.0 - rejected,
            gap: self.gap,
            dimensions: gaps.into_iter().filter_map(|(d, gap)| Some((d, [0.0, gap?]))).collect::<BTreeMap<_, _>>(),
            chosen_index: 0,
            rejected_index: 1,
            prompt_token_ids: Vec::new(),
            chosen_token_ids: tokens(self.chosen_tokens),
            rejected_token_ids: tokens(self.rejected_tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_needs_nothing_but_its_gap() {
        let Staging { seed, pairs, history } = staging(r#"{"pairs": [{"gap": 0.25}]}"#).expect("read");
        assert_eq!((seed, history.len()), (0, 0));
        assert_eq!((pairs[0].id.as_str(), pairs[0].gap), ("p0", 0.25));
        assert_eq!((pairs[0].chosen_rating, pairs[0].rejected_rating), (1.0, 0.75));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_pair() {
        let wrong = |text| staging(text).map(drop).expect_err("wrong");
        assert!(wrong("[]").contains("not a JSON object"));
        assert!(wrong("{").contains("not JSON"));
        assert!(wrong("{}").contains("missing field `pairs`"));
        assert!(wrong(r#"{"pairs": [{"gap": 1}, {"gpa": 1}]}"#).contains("pair 1: unknown field `gpa`"));
        assert!(wrong(r#"{"pairs": [{"gap": -1}]}"#).contains("pair 0: the gap -1 is below 0"));
        assert!(wrong(r#"{"pairs": [{"gap": 1, "chosen_tokens": 4000000000}]}"#).contains("4000000000 tokens"));
        assert!(wrong(r#"{"pairs": [], "sed": 1}"#).contains("unknown field `sed`"));
    }
}
