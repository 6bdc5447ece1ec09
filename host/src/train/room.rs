//! The stages, one after another: asks the staging policy, trains, saves, and tells the policy what came of it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::known::{self, KnownReference, by_mismatch};
use super::limits::Limits;
use super::logps::{Logps, ReferenceLogps, log_probabilities, mismatches};
use super::metrics::Metrics;
use super::stage_training::{Position, StageRun, StageSettings, train};
use super::trainer_state;
use crate::config::{ModelSection, Reference, Train};
use crate::data::jsonl;
use crate::error::UserError;
use crate::model::{Checkpoints, Model, checksum, lora};
use crate::progress::say;
use crate::records::{Outcome, Overrides, Pair, PastStage, Stage};

/// One trained stage, an entry of `training.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedStage {
    /// Its name.
    pub name: String,
    /// Its pairs.
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
    /// What came of it.
    pub outcome: Outcome,
    /// Folder of its checkpoint, under `checkpoints/`.
    pub checkpoint: String,
    /// CRC-32 of the weights in it, as hex: against accidents.
    #[serde(default)]
    pub checksum: String,
    /// Why it was stopped before its end and the policy taken back: a limit of `[train]`. No stage follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

impl TrainedStage {
    /// The stage as the staging policy gave it.
    pub fn as_given(&self) -> Stage {
        Stage {
            name: self.name.clone(),
            pairs: self.pairs.clone(),
            overrides: self.overrides.clone(),
            refresh_reference: self.refreshed,
            resample: false,
            reason: self.reason.clone(),
        }
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

const CHECKPOINTS: &str = "checkpoints";
const RECORD: &str = "training.json";

/// Trains every stage that `next_stage` gives, until it gives none. Stages that `training.json` lists are kept.
pub fn room(
    training: &Training,
    pairs: &[Pair],
    mut next_stage: impl FnMut(&[PastStage]) -> Result<Option<Stage>>,
) -> Result<Vec<TrainedStage>> {
    if let Some(bare) = pairs
        .iter()
        .find(|p| p.chosen_token_ids.is_empty() || p.rejected_token_ids.is_empty() || p.prompt_token_ids.is_empty())
    {
        return Err(UserError::new(format!("the pair {} has no token ids to train on", bare.id))
            .hint("responses made elsewhere need `token_ids` and `prompt_token_ids` to be trained on")
            .into());
    }
    let initial_model = Model::load(training.initial, training.section)?;
    for pair in pairs {
        for response in [&pair.chosen_token_ids, &pair.rejected_token_ids] {
            let ids = [&pair.prompt_token_ids[..], response].concat();
            initial_model.check_ids(&ids).with_context(|| format!("pair {}", pair.id))?;
        }
    }
    let initial = known::initial(training, &initial_model, pairs)?;
    let checkpoints = Checkpoints::new(training.run.join(CHECKPOINTS), training.train.save_total_limit);
    let mut done = whole_stages(training)?;
    let mut model = start(training, initial_model, &done)?;
    let mut metrics = Metrics::open(training.run)?;
    let steps_before = done.iter().map(|stage| stage.steps).sum();
    let mut saved = checkpoints
        .latest(|at: &Position| at.stage == done.len() && steps_before + at.step as u64 <= metrics.all.len() as u64)?;
    metrics.resume(steps_before, saved.as_ref().map_or(0, |saved| saved.position.step as u64))?;
    let mut reference = KnownReference::after(training, &done, &initial);
    trainer_state::write(training.run, &done, &metrics.all, training.train)?;
    while done.last().is_none_or(|stage| stage.stopped.is_none()) {
        let history: Vec<PastStage> = done
            .iter()
            .map(|s| PastStage { name: s.name.clone(), pairs: s.pairs.clone(), outcome: Some(s.outcome.clone()) })
            .collect();
        let Some(stage) = next_stage(&history)? else { break };
        if stage.resample {
            return Err(UserError::new(format!(
                "the staging policy asks to resample before the stage `{}`, which this version cannot do",
                stage.name
            ))
            .hint("turn resampling off in the policy's settings")
            .into());
        }
        let started = Instant::now();
        let chosen: Vec<&Pair> = stage.pairs.iter().map(|&i| &pairs[i as usize]).collect();
        let initial: Vec<Logps> = stage.pairs.iter().map(|&i| initial[i as usize]).collect();
        let settings = StageSettings::new(training.train, &stage.overrides)?;
        let first_step = done.iter().map(|s| s.steps).sum();
        let seed = (training.seed, first_step);
        let wanted = mismatches(&model, &chosen, training.train, &settings, seed)?;
        // Also what the outcome is measured from, so it is made for a loss without a reference too. A new adapter changes nothing yet.
        let before = if done.is_empty() { initial.clone() } else { log_probabilities(&model, &chosen, true)? };
        let refreshed = stage.refresh_reference && training.train.reference == Reference::Previous;
        if refreshed && !done.is_empty() {
            reference.becomes(checkpoint_before(training, &done), &stage.pairs, &before, pairs.len());
        }
        let stage_reference = match (settings.loss.needs_reference(), refreshed) {
            (false, _) => None,
            (true, true) => {
                Some(ReferenceLogps { pairs: before.clone(), mismatched: by_mismatch(&model, &chosen, &wanted)? })
            }
            (true, false) => Some(ReferenceLogps {
                pairs: reference.of(training, &stage.pairs, pairs)?,
                mismatched: if wanted.is_empty() {
                    HashMap::new()
                } else {
                    by_mismatch(&reference.load(training)?, &chosen, &wanted)?
                },
            }),
        };
        let run = StageRun {
            name: &stage.name,
            pairs: &chosen,
            reference: stage_reference.as_ref(),
            at_reference: refreshed || done.is_empty(),
            config: training.train,
            settings: &settings,
            seed,
            limits: Some(Limits::new(training.train, &initial, &before)),
            checkpoints: Some((&checkpoints, done.len())),
        };
        let end = train(&model, &run, saved.take().as_ref(), |m| metrics.add(m))?;
        if let Some(why) = &end.stopped {
            say("train", &format!("{}: stopped at {why}", stage.name));
            if end.steps == 0 {
                model = start(training, Model::load(training.initial, training.section)?, &done)?;
            }
        }
        metrics.end_stage(first_step, end.steps as u64)?;
        let after = log_probabilities(&model, &chosen, true)?;
        let outcome = Outcome {
            loss: end.last.loss,
            reward_accuracy: end.last.accuracy,
            margin: end.last.margin,
            kl_to_initial: mean(
                after
                    .iter()
                    .zip(&initial)
                    .zip(&chosen)
                    .map(|((now, then), pair)| (now[0] - then[0]) / pair.chosen_token_ids.len() as f64),
            ),
            chosen_logprob_change: mean(after.iter().zip(&before).map(|(now, then)| now[0] - then[0])),
            evaluation: BTreeMap::new(),
        };
        let checkpoint = format!("{}-{}", done.len(), folder_name(&stage.name));
        let folder = training.run.join(CHECKPOINTS).join(&checkpoint);
        save(training, &model, &folder)?;
        done.push(TrainedStage {
            name: stage.name,
            pairs: stage.pairs,
            epochs: settings.epochs,
            steps: end.steps as u64,
            seconds: started.elapsed().as_secs_f64(),
            reason: stage.reason,
            refreshed,
            overrides: stage.overrides,
            outcome,
            checkpoint,
            checksum: checksum_of(training, &folder)?,
            stopped: end.stopped,
        });
        jsonl::write_json(&training.run.join(RECORD), &done)?;
        trainer_state::write(training.run, &done, &metrics.all, training.train)?;
    }
    if done.is_empty() {
        return Err(UserError::new("the staging policy gave no stage at all")
            .hint("check the policy's settings")
            .into());
    }
    let Some(lora) = &training.train.lora else {
        save(training, &model, &training.run.join("model"))?;
        checkpoints.clear()?;
        return Ok(done);
    };
    save(training, &model, &training.run.join("adapter"))?;
    if lora.merge {
        model.merge();
        model.save(&training.run.join("model"), training.initial)?;
    }
    checkpoints.clear()?;
    Ok(done)
}

/// The stages whose checkpoints are as they were written; the first that is damaged goes, and those after it, which began from it.
fn whole_stages(training: &Training) -> Result<Vec<TrainedStage>> {
    let mut done = read_trained(training.run)?;
    let damaged = |stage: &TrainedStage| {
        let folder = training.run.join(CHECKPOINTS).join(&stage.checkpoint);
        checksum_of(training, &folder).ok().as_ref() != Some(&stage.checksum)
    };
    if let Some(first) = done.iter().position(damaged) {
        say("train", &format!("the checkpoint {} is damaged; going back to the one before", done[first].checkpoint));
        done.truncate(first);
        jsonl::write_json(&training.run.join(RECORD), &done)?;
    }
    Ok(done)
}

/// CRC-32 of the weights in a checkpoint's folder, as hex.
fn checksum_of(training: &Training, folder: &Path) -> Result<String> {
    let name = if training.train.lora.is_some() { "adapter_model.safetensors" } else { "model.safetensors" };
    Ok(format!("{:08x}", checksum(&folder.join(name))?))
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

fn start(training: &Training, initial: Model, done: &[TrainedStage]) -> Result<Model> {
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

fn save(training: &Training, model: &Model, dir: &Path) -> Result<()> {
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
fn folder_name(stage: &str) -> String {
    stage.chars().take(40).map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len().max(1) as f64;
    values.sum::<f64>() / n
}
