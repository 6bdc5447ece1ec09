//! A scorer, ready to be called: a pure function from a sample and the answers so far to questions or scores.

use wasmtime::component::{ComponentExportIndex, InstancePre};
use wasmtime::{Engine, Store};

use crate::config;
use crate::error::UserError;
use crate::records::{Answer, Dimension, Question, QuestionKind, Sample, Score};

use super::bindings::scorer as bindings;
use super::bindings::scorer::exports::udasa::plugin::scorer_api as api;
use super::bindings::scorer::udasa::plugin::types as wit;
use super::block::{self, ScoreBlock};
use super::directory::{Description, PluginFile, Problem};
use super::fault::{Cause, Identity, PluginFault};
use super::log::LogLine;
use super::native_code::NativeCode;
use super::pool::{Pool, Usage, World};
use super::store::State;
use super::{check, convert};

/// An instance of a scorer; `block` where it takes a call in one.
struct Instance {
    world: bindings::Scorer,
    block: Option<ScoreBlock>,
}

impl World for Instance {
    type Pre = (InstancePre<State>, bindings::ScorerIndices, Option<ComponentExportIndex>);

    fn prepare(pre: InstancePre<State>) -> wasmtime::Result<Self::Pre> {
        let (contract, block) = (bindings::ScorerIndices::new(&pre)?, block::export(&pre)?);
        Ok((pre, contract, block))
    }

    fn instantiate((pre, contract, block): &Self::Pre, store: &mut Store<State>) -> wasmtime::Result<Self> {
        let instance = pre.instantiate(&mut *store)?;
        let block = block.as_ref().map(|block| instance.get_typed_func(&mut *store, block)).transpose()?;
        Ok(Self { world: contract.load(store, &instance)?, block })
    }
}

type Returned = wasmtime::Result<Result<api::Step, wit::Fault>>;

impl Instance {
    /// In one block where it takes that.
    fn score(&self, store: &mut Store<State>, settings: &str, sample: &Sample, rounds: &[Vec<Answer>]) -> Returned {
        match &self.block {
            Some(score) => Ok(score.call(store, (block::of(settings, sample, rounds),))?.0),
            None => self.score_by_contract(store, settings, sample, rounds),
        }
    }

    fn score_by_contract(
        &self,
        store: &mut Store<State>,
        settings: &str,
        sample: &Sample,
        rounds: &[Vec<Answer>],
    ) -> Returned {
        convert::sample(sample, |sample| {
            convert::rounds(rounds, |rounds| {
                self.world.udasa_plugin_scorer_api().call_score(store, settings, sample, rounds)
            })
        })
    }
}

/// What a scorer wants next.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Answers to these; then call again, with them as one more round.
    Ask(Vec<Question>),
    /// Nothing more: one score per response.
    Done(Vec<Score>),
}

/// A plugin with its settings, grants and limits. Calls from several threads run side by side; what one returns depends on
/// its arguments alone.
pub struct Scorer {
    name: String,
    dimension: Dimension,
    asks: Vec<QuestionKind>,
    grant: Vec<QuestionKind>,
    settings: String,
    code: Code,
}

/// Where it runs.
enum Code {
    Sandboxed(Pool<Instance>),
    Native(NativeCode),
}

impl Scorer {
    /// The plugin as `config` wants it. The settings have not been checked yet.
    pub(super) fn new(
        file: &PluginFile,
        config: &config::Scorer,
        settings: String,
        limits: &config::Limits,
    ) -> anyhow::Result<Self> {
        let (engine, component) = file.code(limits.stack_kib)?;
        let pool = Pool::new(&engine, &component, file.identity(), limits).map_err(|e| file.does_not_link(&e))?;
        let again = describe_with(&pool).map_err(UserError::from)?;
        file.must_still_be(&again)?;
        let scorer = Self {
            name: config.name.clone().unwrap_or_else(|| config.plugin.clone()),
            dimension: file.description.dimension.unwrap_or(Dimension::Semantic),
            asks: file.description.asks.clone(),
            grant: config.grant.clone(),
            settings,
            code: Code::Sandboxed(pool),
        };
        Ok(scorer)
    }

    /// A native plugin as `config` wants it. The settings have not been checked yet.
    pub(super) fn native(code: NativeCode, config: &config::Scorer, settings: String) -> Self {
        Self {
            name: config.name.clone().unwrap_or_else(|| config.plugin.clone()),
            dimension: code.description.dimension.unwrap_or(Dimension::Semantic),
            asks: code.description.asks.clone(),
            grant: config.grant.clone(),
            settings,
            code: Code::Native(code),
        }
    }

    /// Its name in the config, the records and the report.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it measures.
    pub fn dimension(&self) -> Dimension {
        self.dimension
    }

    /// Its settings, as the canonical JSON that the plugin gets: a key for what depends on them.
    pub fn settings(&self) -> &str {
        &self.settings
    }

    /// Hex SHA-256 of the plugin's file.
    pub fn sha256(&self) -> &str {
        &self.identity().sha256
    }

    /// Which plugin it is.
    pub fn identity(&self) -> &Identity {
        match &self.code {
            Code::Sandboxed(pool) => &pool.identity,
            Code::Native(code) => &code.identity,
        }
    }

