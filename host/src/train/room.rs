//! The stages, one after another: asks the staging policy, trains, saves, and tells the policy what came of it.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Context, Result};

use super::between::{Between, Resampling};
use super::known::{self, KnownReference, by_mismatch};
use super::limits::Limits;
use super::logps::{Logps, ReferenceLogps, log_probabilities, mismatches};
use super::metrics::Metrics;
use super::stage_training::{Position, StageEnd, StageRun, StageSettings, train};
use super::trained::{
    CHECKPOINTS, RESAMPLED, TrainedStage, Training, checksum_of, folder_name, identity, save, start, whole_stages,
    write_trained,
};
use super::trainer_state;
use crate::config::Reference;
use crate::error::UserError;
use crate::model::{Checkpoints, Model, Saved};
use crate::progress::say;
use crate::records::{EvalPoint, Outcome, Pair, PastStage, Resampled, Stage};

/// Trains every stage that is given out, until there is none. Stages that `training.json` lists are kept.
pub fn room(training: &Training, pairs: &[Pair], between: &mut dyn Between) -> Result<Vec<TrainedStage>> {
    if let Some(bare) = pairs
        .iter()
        .find(|p| p.chosen_token_ids.is_empty() || p.rejected_token_ids.is_empty() || p.prompt_token_ids.is_empty())
    {
        return Err(UserError::new(format!("the pair {} has no token ids to train on", bare.id))
            .hint("responses made elsewhere need `token_ids` and `prompt_token_ids` to be trained on")
            .into());
    }
    let mut stages = Stages::open(training, pairs)?;
    while stages.done.last().is_none_or(|stage| stage.stopped.is_none()) {
        let history: Vec<PastStage> = stages.done.iter().map(TrainedStage::as_past).collect();
        let Some(stage) = between.next_stage(&history)? else { break };
        stages.next(stage, between)?;
    }
    stages.finish()
}

/// The room at work.
struct Stages<'a> {
    training: &'a Training<'a>,
    pairs: &'a [Pair],
    /// log p of the pairs under the initial model.
    initial: Vec<Logps>,
    model: Model,
    reference: KnownReference,
    metrics: Metrics,
    checkpoints: Checkpoints,
    /// Within the stage that was broken off.
    saved: Option<Saved<Position>>,
    done: Vec<TrainedStage>,
}

/// What a stage is trained on.
struct Material<'a> {
    pairs: Vec<&'a Pair>,
    /// log p of them under the initial model.
    initial: Vec<Logps>,
    /// Whether they are pairs of the run's own.
    own: bool,
}

impl<'a> Stages<'a> {
    /// As far as the run folder has them.
    fn open(training: &'a Training<'a>, pairs: &'a [Pair]) -> Result<Self> {
        let initial_model = Model::load(training.initial, training.section)?;
        for pair in pairs {
            for response in [&pair.chosen_token_ids, &pair.rejected_token_ids] {
                let ids = [&pair.prompt_token_ids[..], response].concat();
                initial_model.check_ids(&ids).with_context(|| format!("pair {}", pair.id))?;
            }
        }
        let initial =
            known::initial(training, training.run, pairs, |pairs| log_probabilities(&initial_model, pairs, false))?;
        let checkpoints = Checkpoints::new(training.run.join(CHECKPOINTS), training.train.save_total_limit);
        let done = whole_stages(training)?;
        let model = start(training, initial_model, &done)?;
        let mut metrics = Metrics::open(training.run)?;
        let before = done.iter().map(|stage| stage.steps).sum();
        let saved = checkpoints
            .latest(|at: &Position| at.stage == done.len() && before + at.step as u64 <= metrics.all.len() as u64)?;
        metrics.resume(before, saved.as_ref().map_or(0, |saved| saved.position.step as u64))?;
        let reference = KnownReference::after(training, &done, pairs, &initial)?;
        trainer_state::write(training.run, &done, &metrics.all, training.train)?;
        Ok(Self { training, pairs, initial, model, reference, metrics, checkpoints, saved, done })
    }

