//! The stages, one after another: asks the staging policy, trains, saves, and tells the policy what came of it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::batches::Mismatch;
use super::events::Events;
use super::stage_training::{
    Logps, ReferenceLogps, StageSettings, log_probabilities, mismatched_logps, mismatches, train,
};
use super::trainer_state;
use crate::config::{ModelSection, Reference, Train};
use crate::data::jsonl;
use crate::error::UserError;
use crate::model::{Model, lora};
use crate::records::{Outcome, Overrides, Pair, PastStage, Stage, StepMetrics};

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
}

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
    let everyone: Vec<&Pair> = pairs.iter().collect();
    let initial_model = Model::load(training.initial, training.section)?;
    for pair in pairs {
        for response in [&pair.chosen_token_ids, &pair.rejected_token_ids] {
            let ids = [&pair.prompt_token_ids[..], response].concat();
            initial_model.check_ids(&ids).with_context(|| format!("pair {}", pair.id))?;
        }
    }
    let initial = log_probabilities(&initial_model, &everyone, false)?;
    let mut done = read_trained(training.run)?;
    let model = start(training, initial_model, &done)?;
    let mut metrics = Metrics::open(training.run, done.iter().map(|s| s.steps).sum())?;
    let mut reference = KnownReference::after(training, &done, &initial);
    loop {
        trainer_state::write(training.run, &done, &metrics.all, training.train)?;
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
        let settings = StageSettings::new(training.train, &stage.overrides)?;
        let first_step = done.iter().map(|s| s.steps).sum();
        let seed = (training.seed, first_step);
        let wanted = mismatches(&model, &chosen, training.train, &settings, seed)?;
        // Also what the outcome is measured from, so it is made for a loss without a reference too.
        let before = log_probabilities(&model, &chosen, true)?;
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
        let last = train(
            &model,
            &stage.name,
            &chosen,
            stage_reference.as_ref(),
            refreshed || done.is_empty(),
            training.train,
            &settings,
            seed,
            |m| metrics.add(m),
        )?;
        metrics.end_stage();
        let after = log_probabilities(&model, &chosen, true)?;
        let outcome =
            Outcome {
                loss: last.loss,
                reward_accuracy: last.accuracy,
                margin: last.margin,
                kl_to_initial: mean(stage.pairs.iter().zip(&after).map(|(&i, now)| {
                    (now[0] - initial[i as usize][0]) / pairs[i as usize].chosen_token_ids.len() as f64
                })),
                chosen_logprob_change: mean(after.iter().zip(&before).map(|(now, then)| now[0] - then[0])),
                evaluation: BTreeMap::new(),
            };
        let checkpoint = format!("{}-{}", done.len(), folder_name(&stage.name));
        save(training, &model, &training.run.join("checkpoints").join(&checkpoint))?;
        done.push(TrainedStage {
            name: stage.name,
            pairs: stage.pairs,
            epochs: settings.epochs,
            steps: metrics.steps - first_step,
            seconds: started.elapsed().as_secs_f64(),
            reason: stage.reason,
            refreshed,
            overrides: stage.overrides,
            outcome,
            checkpoint,
        });
        jsonl::write_json(&training.run.join(RECORD), &done)?;
    }
    if done.is_empty() {
        return Err(UserError::new("the staging policy gave no stage at all")
            .hint("check the policy's settings")
            .into());
    }
    let out = if training.train.lora.is_some() { "adapter" } else { "model" };
    save(training, &model, &training.run.join(out))?;
    Ok(done)
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
        return load_trained(training, &training.run.join("checkpoints").join(&stage.checkpoint));
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
fn checkpoint_before(training: &Training, done: &[TrainedStage]) -> PathBuf {
    done.last().map_or_else(|| training.initial.to_owned(), |s| training.run.join("checkpoints").join(&s.checkpoint))
}

/// The reference's log-probabilities, as far as they are known; the rest is computed from its folder when a stage needs it.
struct KnownReference {
    model: PathBuf,
    logps: Vec<Option<Logps>>,
}

impl KnownReference {
    /// The initial model, or the policy as it was before the last stage that refreshed it.
    fn after(training: &Training, done: &[TrainedStage], initial: &[Logps]) -> Self {
        match done.iter().rposition(|stage| stage.refreshed) {
            Some(last) if last > 0 => {
                Self { model: checkpoint_before(training, &done[..last]), logps: vec![None; initial.len()] }
            }
            _ => Self { model: training.initial.to_owned(), logps: initial.iter().copied().map(Some).collect() },
        }
    }

    fn becomes(&mut self, model: PathBuf, pairs: &[u32], logps: &[Logps], total: usize) {
        self.model = model;
        self.logps = vec![None; total];
        for (&i, &logp) in pairs.iter().zip(logps) {
            self.logps[i as usize] = Some(logp);
        }
    }

    fn load(&self, training: &Training) -> Result<Model> {
        if self.model == training.initial {
            return Model::load(training.initial, training.section);
        }
        load_trained(training, &self.model)
    }

    fn of(&mut self, training: &Training, wanted: &[u32], pairs: &[Pair]) -> Result<Vec<Logps>> {
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

fn by_mismatch(model: &Model, pairs: &[&Pair], wanted: &[Mismatch]) -> Result<HashMap<Mismatch, Logps>> {
    let logps = mismatched_logps(model, pairs, wanted, true)?;
    Ok(wanted.iter().copied().zip(logps).collect())
}

/// `metrics.jsonl` and the event file, cut back to the stages that are done when a run is resumed.
struct Metrics {
    file: jsonl::Appender<StepMetrics>,
    events: Events,
    all: Vec<StepMetrics>,
    steps: u64,
    /// Of the steps so far.
    tokens: u64,
    /// Of the stages so far.
    tokens_before: u64,
}

impl Metrics {
    fn open(run: &Path, steps: u64) -> Result<Self> {
        let path = run.join("metrics.jsonl");
        let (mut kept, _) = jsonl::Appender::<StepMetrics>::open(&path)?;
        kept.truncate(usize::try_from(steps)?);
        jsonl::write(&path, &kept)?;
        let (_, file) = jsonl::Appender::open(&path)?;
        let tokens = kept.last().map_or(0, |last| last.num_tokens);
        let events = Events::create(run, &kept)?;
        Ok(Self { file, events, all: kept, steps, tokens, tokens_before: tokens })
    }

    /// A stage counts its tokens from 0, the file from the first stage on.
    fn add(&mut self, metrics: &StepMetrics) -> Result<()> {
        self.tokens = self.tokens_before + metrics.num_tokens;
        let metrics = StepMetrics { num_tokens: self.tokens, ..metrics.clone() };
        self.file.append([&metrics])?;
        self.events.add(&metrics)?;
        self.steps = metrics.step;
        self.all.push(metrics);
        Ok(())
    }

    fn end_stage(&mut self) {
        self.tokens_before = self.tokens;
    }
}

/// A stage's name comes from a plugin: only what is harmless in a path is kept of it.
fn folder_name(stage: &str) -> String {
    stage.chars().take(40).map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len().max(1) as f64;
    values.sum::<f64>() / n
}
