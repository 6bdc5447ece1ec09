//! What one pass found: every scorer's word on every sample, `u`, and the pairs that follow. Held to compare it with the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::data::jsonl;
use crate::records::{Pair, SampleScores, SampleUncertainty};
use crate::score::Rescored;

/// Everything, by name and prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// In the config's order.
    pub scorers: Vec<ScorerState>,
    /// `u` of each response, by prompt id.
    pub u: BTreeMap<String, Vec<f64>>,
    /// None where no pairs are known.
    pub pairs: Option<BTreeSet<PairOf>>,
}

/// One scorer's word.
#[derive(Debug, Clone, PartialEq)]
pub struct ScorerState {
    /// Its name in the config.
    pub name: String,
    /// As long as it stays, the results hold.
    pub key: String,
    /// By prompt id.
    pub results: HashMap<String, Rescored>,
}

/// (prompt id, chosen response, rejected response).
pub type PairOf = (String, usize, usize);

impl State {
    /// A scorer's word.
    pub fn scorer(&self, name: &str) -> Option<&ScorerState> {
        self.scorers.iter().find(|scorer| scorer.name == name)
    }

    /// What the run's records say; nothing where they are not there or cannot be read.
    pub fn recorded(run: &Path) -> Self {
        let keys: BTreeMap<String, String> = std::fs::read(run.join("scores.keys.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let mut scorers: Vec<ScorerState> = Vec::new();
        for line in lines::<SampleScores>(run, "scores.jsonl").unwrap_or_default() {
            let at = scorers.iter().position(|scorer| scorer.name == line.scorer).unwrap_or_else(|| {
                let key = keys.get(&line.scorer).cloned().unwrap_or_default();
                scorers.push(ScorerState { name: line.scorer.clone(), key, results: HashMap::new() });
                scorers.len() - 1
            });
            let result = match line.fault {
                Some(fault) => Rescored::Fault(fault),
                None => Rescored::Scores(line.scores),
            };
            scorers[at].results.insert(line.id, result);
        }
        let u = lines::<SampleUncertainty>(run, "uncertainty.jsonl").unwrap_or_default();
        let pairs = lines::<Pair>(run, "pairs.jsonl");
        Self { scorers, u: u.into_iter().map(|line| (line.id, line.u)).collect(), pairs: pairs.map(|p| pairs_of(&p)) }
    }
}

/// Which responses the pairs are of.
pub fn pairs_of(pairs: &[Pair]) -> BTreeSet<PairOf> {
    pairs.iter().map(|pair| (pair.prompt_id.clone(), pair.chosen_index, pair.rejected_index)).collect()
}

fn lines<T: serde::de::DeserializeOwned>(run: &Path, name: &str) -> Option<Vec<T>> {
    jsonl::read_whole_lines(&run.join(name)).ok().flatten()
}
