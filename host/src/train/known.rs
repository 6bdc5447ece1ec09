//! What a reference says of the pairs: computed once per pair, and kept in the run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::batches::Mismatch;
use super::logps::{Logps, log_probabilities, mismatched_logps};
use super::trained::{TrainedStage, Training, checkpoint_before, identity, load_trained};
use crate::data::jsonl;
use crate::data::sha256_hex;
use crate::model::Model;
use crate::records::Pair;

/// Of the initial model: it outlives changes of the training's settings.
const INITIAL: &str = "reference.json";
/// Of the policy as it was before a stage, where that is the reference.
const REFRESHED: &str = "refreshed.json";

/// One document.
#[derive(Serialize, Deserialize)]
struct Record<L> {
    /// Digest of the model and of the pairs' token ids.
    key: String,
    /// log p of every pair's chosen and rejected response under that model, nats.
    logps: Vec<L>,
}

impl<L: DeserializeOwned> Record<L> {
    /// What a file holds, where it is of this model and these pairs.
    fn read(path: &Path, key: &str, pairs: usize) -> Option<Vec<L>> {
        let bytes = std::fs::read(path).ok()?;
        let record: Self = serde_json::from_slice(&bytes).ok()?;
        (record.key == key && record.logps.len() == pairs).then_some(record.logps)
    }
}

/// log p of every pair under the initial model: what `folder` holds, where it is of this model and these pairs, else computed and kept.
pub fn initial(
    training: &Training,
    folder: &Path,
    pairs: &[Pair],
    compute: impl FnOnce(&[&Pair]) -> Result<Vec<Logps>>,
) -> Result<Vec<Logps>> {
    let key = key(training.model_key, pairs)?;
    let path = folder.join(INITIAL);
    if let Some(logps) = Record::read(&path, &key, pairs.len()) {
        return Ok(logps);
    }
    let logps = compute(&pairs.iter().collect::<Vec<_>>())?;
    // What is not a number is not JSON; it is found at the first step.
    if logps.iter().flatten().all(|p| p.is_finite()) {
        jsonl::write_json(&path, &Record { key, logps: logps.clone() })?;
    }
    Ok(logps)
}

fn key(model: &str, pairs: &[Pair]) -> Result<String> {
    let ids: Vec<[&Vec<u32>; 3]> =
        pairs.iter().map(|p| [&p.prompt_token_ids, &p.chosen_token_ids, &p.rejected_token_ids]).collect();
    Ok(sha256_hex(&serde_json::to_vec(&(model, ids))?))
}

/// The reference's log-probabilities of the run's pairs, as far as they are known; the rest is computed from its folder when a stage needs it.
pub struct KnownReference {
    model: PathBuf,
    /// Of the policy that it was refreshed to; none for the initial model.
    key: Option<String>,
    logps: Vec<Option<Logps>>,
}

impl KnownReference {
    /// The initial model, or the policy as it was before the last stage that refreshed it.
    pub fn after(training: &Training, done: &[TrainedStage], pairs: &[Pair], initial: &[Logps]) -> Result<Self> {
        let Some(last) = done.iter().rposition(|stage| stage.refreshed).filter(|&last| last > 0) else {
            let logps = initial.iter().copied().map(Some).collect();
            return Ok(Self { model: training.initial.to_owned(), key: None, logps });
        };
        let key = key(&identity(training, &done[..last])?, pairs)?;
        let kept = Record::read(&training.run.join(REFRESHED), &key, pairs.len());
        Ok(Self {
            model: checkpoint_before(training, &done[..last]),
            key: Some(key),
            logps: kept.unwrap_or_else(|| vec![None; pairs.len()]),
        })
    }

    /// The policy as these stages left it, of which this is known.
    pub fn becomes(
        &mut self,
        training: &Training,
        done: &[TrainedStage],
        pairs: &[Pair],
        known: impl Iterator<Item = (u32, Logps)>,
    ) -> Result<()> {
        self.model = checkpoint_before(training, done);
        self.key = Some(key(&identity(training, done)?, pairs)?);
        self.logps = vec![None; pairs.len()];
        for (i, logp) in known {
            self.logps[i as usize] = Some(logp);
        }
        self.keep(training)
    }

    /// The reference itself.
    pub fn load(&self, training: &Training) -> Result<Model> {
        if self.key.is_none() {
            return Model::load(training.initial, training.section);
        }
        load_trained(training, &self.model)
    }

    /// Of the wanted pairs of the run.
    pub fn of(&mut self, training: &Training, wanted: &[u32], pairs: &[Pair]) -> Result<Vec<Logps>> {
        let missing: Vec<u32> = wanted.iter().copied().filter(|&i| self.logps[i as usize].is_none()).collect();
        if !missing.is_empty() {
            let model = self.load(training)?;
            let of: Vec<&Pair> = missing.iter().map(|&i| &pairs[i as usize]).collect();
            for (&i, logp) in missing.iter().zip(log_probabilities(&model, &of, true)?) {
                self.logps[i as usize] = Some(logp);
            }
            self.keep(training)?;
        }
        Ok(wanted.iter().filter_map(|&i| self.logps[i as usize]).collect())
    }

    /// Of pairs that are not the run's; `initial` is what the initial model says of them.
    pub fn of_others(&self, training: &Training, pairs: &[&Pair], initial: &[Logps]) -> Result<Vec<Logps>> {
        if self.key.is_none() {
            return Ok(initial.to_vec());
        }
        log_probabilities(&self.load(training)?, pairs, true)
    }

    /// What a resumed run would otherwise compute again.
    fn keep(&self, training: &Training) -> Result<()> {
        match &self.key {
            Some(key) if self.logps.iter().flatten().flatten().all(|p| p.is_finite()) => {
                let record = Record { key: key.clone(), logps: self.logps.clone() };
                jsonl::write_json(&training.run.join(REFRESHED), &record)
            }
            _ => Ok(()),
        }
    }
}

/// log p of the responses of every mismatch.
pub fn by_mismatch(model: &Model, pairs: &[&Pair], wanted: &[Mismatch]) -> Result<HashMap<Mismatch, Logps>> {
    let logps = mismatched_logps(model, pairs, wanted, true)?;
    Ok(wanted.iter().copied().zip(logps).collect())
}
