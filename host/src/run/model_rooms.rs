//! The rooms that load the model, but for `train`: `sft`, `generate`, `evaluate`, and (its tokenizer alone) pairs made elsewhere.

use std::borrow::Borrow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::measuring::Measuring;
use super::prepare::shown;
use super::{Context, Room};
use crate::config::Generate;
use crate::data::{self, jsonl};
use crate::error::UserError;
use crate::evaluate;
use crate::generate as sampling;
use crate::model::{self, Model, Spec};
use crate::pair as pair_room;
use crate::progress::say;
use crate::records::{Evaluation, Prompt, Sample};
use crate::sft as sft_room;
use crate::train::{self as train_room, Training};

/// Where a model that the run trained first lies.
const INITIAL: &str = "initial";

impl Context {
    /// The folder of the model before alignment.
    pub(super) fn initial(&self) -> Result<PathBuf> {
        if self.cfg.sft.is_some() {
            return Ok(self.folder.file(INITIAL));
        }
        self.cfg.model.path.clone().ok_or_else(|| {
            UserError::new("there is no model").hint("set model.path, or describe a new one in [sft.model]").into()
        })
    }

    pub(super) fn training<'a>(&'a self, initial: &'a Path) -> Training<'a> {
        Training {
            run: self.folder.path(),
            initial,
            section: &self.cfg.model,
            train: &self.cfg.train,
            seed: self.cfg.seed,
            model_key: &self.keys.answerers.policy,
        }
    }
}

/// Trains a small model on text.
pub fn sft(ctx: &mut Context) -> Result<String> {
    let sft = ctx.cfg.sft.as_ref().context("the config has no [sft]")?;
    let out = ctx.folder.file(INITIAL);
    let world = ctx.folder.file("world");
    let paths = if sft.paths.is_empty() { vec![world.join("corpus.jsonl")] } else { sft.paths.clone() };
    let texts = data::read_texts(&paths, sft.encoding, sft.part.as_ref())?;
    let base = match (&sft.model, &sft.tokenizer) {
        (None, _) => ctx.cfg.model.path.clone().context("[sft] has neither a new model nor model.path")?,
        (Some(_), Some(tokenizer)) => {
            sft_room::make_tokenizer(tokenizer, &texts, &out)?;
            out.clone()
        }
        (Some(_), None) if ctx.cfg.world.is_some() => world,
        (Some(_), None) => ctx.cfg.model.path.clone().context("[sft.model] has neither a tokenizer nor model.path")?,
    };
    let done = sft_room::room(sft, &ctx.cfg.model, &texts, &base, &out, ctx.cfg.seed)?;
    Ok(format!(
        "{:.2} M parameters, {:.1} M tokens at {:.0} tokens/s, loss {:.3}",
        done.parameters as f64 / 1e6,
        done.tokens as f64 / 1e6,
        done.rate,
        done.loss
    ))
}

/// Samples responses to every prompt.
pub fn generate(ctx: &mut Context) -> Result<String> {
    let prompts: Vec<Prompt> = jsonl::read(&ctx.prompts())?;
    let cfg = &ctx.cfg.generate;
    let model = || -> Result<Model> { Model::load(&ctx.initial()?, &ctx.cfg.model) };
    let done = sample(&prompts, cfg, ctx.cfg.seed, &ctx.folder.file("responses.jsonl"), model)?;
    let kept = if done > 0 { format!(", {done} kept from before") } else { String::new() };
    Ok(format!("{} responses to each of {} prompts{kept}", cfg.responses, prompts.len()))
}

/// Samples responses to the prompts that a file does not have yet; gives how many it has. The model is loaded only if one is missing.
pub(super) fn sample<M: Borrow<Model>>(
    prompts: &[Prompt],
    cfg: &Generate,
    seed: u64,
    path: &Path,
    model: impl FnOnce() -> Result<M>,
) -> Result<usize> {
    let (mut samples, _) = jsonl::Appender::<Sample>::open(path)?;
    let whole = sampling::whole_units(samples.len(), cfg.unit);
    if whole < samples.len() && samples.len() < prompts.len() {
        samples.truncate(whole);
        jsonl::write(path, &samples)?;
    }
    let done = samples.len();
    if done < prompts.len() {
        let model = model()?;
        let (_, mut file) = jsonl::Appender::<Sample>::open(path)?;
        sampling::room(model.borrow(), &prompts[done..], cfg, seed, |unit| file.append(unit))?;
    }
    Ok(done)
}