    /// Trains one stage, saves the policy, and records what came of it.
    fn next(&mut self, stage: Stage, between: &mut dyn Between) -> Result<()> {
        let started = Instant::now();
        let training = self.training;
        let checkpoint = format!("{}-{}", self.done.len(), folder_name(&stage.name));
        let resampled = if stage.resample { Some(self.resample(&stage, &checkpoint, between)?) } else { None };
        let material = match &resampled {
            Some((pairs, from)) => self.others(pairs, &from.folder)?,
            None => self.own(&stage.pairs),
        };
        let settings = StageSettings::new(training.train, &stage.overrides)?;
        let trained = if material.pairs.is_empty() {
            say("train", &format!("{}: no pair came of the new responses; the stage is left out", stage.name));
            None
        } else {
            Some(self.train(&stage, &settings, &material)?)
        };
        let folder = training.run.join(CHECKPOINTS).join(&checkpoint);
        save(training, &self.model, &folder)?;
        let evaluated = match &trained {
            Some(_) => between.measure(&stage.name, &self.model)?,
            None => None,
        };
        let (end, outcome, refreshed) = match trained {
            Some((end, outcome, refreshed)) => (end, Some(outcome), refreshed),
            None => (StageEnd::default(), None, false),
        };
        self.done.push(TrainedStage {
            name: stage.name,
            pairs: stage.pairs,
            epochs: if outcome.is_some() { settings.epochs } else { 0 },
            steps: end.steps as u64,
            seconds: started.elapsed().as_secs_f64(),
            reason: stage.reason,
            refreshed,
            overrides: stage.overrides,
            outcome: outcome.map(|outcome| with_evaluation(outcome, evaluated.as_ref())),
            checkpoint,
            checksum: checksum_of(training, &folder)?,
            stopped: end.stopped,
            resampled: resampled.map(|(_, from)| from),
            evaluated,
        });
        write_trained(training.run, &self.done)?;
        trainer_state::write(training.run, &self.done, &self.metrics.all, training.train)
    }

    /// Pairs of new responses to a stage's prompts.
    fn resample(&self, stage: &Stage, checkpoint: &str, between: &mut dyn Between) -> Result<(Vec<Pair>, Resampled)> {
        between.resample(&Resampling {
            policy: &self.model,
            identity: identity(self.training, &self.done)?,
            stage: self.done.len(),
            name: &stage.name,
            pairs: stage.pairs.iter().map(|&i| &self.pairs[i as usize]).collect(),
            folder: format!("{RESAMPLED}/{checkpoint}"),
        })
    }

