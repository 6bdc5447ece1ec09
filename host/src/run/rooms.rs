//! The rooms that need no model, one function each: reads the earlier rooms' records, calls the room, says in a few words what
//! it did.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context as _, Result};

use super::plugins::{Plugins, SandboxedPolicy, say_log};
use super::prepare::shown;
use super::{Context, Room, answerers, model_rooms};
use crate::config;
use crate::data::{self, jsonl};
use crate::model::Model;
use crate::progress::say;
use crate::records::{Drop, Pair, Sample};
use crate::score::{self, Answerers};
use crate::{mini_world, pair as pair_room, report as report_room, stage as stage_room};

impl Context {
    /// Where the prompts to align on are.
    pub fn prompts(&self) -> PathBuf {
        match self.cfg.world {
            Some(_) => self.folder.file("world/prompts.jsonl"),
            None => self.folder.file("prompts.jsonl"),
        }
    }
}

/// Writes an invented world.
pub fn world(ctx: &mut Context) -> Result<String> {
    let world = ctx.cfg.world.as_ref().context("the config has no [world]")?;
    let folder = ctx.folder.file("world");
    let written = mini_world::write(&folder, ctx.cfg.world_seed(), world.documents, world.prompts)?;
    Ok(format!("{} documents of {} words, {} prompts", written.documents, written.words, written.prompts))
}

/// Reads the prompts.
pub fn data(ctx: &mut Context) -> Result<String> {
    let section = ctx.cfg.data.as_ref().context("the config has no [data]")?;
    let read = data::room(section, ctx.cfg.seed, &ctx.prompts())?;
    for note in read.notes() {
        say(Room::Data.name(), &note);
    }
    Ok(format!("{} prompts", read.prompts.len()))
}

/// Samples responses, or reads responses made elsewhere.
pub fn generate(ctx: &mut Context) -> Result<String> {
    let Some(from) = &ctx.cfg.generate.from else {
        return model_rooms::generate(ctx);
    };
    let samples = data::read_responses(from, &ctx.cfg.generate)?;
    jsonl::write(&ctx.folder.file("responses.jsonl"), &samples)?;
    let responses: usize = samples.iter().map(|sample| sample.responses.len()).sum();
    Ok(format!("{responses} responses to {} prompts read from {}", samples.len(), shown(from)))
}

/// Gives every response its uncertainties. A model is loaded only when a scorer asks something that nobody has answered.
pub fn score(ctx: &mut Context) -> Result<String> {
    let samples: Vec<Sample> = jsonl::read(&ctx.folder.file("responses.jsonl"))?;
    let policy = OnceCell::new();
    let load = || -> Result<Rc<Model>> {
        if policy.get().is_none() {
            _ = policy.set(Rc::new(Model::load(&ctx.initial()?, &ctx.cfg.model)?));
        }
        policy.get().cloned().context("the policy model was not kept")
    };
    let answerers = &ctx.keys.answerers;
    let summary = score_samples(
        ctx,
        &samples,
        &ctx.keys.scorers,
        &ctx.cfg.score,
        answerers,
        &|kind| answerers::load(&ctx.cfg, answerers, kind, ctx.cfg.seed, &load),
        &score::Files::in_run(ctx.folder.path()),
    )?;
    for scorer in &ctx.plugins.scorers {
        say_log(Room::Score, scorer.name(), scorer.log());
    }
    let faults: usize = summary.scorers.iter().map(|scorer| scorer.faults).sum();
    let faults = match faults {
        0 => String::new(),
        n => format!(", {n} faults skipped"),
    };
    Ok(format!("{} samples by {} scorers{faults}", summary.scored, summary.scorers.len()))
}

/// The config's scorers over any samples. `keys` are the scorers', in their order.
pub(super) fn score_samples<'a>(
    ctx: &Context,
    samples: &[Sample],
    keys: &[String],
    config: &config::Score,
    answerers: &Answerers,
    make: score::Make<'_, 'a>,
    files: &score::Files,
) -> Result<score::Summary> {
    let sandboxed = ctx.plugins.sandboxed();
    let uses = Plugins::uses(&sandboxed, &ctx.cfg, keys);
    score::room(samples, &uses, config, answerers, make, files)
}

/// Builds preference pairs, or reads those made elsewhere.
pub fn pair(ctx: &mut Context) -> Result<String> {
    if ctx.cfg.pairs.is_some() {
        return model_rooms::pairs(ctx);
    }
    let samples: Vec<Sample> = jsonl::read(&ctx.folder.file("responses.jsonl"))?;
    let uncertainties = jsonl::read(&ctx.folder.file("uncertainty.jsonl"))?;
    let (_, summary) = pair_room::room(
        &samples,
        &uncertainties,
        &ctx.cfg.pair,
        ctx.cfg.seed,
        "",
        &ctx.folder.file("pairs.jsonl"),
        &ctx.folder.file("drops.jsonl"),
    )?;
    let drops: usize = summary.drops.values().sum();
    Ok(format!("{} pairs of {} prompts, {drops} dropped", summary.pairs, summary.prompts))
}

/// Divides the pairs into stages.
pub fn stage(ctx: &mut Context) -> Result<String> {
    let policy = ctx.plugins.policy.as_ref().context("the config has no [stage]")?;
    let pairs: Vec<Pair> = jsonl::read(&ctx.folder.file("pairs.jsonl"))?;
    let mut drops = BTreeMap::<String, usize>::new();
    for drop in jsonl::read::<Drop>(&ctx.folder.file("drops.jsonl"))? {
        *drops.entry(drop.reason).or_default() += 1;
    }
    let planned = stage_room::room(
        &SandboxedPolicy::new(policy, &ctx.cfg),
        ctx.cfg.seed,
        &pairs,
        &drops,
        &ctx.cfg.train,
        &ctx.folder.file("stages.jsonl"),
    );
    say_log(Room::Stage, policy.name(), policy.log());
    ctx.plugins.policy_account(ctx, Room::Stage).record(&ctx.plugins, u64::from(planned.is_err()))?;
    let (_, summary) = planned?;
    let stages: Vec<String> = summary.stages.iter().map(|stage| format!("{} {}", stage.name, stage.pairs)).collect();
    Ok(stages.join(", "))
}

/// Writes the report.
pub fn report(ctx: &mut Context) -> Result<String> {
    report_room::write(ctx.folder.path())?;
    Ok(shown(&ctx.folder.file("report.html")))
}
