//! The rooms that load the model: `sft`, `generate`, `train`, `evaluate`, and (its tokenizer alone) pairs made elsewhere.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result, anyhow};

use super::plugins::{SandboxedPolicy, say_log};
use super::prepare::shown;
use super::{Context, Room};
use crate::config::Generate;
use crate::data::{self, jsonl};
use crate::error::UserError;
use crate::evaluate::{self, ClassifierTask, Items, Subject};
use crate::generate as sampling;
use crate::model::tree::Sequence;
use crate::model::{self, Model, Spec};
use crate::pair as pair_room;
use crate::progress::say;
use crate::records::{Answer, EvalPoint, Evaluation, Pair, Prompt, Question, Sample};
use crate::score::{Answerer, AskModel};
use crate::sft as sft_room;
use crate::stage::{self, NextStage};
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

    fn training<'a>(&'a self, initial: &'a Path) -> Training<'a> {
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
    let path = ctx.folder.file("responses.jsonl");
    let (mut samples, _) = jsonl::Appender::<Sample>::open(&path)?;
    let whole = sampling::whole_units(samples.len(), cfg.unit);
    if whole < samples.len() && samples.len() < prompts.len() {
        samples.truncate(whole);
        jsonl::write(&path, &samples)?;
    }
    let done = samples.len();
    if done < prompts.len() {
        let model = Model::load(&ctx.initial()?, &ctx.cfg.model)?;
        let (_, mut file) = jsonl::Appender::<Sample>::open(&path)?;
        sampling::room(&model, &prompts[done..], cfg, ctx.cfg.seed, |unit| file.append(unit))?;
    }
    let kept = if done > 0 { format!(", {done} kept from before") } else { String::new() };
    Ok(format!("{} responses to each of {} prompts{kept}", cfg.responses, prompts.len()))
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

/// Trains over the stages.
pub fn train(ctx: &mut Context) -> Result<String> {
    let policy = ctx.plugins.policy.as_ref();
    let sandboxed = policy.map(SandboxedPolicy);
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
    let seed = ctx.cfg.seed;
    // The plan may have been kept from before `train` changed. What it asks of the losses is checked before the first stage, not at the last.
    stage::plan(next, seed, &pairs, &ctx.cfg.train)?;
    let mut account = ctx.plugins.policy_account(ctx, Room::Train);
    // Planning was another room's; where both run in one process, its calls are not counted twice.
    if let Some(policy) = policy {
        policy.forget_usage();
    }
    let done = train_room::room(&ctx.training(&initial), &pairs, |history| {
        let stage = next.next_stage(seed, &pairs, history);
        account.record(&ctx.plugins, u64::from(stage.is_err()))?;
        stage
    });
    if let Some(policy) = policy {
        say_log(Room::Train, policy.name(), policy.log());
    }
    let done = done?;
    // A policy that heeds outcomes may have given other stages than it planned.
    let trained: Vec<_> = done.iter().map(|stage| stage.as_given()).collect();
    jsonl::write(&ctx.folder.file("stages.jsonl"), &stage::members(&pairs, &trained))?;
    let steps: u64 = done.iter().map(|stage| stage.steps).sum();
    let last = done.last().context("no stage was trained")?;
    Ok(format!(
        "{} stages, {steps} steps; last reward accuracy {:.2}, {:+.3} nats a token from the initial model",
        done.len(),
        last.outcome.reward_accuracy,
        last.outcome.kl_to_initial
    ))
}

/// Measures before and after.
pub fn evaluate(ctx: &mut Context) -> Result<String> {
    let section = ctx.cfg.evaluate.as_ref().context("the config has no [evaluate]")?;
    let items = items(ctx)?;
    let initial = ctx.initial()?;
    let training = ctx.training(&initial);
    let generate = Generate {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repetition_penalty: 1.0,
        ..ctx.cfg.generate.clone()
    };
    let reference = Model::load(&initial, &ctx.cfg.model)?;
    let measure = |at: &str, model: Model| -> Result<EvalPoint> {
        let asker = AskModel::new(Rc::new(model), String::new(), ctx.cfg.seed);
        let mut subject = Measured { asker, reference: &reference, generate: &generate, seed: ctx.cfg.seed };
        evaluate::measure(at, &items, &mut subject, section.responses)
    };
    let before = measure("before", Model::load(&initial, &ctx.cfg.model)?)?;
    let gates = evaluate::gates(&before, &section.gates)?;
    let mut points = vec![before];
    let stages = train_room::read_trained(ctx.folder.path())?;
    let from = if section.every_stage { 0 } else { stages.len().saturating_sub(1) };
    for stage in &stages[from..] {
        let model = train_room::load_trained(&training, &ctx.folder.file("checkpoints").join(&stage.checkpoint))?;
        points.push(measure(&format!("after {}", stage.name), model)?);
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

fn items(ctx: &Context) -> Result<Items> {
    let section = ctx.cfg.evaluate.as_ref().context("the config has no [evaluate]")?;
    let world = ctx.cfg.world.as_ref().map(|_| ctx.folder.file("world/evaluation.jsonl"));
    let mut items = match section.patterns.clone().or(world) {
        Some(path) => Items::load(&path)?,
        None => Items::default(),
    };
    if let Some(classifier) = &section.classifier {
        let prompts = data::read(&classifier.prompts, ctx.cfg.seed)?.prompts;
        items = items.with_classifier(ClassifierTask::train(classifier, prompts)?);
    }
    Ok(items)
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

/// A model under evaluation.
struct Measured<'a> {
    asker: AskModel,
    reference: &'a Model,
    generate: &'a Generate,
    seed: u64,
}

/// Evaluation draws from another stream than generation does, so that a prompt in both gets different responses.
const EVALUATION_STREAM: u64 = 0x6576_616c;

impl Subject for Measured<'_> {
    fn sample(&mut self, prompts: &[Prompt], responses: usize) -> Result<Vec<Sample>> {
        let mut samples = Vec::with_capacity(prompts.len());
        for unit in prompts.chunks(self.generate.unit) {
            let seed = self.seed ^ EVALUATION_STREAM;
            samples.extend(sampling::sample(self.asker.model(), unit, self.generate, responses, seed)?);
        }
        Ok(samples)
    }

    fn answer(&mut self, questions: &[Question]) -> Result<Vec<Answer>> {
        self.asker.answer(questions)
    }

    fn kl(&mut self, samples: &[Sample]) -> Result<f64> {
        let sequences: Vec<Sequence> = samples
            .iter()
            .flat_map(|sample| {
                sample.responses.iter().map(|response| Sequence {
                    ids: [&sample.prompt_token_ids[..], &response.token_ids].concat(),
                    from: sample.prompt_token_ids.len(),
                })
            })
            .collect();
        let initial = self.reference.log_probabilities(&sequences, false, |_| {})?;
        let policy =
            samples.iter().flat_map(|s| &s.responses).map(|r| r.logprobs.iter().map(|&p| f64::from(p)).sum::<f64>());
        let total: f64 = policy.zip(&initial).map(|(policy, initial)| policy - initial).sum();
        Ok(total / initial.len().max(1) as f64)
    }
}
