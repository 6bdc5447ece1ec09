//! What the reference says of the pairs: computed once per pair, and kept in the run for the initial model.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::batches::Mismatch;
use super::logps::{Logps, log_probabilities, mismatched_logps};
use super::room::{TrainedStage, Training, checkpoint_before, load_trained};
use crate::data::jsonl;
use crate::data::sha256_hex;
use crate::model::Model;
use crate::records::Pair;

const RECORD: &str = "reference.json";

/// `reference.json`: it outlives changes of the training's settings.
#[derive(Serialize, Deserialize)]
struct Record {
    /// Digest of the model and of the pairs' token ids.
    key: String,
    /// log p of every pair's chosen and rejected response under the initial model, nats.
    logps: Vec<Logps>,
}

/// log p of every pair under the initial model: what the run holds, where it is of this model and these pairs, else computed and kept.
pub fn initial(training: &Training, model: &Model, pairs: &[Pair]) -> Result<Vec<Logps>> {
    let ids: Vec<[&Vec<u32>; 3]> =
        pairs.iter().map(|p| [&p.prompt_token_ids, &p.chosen_token_ids, &p.rejected_token_ids]).collect();
    let key = sha256_hex(&serde_json::to_vec(&(training.model_key, ids))?);
    let path = training.run.join(RECORD);
    let known: Option<Record> = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(record) = known.filter(|record| record.key == key && record.logps.len() == pairs.len()) {
        return Ok(record.logps);
    }
    let everyone: Vec<&Pair> = pairs.iter().collect();
    let logps = log_probabilities(model, &everyone, false)?;
    // What is not a number is not JSON; it is found at the first step.
    if logps.iter().flatten().all(|p| p.is_finite()) {
        jsonl::write_json(&path, &Record { key, logps: logps.clone() })?;
    }
    Ok(logps)
}

/// The reference's log-probabilities, as far as they are known; the rest is computed from its folder when a stage needs it.
pub struct KnownReference {
    model: PathBuf,
    logps: Vec<Option<Logps>>,
}

impl KnownReference {
    /// The initial model, or the policy as it was before the last stage that refreshed it.
    pub fn after(training: &Training, done: &[TrainedStage], initial: &[Logps]) -> Self {
        match done.iter().rposition(|stage| stage.refreshed) {
            Some(last) if last > 0 => {
                Self { model: checkpoint_before(training, &done[..last]), logps: vec![None; initial.len()] }
            }
            _ => Self { model: training.initial.to_owned(), logps: initial.iter().copied().map(Some).collect() },
        }
    }

    /// The policy that lies in this folder, of which this is known.
    pub fn becomes(&mut self, model: PathBuf, pairs: &[u32], logps: &[Logps], total: usize) {
        self.model = model;
        self.logps = vec![None; total];
        for (&i, &logp) in pairs.iter().zip(logps) {
            self.logps[i as usize] = Some(logp);
        }
    }

    /// The reference itself.
    pub fn load(&self, training: &Training) -> Result<Model> {
        if self.model == training.initial {
            return Model::load(training.initial, training.section);
        }
        load_trained(training, &self.model)
    }

    /// Of the wanted pairs.
    pub fn of(&mut self, training: &Training, wanted: &[u32], pairs: &[Pair]) -> Result<Vec<Logps>> {
        let missing: Vec<u32> = wanted.iter().copied().filter(|&i| self.logps[i as usize].is_none()).collect();
        if !missing.is_empty() {
            let model = self.load(training)?;
            let of: Vec<&Pair> = missing.iter().map(|&i| &pairs[i as usize]).collect();
            for (&i, logp) in missing.iter().zip(log_probabilities(&model, &of, true)?) {
                self.logps[i as usize] = Some(logp);
            }
        }
        Ok(wanted.iter().filter_map(|&i| self.logps[i as usize]).collect())
    }
}

/// log p of the responses of every mismatch.
pub fn by_mismatch(model: &Model, pairs: &[&Pair], wanted: &[Mismatch]) -> Result<HashMap<Mismatch, Logps>> {
    let logps = mismatched_logps(model, pairs, wanted, true)?;
    Ok(wanted.iter().copied().zip(logps).collect())
}