    /// Whether it runs outside of the sandbox.
    pub fn is_native(&self) -> bool {
        matches!(self.code, Code::Native(_))
    }

    /// One step for `sample`; `rounds` are the answers to all its earlier questions. What comes back has been checked.
    pub fn score(&self, sample: &Sample, rounds: &[Vec<Answer>]) -> Result<Step, PluginFault> {
        let pool = match &self.code {
            Code::Sandboxed(pool) => pool,
            Code::Native(code) => {
                let step = code.score(&self.settings, sample, rounds)?;
                let checked = self.checked(&step, sample, rounds.len(), &code.limits);
                return checked.map(|()| step).map_err(|cause| code.fault("score", Some(&sample.id), cause));
            }
        };
        let returned = pool.call("score", Some(&sample.id), |plugin, store| {
            let returned = plugin.score(store, &self.settings, sample, rounds)?;
            Ok(returned.map_err(|fault| Cause::fault(&fault.message, fault.hint.as_deref())))
        })?;
        let checked = record(returned).and_then(|step| {
            self.checked(&step, sample, rounds.len(), &pool.limits)?;
            Ok(step)
        });
        checked.map_err(|cause| pool.fault("score", Some(&sample.id), cause))
    }

    /// A step in one block, which it takes, and the same by the contract's own `score`.
    #[cfg(test)]
    pub(super) fn score_both_ways(&self, sample: &Sample, rounds: &[Vec<Answer>]) -> [Result<Step, Cause>; 2] {
        let Code::Sandboxed(pool) = &self.code else { panic!("a native plugin knows neither") };
        [true, false].map(|block| {
            let returned = pool.call("score", None, |plugin, store| {
                assert!(plugin.block.is_some(), "the SDK makes it");
                let score = if block { Instance::score } else { Instance::score_by_contract };
                let returned = score(plugin, store, &self.settings, sample, rounds)?;
                Ok(returned.map_err(|fault| Cause::fault(&fault.message, fault.hint.as_deref())))
            });
            returned.map_err(|fault| fault.cause).and_then(record)
        })
    }

    /// What it has used so far.
    pub fn usage(&self) -> Usage {
        match &self.code {
            Code::Sandboxed(pool) => pool.usage(),
            Code::Native(code) => code.usage(),
        }
    }

    /// Counts from zero.
    pub fn forget_usage(&self) {
        match &self.code {
            Code::Sandboxed(pool) => pool.forget_usage(),
            Code::Native(code) => code.forget_usage(),
        }
    }

    /// The lines it has logged, and how many more were dropped.
    pub fn log(&self) -> (Vec<LogLine>, u64) {
        let log = match &self.code {
            Code::Sandboxed(pool) => &pool.log,
            Code::Native(code) => &code.log,
        };
        (log.lines(), log.dropped())
    }

    fn checked(&self, step: &Step, sample: &Sample, rounds: usize, limits: &config::Limits) -> Result<(), Cause> {
        match step {
            Step::Ask(questions) => check::questions(questions, rounds, &self.asks, &self.grant, limits),
            Step::Done(scores) => check::scores(scores, sample.responses.len()),
        }
    }

    /// Everything that the plugin finds wrong with its settings.
    pub(super) fn problems(&self) -> Result<Vec<Problem>, PluginFault> {
        let pool = match &self.code {
            Code::Sandboxed(pool) => pool,
            Code::Native(code) => return code.problems(&self.settings),
        };
        pool.call("check-settings", None, |plugin, store| {
            let problems = plugin.world.udasa_plugin_scorer_api().call_check_settings(store, &self.settings)?;
            let problems = problems.into_iter().map(|p| Problem { path: p.path, message: p.message });
            Ok(Ok(problems.collect()))
        })
    }
}

fn record(step: api::Step) -> Result<Step, Cause> {
    match step {
        api::Step::Ask(questions) => Ok(Step::Ask(questions.into_iter().map(convert::question).collect())),
        api::Step::Done(scores) => {
            let score = |(i, score): (usize, api::ResponseScore)| {
                let notes = convert::notes(score.notes).map_err(|name| check::note_twice(i, &name))?;
                Ok(Score { uncertainty: score.uncertainty, notes })
            };
            Ok(Step::Done(scores.into_iter().enumerate().map(score).collect::<Result<_, _>>()?))
        }
    }
}

/// Asks a scorer who it is.
pub(super) fn describe(
    engine: &Engine,
    component: &wasmtime::component::Component,
    identity: Identity,
    limits: &config::Limits,
) -> wasmtime::Result<Result<Description, PluginFault>> {
    Ok(Description::twice(&Pool::new(engine, component, identity, limits)?, describe_with))
}

fn describe_with(pool: &Pool<Instance>) -> Result<Description, PluginFault> {
    pool.call("describe", None, |plugin, store| {
        let it = plugin.world.udasa_plugin_scorer_api().call_describe(store)?;
        Ok(Description::checked(
            it.name,
            it.version,
            it.summary,
            Some(convert::dimension(it.dimension)),
            it.asks.into_iter().map(convert::question_kind).collect(),
            &it.settings_schema,
        ))
    })
}
