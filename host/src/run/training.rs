//! The `train` room, and what it asks other rooms for between its stages: the next stage, new responses, measures.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

use super::measuring::Measuring;
use super::plugins::{PolicyAccount, SandboxedPolicy, say_log};
use super::resample::resample;
use super::{Context, Room};
use crate::data::jsonl;
use crate::error::UserError;
use crate::model::Model;
use crate::progress::say;
use crate::records::{EvalPoint, Pair, PastStage, Resampled, Stage, StageMember};
use crate::stage::{self, NextStage, Ranked};
use crate::train::{self as train_room, Between, Resampling, TrainedStage};

/// Trains over the stages.
pub fn train(ctx: &mut Context) -> Result<String> {
    let policy = ctx.plugins.policy.as_ref();
    let sandboxed = policy.map(|policy| SandboxedPolicy::new(policy, &ctx.cfg));
    let next: &dyn NextStage = match &sandboxed {
        Some(policy) => policy,
        None if ctx.cfg.pairs.is_some() => &stage::InOrder,
        None => return Err(anyhow!("the config has no [stage]")),
    };
    let pairs: Vec<Pair> = jsonl::read(&ctx.folder.file("pairs.jsonl"))?;
    if pairs.is_empty() {
        return Err(UserError::new("there are no pairs to train on")
            .hint("drops.jsonl gives the reason for every row that was dropped")
            .into());
    }
    let initial = ctx.initial()?;
    // The plan may have been kept from before `train` changed. What it asks of the losses is checked before the first stage, not at the last.
    stage::plan(next, ctx.cfg.seed, &pairs, &ctx.cfg.train)?;
    // Planning was another room's; where both run in one process, its calls are not counted twice.
    if let Some(policy) = policy {
        policy.forget_usage();
    }
    let training = ctx.training(&initial);
    let done = train_room::room(&training, &pairs, &mut Rooms::new(ctx, next, &pairs, &initial));
    if let Some(policy) = policy {
        say_log(Room::Train, policy.name(), policy.log());
    }
    let done = done?;
    jsonl::write(&ctx.folder.file("stages.jsonl"), &as_trained(ctx, &pairs, &done)?)?;
    let steps: u64 = done.iter().map(|stage| stage.steps).sum();
    let last = done.iter().rev().find_map(|stage| stage.outcome.as_ref()).context("no stage was trained")?;
    Ok(format!(
        "{} stages, {steps} steps; last reward accuracy {:.2}, {:+.3} nats a token from the initial model",
        done.len(),
        last.reward_accuracy,
        last.kl_to_initial
    ))
}

/// A policy that heeds outcomes may have given other stages than it planned, and a stage may have been trained on pairs of its own.
fn as_trained(ctx: &Context, pairs: &[Pair], done: &[TrainedStage]) -> Result<Vec<StageMember>> {
    let ranked = Ranked::new(pairs);
    let mut members = Vec::new();
    for (number, trained) in done.iter().enumerate() {
        let mut stage = Stage { resample: false, ..trained.as_given() };
        let Some(from) = &trained.resampled else {
            members.extend(ranked.members(number, &stage));
            continue;
        };
        let own: Vec<Pair> = jsonl::read(&ctx.folder.file(&from.folder).join("pairs.jsonl"))?;
        stage.pairs = (0..own.len() as u32).collect();
        stage.reason.push_str("; of responses that were sampled anew before it");
        members.extend(Ranked::new(&own).members(number, &stage));
    }
    Ok(members)
}

/// The rooms that training asks between its stages.
struct Rooms<'a> {
    ctx: &'a Context,
    next: &'a dyn NextStage,
    pairs: &'a [Pair],
    initial: &'a Path,
    account: PolicyAccount,
    /// Read when the first stage has ended.
    measuring: Option<Measuring>,
}

impl<'a> Rooms<'a> {
    fn new(ctx: &'a Context, next: &'a dyn NextStage, pairs: &'a [Pair], initial: &'a Path) -> Self {
        let account = ctx.plugins.policy_account(ctx, Room::Train);
        Self { ctx, next, pairs, initial, account, measuring: None }
    }
}

impl Between for Rooms<'_> {
    fn next_stage(&mut self, history: &[PastStage]) -> Result<Option<Stage>> {
        let stage = self.next.next_stage(self.ctx.cfg.seed, self.pairs, history);
        self.account.record(&self.ctx.plugins, u64::from(stage.is_err()))?;
        stage
    }

    fn resample(&mut self, wanted: &Resampling) -> Result<(Vec<Pair>, Resampled)> {
        resample(self.ctx, wanted)
    }

    fn measure(&mut self, stage: &str, policy: &Model) -> Result<Option<EvalPoint>> {
        let cfg = &self.ctx.cfg;
        if !cfg.evaluate.as_ref().is_some_and(|section| section.tell_policy) {
            return Ok(None);
        }
        let measuring = match self.measuring.take() {
            Some(measuring) => measuring,
            None => Measuring::new(self.ctx)?,
        };
        let measuring = self.measuring.insert(measuring);
        // With its adapter off the policy is the initial model.
        let point = match cfg.train.lora {
            Some(_) => measuring.after(stage, policy, policy),
            None => measuring.after(stage, policy, &Model::load(self.initial, &cfg.model)?),
        }?;
        // What is not a number is not JSON.
        let measures = point.measures.into_iter().filter(|(_, measure)| measure.value.is_finite());
        let point = EvalPoint { measures: measures.collect(), ..point };
        say(Room::Train.name(), &format!("{}: {}", point.at, headline(&point)));
        Ok(Some(point))
    }
}

/// `harmless 0.85, …`: the headline measures.
fn headline(point: &EvalPoint) -> String {
    let shown = point.measures.iter().filter(|(_, measure)| measure.headline);
    shown.map(|(name, measure)| format!("{name} {:.2}", measure.value)).collect::<Vec<_>>().join(", ")
}
