//! A native plugin in the place of a sandboxed one: same functions, same checks, same faults. What is not the same: nothing
//! limits it, and a crash of it is a crash of the host.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use udasa_plugin_sdk::log::Level;
use udasa_plugin_sdk::{self as sdk, Fault};

use crate::config::Limits;
use crate::error::UserError;
use crate::native::{self, Failure, Kind, Library, Returned};
use crate::records::{Answer, Dimension, Pair, PastStage, QuestionKind, Sample, Stage};

use super::check;
use super::contract::PluginKind;
use super::directory::{Description, Problem};
use super::fault::{Cause, Identity, PluginFault};
use super::log::{LogLevel, LogSink};
use super::pool::Usage;
use super::scorer::Step;

/// A native plugin that has said who it is.
pub(super) struct NativeCode {
    pub identity: Arc<Identity>,
    pub description: Description,
    /// Those of its outputs are kept; those of its work cannot be.
    pub limits: Limits,
    pub log: LogSink,
    library: Library,
    calls: AtomicU64,
    panics: AtomicU64,
    nanoseconds: AtomicU64,
}

impl NativeCode {
    /// Opens the plugin in `path`, if its digest is the pinned one, and asks it who it is.
    pub fn open(path: &Path, name: &str, kind: PluginKind, pin: Option<&str>, limits: &Limits) -> anyhow::Result<Self> {
        let library = native::open(path, pin)?;
        let found = match library.kind() {
            Kind::Scorer => PluginKind::Scorer,
            Kind::StagingPolicy => PluginKind::StagingPolicy,
        };
        if found != kind {
            let (shown, found, wanted) = (path.display(), found.name(), kind.name());
            return Err(UserError::new(format!("the native plugin {shown} is a {found}, not a {wanted}"))
                .hint("name another plugin, or build the right crate")
                .into());
        }
        let sha256 = library.sha256.clone();
        let mut code = Self {
            identity: Arc::new(Identity { name: path.display().to_string(), version: None, sha256: sha256.clone() }),
            description: Description {
                name: String::new(),
                version: String::new(),
                summary: String::new(),
                dimension: None,
                asks: Vec::new(),
                settings_schema: serde_json::Value::Null,
            },
            limits: limits.clone(),
            log: LogSink::new(limits.log_lines),
            library,
            calls: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
        };
        code.description = code.describe().map_err(UserError::from)?;
        if code.description.name != name {
            return Err(UserError::new(format!(
                "the native plugin {} calls itself `{}`",
                path.display(),
                code.description.name
            ))
            .hint(format!("name the file `{}.so`, and the plugin so in the config", code.description.name))
            .into());
        }
        let version = Some(code.description.version.clone());
        code.identity = Arc::new(Identity { name: name.to_owned(), version, sha256 });
        Ok(code)
    }

    fn describe(&self) -> Result<Description, PluginFault> {
        let it = self.call("describe", None, Library::describe)?;
        let dimension = it.dimension.map(|dimension| match dimension {
            sdk::Dimension::Semantic => Dimension::Semantic,
            sdk::Dimension::Factual => Dimension::Factual,
            sdk::Dimension::Value => Dimension::Value,
        });
        let asks = it.asks.into_iter().map(|kind| match kind {
            sdk::QuestionKind::Embed => QuestionKind::Embed,
            sdk::QuestionKind::Entail => QuestionKind::Entail,
            sdk::QuestionKind::Choose => QuestionKind::Choose,
            sdk::QuestionKind::Likelihood => QuestionKind::Likelihood,
            sdk::QuestionKind::Complete => QuestionKind::Complete,
        });
        Description::checked(it.name, it.version, it.summary, dimension, asks.collect(), &it.settings_schema)
            .map_err(|cause| self.fault("describe", None, cause))
    }

    pub fn problems(&self, settings: &str) -> Result<Vec<Problem>, PluginFault> {
        let problems = self.call("check-settings", None, |library| library.check_settings(settings))?;
        Ok(problems.into_iter().map(|(path, message)| Problem { path, message }).collect())
    }

    /// One step of a scorer; not checked yet.
    pub fn score(&self, settings: &str, sample: &Sample, rounds: &[Vec<Answer>]) -> Result<Step, PluginFault> {
        let (function, prompt) = ("score", Some(sample.id.as_str()));
        let step = self.call(function, prompt, |library| library.score(settings, sample, rounds))?;
        match self.without_fault(function, prompt, step)? {
            sdk::Step::Ask(questions) => Ok(Step::Ask(native::questions(questions))),
            sdk::Step::Done(scores) => {
                let score = |(i, score)| native::score(score).map_err(|name| check::note_twice(i, &name));
                let scores = scores.into_iter().enumerate().map(score).collect::<Result<_, _>>();
                Ok(Step::Done(scores.map_err(|cause| self.fault(function, prompt, cause))?))
            }
        }
    }

    /// The next stage; not checked yet.
    pub fn next_stage(
        &self,
        settings: &str,
        seed: u64,
        pairs: &[Pair],
        history: &[PastStage],
    ) -> Result<Option<Stage>, PluginFault> {
        let function = "next-stage";
        let stage = self.call(function, None, |library| library.next_stage(settings, seed, pairs, history))?;
        self.without_fault(function, None, stage)
    }

    /// What it has used so far: no fuel, because it burns none, and memory that is not told from the host's.
    pub fn usage(&self) -> Usage {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Usage {
            calls: read(&self.calls),
            traps: read(&self.panics),
            nanoseconds: read(&self.nanoseconds),
            ..Usage::default()
        }
    }

    /// Counts from zero, as a pool does.
    pub fn forget_usage(&self) {
        for counter in [&self.calls, &self.panics, &self.nanoseconds] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// `cause` as a fault of this plugin.
    pub fn fault(&self, function: &'static str, prompt: Option<&str>, cause: Cause) -> PluginFault {
        PluginFault { plugin: self.identity.clone(), function, prompt: prompt.map(str::to_owned), cause }
    }

    fn without_fault<T>(
        &self,
        function: &'static str,
        prompt: Option<&str>,
        returned: Result<T, Fault>,
    ) -> Result<T, PluginFault> {
        returned.map_err(|fault| self.fault(function, prompt, Cause::fault(&fault.message, fault.hint.as_deref())))
    }

    fn call<T>(
        &self,
        function: &'static str,
        prompt: Option<&str>,
        call: impl FnOnce(&Library) -> Returned<T>,
    ) -> Result<T, PluginFault> {
        let started = Instant::now();
        let Returned { log, result } = call(&self.library);
        let elapsed = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(elapsed, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        for line in log {
            let level = match line.level {
                Level::Debug => LogLevel::Debug,
                Level::Info => LogLevel::Info,
                Level::Warn => LogLevel::Warn,
                Level::Error => LogLevel::Error,
            };
            self.log.take(level, &line.text);
        }
        result.map_err(|failure| {
            self.panics.fetch_add(1, Ordering::Relaxed);
            let cause = match failure {
                Failure::Panic(message) => Cause::Panic { message: Some(message) },
                Failure::Unreadable(what) => Cause::Unreadable(what),
            };
            self.fault(function, prompt, cause)
        })
    }
}