    fn own(&self, indices: &[u32]) -> Material<'a> {
        Material {
            pairs: indices.iter().map(|&i| &self.pairs[i as usize]).collect(),
            initial: indices.iter().map(|&i| self.initial[i as usize]).collect(),
            own: true,
        }
    }

    /// Pairs made between the stages, which lie in `folder`.
    fn others<'p>(&self, pairs: &'p [Pair], folder: &str) -> Result<Material<'p>> {
        let training = self.training;
        let initial = known::initial(training, &training.run.join(folder), pairs, |pairs| {
            // Before the first stage, and with the adapter off, the policy is the initial model.
            if self.done.is_empty() || training.train.lora.is_some() {
                return log_probabilities(&self.model, pairs, false);
            }
            log_probabilities(&Model::load(training.initial, training.section)?, pairs, false)
        })?;
        Ok(Material { pairs: pairs.iter().collect(), initial, own: false })
    }

    /// How it ended, what came of it, and whether the reference was refreshed before it.
    fn train(
        &mut self,
        stage: &Stage,
        settings: &StageSettings,
        material: &Material,
    ) -> Result<(StageEnd, Outcome, bool)> {
        let Material { pairs: chosen, initial, own } = material;
        let training = self.training;
        let first = self.done.is_empty();
        let first_step = self.done.iter().map(|s| s.steps).sum();
        let seed = (training.seed, first_step);
        let wanted = mismatches(&self.model, chosen, training.train, settings, seed)?;
        // Also what the outcome is measured from, so it is made for a loss without a reference too. A new adapter changes nothing yet.
        let before = if first { initial.clone() } else { log_probabilities(&self.model, chosen, true)? };
        let refreshed = stage.refresh_reference && training.train.reference == Reference::Previous;
        if refreshed && !first {
            let known = stage.pairs.iter().copied().zip(before.iter().copied()).filter(|_| *own);
            self.reference.becomes(training, &self.done, self.pairs, known)?;
        }
        let reference = match (settings.loss.needs_reference(), refreshed) {
            (false, _) => None,
            (true, true) => {
                Some(ReferenceLogps { pairs: before.clone(), mismatched: by_mismatch(&self.model, chosen, &wanted)? })
            }
            (true, false) => Some(ReferenceLogps {
                pairs: if *own {
                    self.reference.of(training, &stage.pairs, self.pairs)?
                } else {
                    self.reference.of_others(training, chosen, initial)?
                },
                mismatched: if wanted.is_empty() {
                    HashMap::new()
                } else {
                    by_mismatch(&self.reference.load(training)?, chosen, &wanted)?
                },
            }),
        };
        let run = StageRun {
            name: &stage.name,
            pairs: chosen,
            reference: reference.as_ref(),
            at_reference: refreshed || first,
            config: training.train,
            settings,
            seed,
            limits: Some(Limits::new(training.train, initial, &before)),
            checkpoints: Some((&self.checkpoints, self.done.len())),
        };
        let end = train(&self.model, &run, self.saved.take().as_ref(), |m| self.metrics.add(m))?;
        if let Some(why) = &end.stopped {
            say("train", &format!("{}: stopped at {why}", stage.name));
            if end.steps == 0 {
                self.model = start(training, Model::load(training.initial, training.section)?, &self.done)?;
            }
        }
        self.metrics.end_stage(first_step, end.steps as u64)?;
        let after = log_probabilities(&self.model, chosen, true)?;
        let outcome = Outcome {
            loss: end.last.loss,
            reward_accuracy: end.last.accuracy,
            margin: end.last.margin,
            kl_to_initial: mean(
                after
                    .iter()
                    .zip(initial)
                    .zip(chosen)
                    .map(|((now, then), pair)| (now[0] - then[0]) / pair.chosen_token_ids.len() as f64),
            ),
            chosen_logprob_change: mean(after.iter().zip(&before).map(|(now, then)| now[0] - then[0])),
            evaluation: [].into(),
        };
        Ok((end, outcome, refreshed))
    }

    /// Writes the aligned model.
    fn finish(mut self) -> Result<Vec<TrainedStage>> {
        let training = self.training;
        if self.done.is_empty() {
            return Err(UserError::new("the staging policy gave no stage at all")
                .hint("check the policy's settings")
                .into());
        }
        if self.done.iter().all(|stage| stage.outcome.is_none()) {
            return Err(UserError::new("nothing was trained: in no stage did a pair come of the new responses")
                .hint("drops.jsonl in the folders under resampled/ gives the reasons; or turn resampling off in the policy's settings")
                .into());
        }
        let Some(lora) = &training.train.lora else {
            save(training, &self.model, &training.run.join("model"))?;
            self.checkpoints.clear()?;
            return Ok(self.done);
        };
        save(training, &self.model, &training.run.join("adapter"))?;
        if lora.merge {
            self.model.merge();
            self.model.save(&training.run.join("model"), training.initial)?;
        }
        self.checkpoints.clear()?;
        Ok(self.done)
    }
}

/// The headline measures, which the staging policy is told.
fn with_evaluation(outcome: Outcome, evaluated: Option<&EvalPoint>) -> Outcome {
    let measures = evaluated.into_iter().flat_map(|point| &point.measures);
    let headline = measures.filter(|(_, measure)| measure.headline);
    Outcome { evaluation: headline.map(|(name, measure)| (name.clone(), measure.value)).collect(), ..outcome }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len().max(1) as f64;
    values.sum::<f64>() / n
}
