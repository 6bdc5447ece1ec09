//! A staging policy, ready to be called: a pure function from the pairs and the stages so far to the next stage.

use std::sync::Arc;

use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store};

use crate::config;
use crate::error::UserError;
use crate::records::{Dimension, Overrides, Pair, PastStage, Stage};

use super::bindings::staging as bindings;
use super::bindings::staging::exports::udasa::plugin::staging_api as api;
use super::check;
use super::directory::{Description, PluginFile, Problem};
use super::fault::{Cause, Identity, PluginFault};
use super::log::LogLine;
use super::native_code::NativeCode;
use super::pool::{Pool, Usage, World};
use super::store::State;

/// A policy that has given out this many stages will never stop.
const MOST_STAGES: usize = 1000;
const NEXT_STAGE: &str = "next-stage";

impl World for bindings::StagingPolicy {
    type Pre = bindings::StagingPolicyPre<State>;

    fn prepare(pre: InstancePre<State>) -> wasmtime::Result<Self::Pre> {
        Self::Pre::new(pre)
    }

    fn instantiate(pre: &Self::Pre, store: &mut Store<State>) -> wasmtime::Result<Self> {
        pre.instantiate(store)
    }
}

/// A plugin with its settings and limits.
pub struct StagingPolicy {
    settings: String,
    code: Code,
}

/// Where it runs.
enum Code {
    Sandboxed(Pool<bindings::StagingPolicy>),
    Native(NativeCode),
}

impl StagingPolicy {
    /// The plugin under `limits`. The settings have not been checked yet.
    pub(super) fn new(file: &PluginFile, settings: String, limits: &config::Limits) -> anyhow::Result<Self> {
        let (engine, component) = file.code(limits.stack_kib)?;
        let pool = Pool::new(&engine, &component, file.identity(), limits).map_err(|e| file.does_not_link(&e))?;
        let again = describe_with(&pool).map_err(UserError::from)?;
        file.must_still_be(&again)?;
        Ok(Self { settings, code: Code::Sandboxed(pool) })
    }

    /// A native plugin. The settings have not been checked yet.
    pub(super) fn native(code: NativeCode, settings: String) -> Self {
        Self { settings, code: Code::Native(code) }
    }

    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.identity().name
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

    /// The stage after `history`, or none to stop. What comes back has been checked.
    pub fn next_stage(&self, seed: u64, pairs: &[Pair], history: &[PastStage]) -> Result<Option<Stage>, PluginFault> {
        let stage = match &self.code {
            Code::Sandboxed(pool) => self.sandboxed_stage(pool, seed, pairs, history),
            Code::Native(code) => code.next_stage(&self.settings, seed, pairs, history),
        }?;
        let Some(stage) = stage else {
            return Ok(None);
        };
        let checked = if history.len() >= MOST_STAGES {
            Err(Cause::BadOutput(format!("made another stage after {MOST_STAGES}")))
        } else {
            check::stage(&stage, pairs.len())
        };
        match checked {
            Ok(()) => Ok(Some(stage)),
            Err(cause) => Err(PluginFault {
                plugin: Arc::new(self.identity().clone()),
                function: NEXT_STAGE,
                prompt: None,
                cause,
            }),
        }
    }

    fn sandboxed_stage(
        &self,
        pool: &Pool<bindings::StagingPolicy>,
        seed: u64,
        pairs: &[Pair],
        history: &[PastStage],
    ) -> Result<Option<Stage>, PluginFault> {
        let views: Vec<_> = pairs.iter().map(pair).collect();
        let past: Vec<_> = history.iter().map(past_stage).collect();
        let stage = pool.call(NEXT_STAGE, None, |world, store| {
            let plugin = world.udasa_plugin_staging_api();
            let returned = plugin.call_next_stage(store, &self.settings, seed, &views, &past)?;
            Ok(returned.map_err(|fault| Cause::fault(&fault.message, fault.hint.as_deref())))
        })?;
        Ok(stage.map(stage_record))
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

    /// Everything that the plugin finds wrong with its settings.
    pub(super) fn problems(&self) -> Result<Vec<Problem>, PluginFault> {
        let pool = match &self.code {
            Code::Sandboxed(pool) => pool,
            Code::Native(code) => return code.problems(&self.settings),
        };
        pool.call("check-settings", None, |world, store| {
            let plugin = world.udasa_plugin_staging_api();
            let problems = plugin.call_check_settings(store, &self.settings)?;
            let problems = problems.into_iter().map(|p| Problem { path: p.path, message: p.message });
            Ok(Ok(problems.collect()))
        })
    }
}

/// Asks a staging policy who it is.
pub(super) fn describe(
    engine: &Engine,
    component: &wasmtime::component::Component,
    identity: Identity,
    limits: &config::Limits,
) -> wasmtime::Result<Result<Description, PluginFault>> {
    Ok(Description::twice(&Pool::new(engine, component, identity, limits)?, describe_with))
}

fn describe_with(pool: &Pool<bindings::StagingPolicy>) -> Result<Description, PluginFault> {
    pool.call("describe", None, |world, store| {
        let it = world.udasa_plugin_staging_api().call_describe(store)?;
        Ok(Description::checked(it.name, it.version, it.summary, None, Vec::new(), &it.settings_schema))
    })
}

fn pair(pair: &Pair) -> api::Pair {
    api::Pair {
        id: pair.id.clone(),
        group: pair.group.clone(),
        gap: pair.gap,
        chosen_uncertainty: 1.0 - pair.chosen_rating,
        rejected_uncertainty: 1.0 - pair.rejected_rating,
        gap_semantic: pair.gap_in(Dimension::Semantic),
        gap_factual: pair.gap_in(Dimension::Factual),
        gap_value: pair.gap_in(Dimension::Value),
        chosen_tokens: tokens(&pair.chosen_token_ids),
        rejected_tokens: tokens(&pair.rejected_token_ids),
    }
}

fn tokens(ids: &[u32]) -> u32 {
    u32::try_from(ids.len()).unwrap_or(u32::MAX)
}

fn past_stage(past: &PastStage) -> api::PastStage {
    api::PastStage {
        name: past.name.clone(),
        pairs: past.pairs.clone(),
        outcome: past.outcome.as_ref().map(|outcome| api::Outcome {
            loss: outcome.loss,
            reward_accuracy: outcome.reward_accuracy,
            margin: outcome.margin,
            kl_to_initial: outcome.kl_to_initial,
            chosen_logprob_change: outcome.chosen_logprob_change,
            evaluation: outcome
                .evaluation
                .iter()
                .map(|(name, value)| api::Measure { name: name.clone(), value: *value })
                .collect(),
        }),
    }
}

fn stage_record(stage: api::Stage) -> Stage {
    let set = stage.overrides;
    Stage {
        name: stage.name,
        pairs: stage.pairs,
        overrides: Overrides {
            epochs: set.epochs,
            beta: set.beta,
            learning_rate_scale: set.learning_rate_scale,
            label_smoothing: set.label_smoothing,
            nll_weight: set.nll_weight,
            loss: set.loss,
        },
        refresh_reference: stage.refresh_reference,
        resample: stage.resample,
        reason: stage.reason,
    }
}