/// Reads preference rows made elsewhere. Loads the tokenizer, and no weights.
pub fn pairs(ctx: &mut Context) -> Result<String> {
    let section = ctx.cfg.pairs.as_ref().context("the config has no [pairs]")?;
    let rows = data::read_preferences(section)?;
    let read = rows.len();
    let initial = ctx.initial()?;
    let text = model::read_text(&initial, &ctx.cfg.model)?;
    let longest = usize::try_from(Spec::read(&initial)?.positions)?;
    let made = pair_room::from_rows(rows, &text, section, longest)?;
    if ctx.cfg.stage.is_some() && made.unrated > 0 {
        return Err(UserError::new(format!(
            "{} of {read} rows of {} have no ratings, so that there is no gap to stage them by",
            made.unrated,
            shown(&section.from)
        ))
        .hint("give every row `chosen_rating` and `rejected_rating`, or remove [stage]: the rows are then one stage, in their order")
        .into());
    }
    for (count, what) in [
        (made.truncated, "pairs lost the end of a response, which was too long"),
        (made.left_out, "prompts end otherwise before a response than alone; those tokens are left out, as in TRL"),
    ] {
        if count > 0 {
            say(Room::Pair.name(), &format!("{count} {what}"));
        }
    }
    jsonl::write(&ctx.folder.file("pairs.jsonl"), &made.pairs)?;
    jsonl::write(&ctx.folder.file("drops.jsonl"), &made.drops)?;
    Ok(format!(
        "{} pairs of {read} rows read from {}, {} dropped",
        made.pairs.len(),
        shown(&section.from),
        made.drops.len()
    ))
}

/// Measures before and after. What training measured to tell the staging policy is not measured again.
pub fn evaluate(ctx: &mut Context) -> Result<String> {
    let section = ctx.cfg.evaluate.as_ref().context("the config has no [evaluate]")?;
    let measuring = Measuring::new(ctx)?;
    let initial = ctx.initial()?;
    let training = ctx.training(&initial);
    let reference = Model::load(&initial, &ctx.cfg.model)?;
    let before = measuring.measure("before", &reference, &reference)?;
    let gates = evaluate::gates(&before, &section.gates)?;
    let mut points = vec![before];
    let stages = train_room::read_trained(ctx.folder.path())?;
    let every_stage = section.every_stage || section.tell_policy;
    let from = if every_stage { 0 } else { stages.len().saturating_sub(1) };
    for stage in &stages[from..] {
        points.push(match &stage.evaluated {
            Some(point) => point.clone(),
            None => {
                let folder = ctx.folder.file("checkpoints").join(&stage.checkpoint);
                let model = train_room::load_trained(&training, &folder)?;
                measuring.after(&stage.name, model, &reference)?
            }
        });
    }
    let failed = gates.iter().filter(|gate| !gate.passed).count();
    let evaluation = Evaluation { points, gates };
    jsonl::write_json(&ctx.folder.file("eval.json"), &evaluation)?;
    let gates = match (evaluation.gates.len(), failed) {
        (0, _) => String::new(),
        (n, 0) => format!(", all {n} gates passed"),
        (n, failed) => format!(", {failed} of {n} gates FAILED"),
    };
    Ok(format!("{}{gates}", changes(&evaluation)))
}

/// `harmless 0.49 → 0.85, …` of the headline measures.
fn changes(evaluation: &Evaluation) -> String {
    let (Some(first), Some(last)) = (evaluation.points.first(), evaluation.points.last()) else { return String::new() };
    let headline = first.measures.iter().filter(|(_, measure)| measure.headline);
    let lines: Vec<String> = headline
        .filter_map(|(name, before)| {
            let after = last.measures.get(name)?;
            Some(format!("{name} {:.2} → {:.2}", before.value, after.value))
        })
        .collect();
    lines.join(", ")
}
