//! Stages that were trained, on disk: `training.json`, their checkpoints, and the policy as they left it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::config::{ModelSection, Train};
use crate::data::{jsonl, sha256_hex};
use crate::model::{Model, checksum, lora};
use crate::progress::say;
use crate::records::{EvalPoint, Outcome, Overrides, PastStage, Resampled, Stage};

/// One stage that was given out, an entry of `training.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedStage {
    /// Its name.
    pub name: String,
    /// Its pairs, as the staging policy named them.
    pub pairs: Vec<u32>,
    /// Passes over them.
    pub epochs: u32,
    /// Optimizer steps.
    pub steps: u64,
    /// Wall time.
    pub seconds: f64,
    /// Why these pairs, as the policy says.
    pub reason: String,
    /// Whether the reference was refreshed before it.
    pub refreshed: bool,
    /// What the policy asked for.
    pub overrides: Overrides,
    /// What came of it; none where nothing was left to train on.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// Folder of its checkpoint, under `checkpoints/`.
    pub checkpoint: String,
    /// CRC-32 of the weights in it, as hex: against accidents.
    #[serde(default)]
    pub checksum: String,
    /// Why it was stopped before its end and the policy taken back: a limit of `[train]`. No stage follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// What it was trained on instead of `pairs`, where the policy had its prompts sampled anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resampled: Option<Resampled>,
    /// Every measure of the evaluation after it, where the staging policy was to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluated: Option<EvalPoint>,
}

impl TrainedStage {
    /// The stage as the staging policy gave it.
    pub fn as_given(&self) -> Stage {
        Stage {
            name: self.name.clone(),
            pairs: self.pairs.clone(),
            overrides: self.overrides.clone(),
            refresh_reference: self.refreshed,
            resample: self.resampled.is_some(),
            reason: self.reason.clone(),
        }
    }

    /// The stage as one that is past.
    pub(super) fn as_past(&self) -> PastStage {
        PastStage { name: self.name.clone(), pairs: self.pairs.clone(), outcome: self.outcome.clone() }
    }
}

/// Where the room finds and leaves things.
pub struct Training<'a> {
    /// The run folder.
    pub run: &'a Path,
    /// The model before alignment.
    pub initial: &'a Path,
    /// How models are loaded.
    pub section: &'a ModelSection,
    /// Settings.
    pub train: &'a Train,
    /// The run's seed.
    pub seed: u64,
    /// Digest of the initial model.
    pub model_key: &'a str,
}

/// Where stages are saved.
pub(super) const CHECKPOINTS: &str = "checkpoints";
/// Where a stage's new responses lie, in a folder named as its checkpoint.
pub(super) const RESAMPLED: &str = "resampled";
const RECORD: &str = "training.json";

/// A digest of the policy as these stages left it.
pub fn identity(training: &Training, done: &[TrainedStage]) -> Result<String> {
    let checksums: Vec<&String> = done.iter().map(|stage| &stage.checksum).collect();
    Ok(sha256_hex(&serde_json::to_vec(&(training.model_key, checksums))?))
}

/// The stages whose checkpoints are as they were written; the first that is damaged goes, and those after it, which began from it.
pub(super) fn whole_stages(training: &Training) -> Result<Vec<TrainedStage>> {
    let mut done = read_trained(training.run)?;
    let damaged = |stage: &TrainedStage| {
        let folder = training.run.join(CHECKPOINTS).join(&stage.checkpoint);
        checksum_of(training, &folder).ok().as_ref() != Some(&stage.checksum)
    };
    if let Some(first) = done.iter().position(damaged) {
        say("train", &format!("the checkpoint {} is damaged; going back to the one before", done[first].checkpoint));
        done.truncate(first);
        write_trained(training.run, &done)?;
    }
    Ok(done)
}

/// CRC-32 of the weights in a checkpoint's folder, as hex.
pub(super) fn checksum_of(training: &Training, folder: &Path) -> Result<String> {
    let name = if training.train.lora.is_some() { "adapter_model.safetensors" } else { "model.safetensors" };
    Ok(format!("{:08x}", checksum(&folder.join(name))?))
}

/// Records the stages.
pub(super) fn write_trained(run: &Path, done: &[TrainedStage]) -> Result<()> {
    jsonl::write_json(&run.join(RECORD), &done)
}

/// The stages that a run has trained so far.
pub fn read_trained(run: &Path) -> Result<Vec<TrainedStage>> {
    let path = run.join(RECORD);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e).with_context(|| format!("reading {}", path.display())),
    }
}

/// Loads a model that training wrote: a whole one, or an adapter on the initial model.
pub fn load_trained(training: &Training, dir: &Path) -> Result<Model> {
    if training.train.lora.is_none() {
        return Model::load(dir, training.section);
    }
    let mut model = Model::load(training.initial, training.section)?;
    model.attach_saved(dir)?;
    Ok(model)
}

/// The policy as these stages left it.
pub(super) fn start(training: &Training, initial: Model, done: &[TrainedStage]) -> Result<Model> {
    if let Some(stage) = done.last() {
        drop(initial);
        return load_trained(training, &training.run.join(CHECKPOINTS).join(&stage.checkpoint));
    }
    let mut model = initial;
    if let Some(lora) = &training.train.lora {
        let mut random = ChaCha8Rng::seed_from_u64(training.seed);
        model.attach_new(lora, || (random.next_u32() >> 8) as f32 / (1_u32 << 24) as f32)?;
    }
    Ok(model)
}

/// Writes the policy: a model folder, or the adapter alone.
pub(super) fn save(training: &Training, model: &Model, dir: &Path) -> Result<()> {
    match &training.train.lora {
        None => model.save(dir, training.initial),
        Some(lora) => lora::save(dir, lora, &training.initial.display().to_string(), &model.decoder.adapter()),
    }
}

/// The folder of the policy as it is before the next stage.
pub fn checkpoint_before(training: &Training, done: &[TrainedStage]) -> PathBuf {
    done.last().map_or_else(|| training.initial.to_owned(), |s| training.run.join(CHECKPOINTS).join(&s.checkpoint))
}

/// A stage's name comes from a plugin: only what is harmless in a path is kept of it.
pub(super) fn folder_name(stage: &str) -> String {
    stage.chars().take(40).map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}
