//! The plugins that a run uses: found, checked and compiled before any room begins.

use std::path::Path;

use anyhow::Result;

use super::keys::PluginDigests;
use super::room::Room;
use crate::config::Config;
use crate::error::UserError;
use crate::records::{Answer, Dimension, Pair, PastStage, Sample, Stage};
use crate::sandbox::{self, Identity, PluginDirectory, PluginKind, Scorer, StagingPolicy};
use crate::score::{ScoreSample, Step};
use crate::stage::NextStage;

/// The plugins that a run uses.
#[derive(Default)]
pub struct Plugins {
    /// In the config's order; none where no room scores.
    pub scorers: Vec<Scorer>,
    /// None where no room stages.
    pub policy: Option<StagingPolicy>,
    /// One line each, for `plan`.
    pub lines: Vec<String>,
}

impl Plugins {
    /// The plugins that the rooms up to `until` need. What is wrong with any of them is reported at once.
    pub fn open(cfg: &Config, directory: Option<&Path>, until: Room) -> Result<Self> {
        if until < Room::Score {
            return Ok(Self::default());
        }
        let Some(directory) = directory else {
            return Err(UserError::new("there is no plugin directory")
                .hint("give one with --plugins DIR, or set UDASA_PLUGINS")
                .into());
        };
        let directory = PluginDirectory::open(directory)?;
        let mut plugins = Self::default();
        let mut refused = Vec::new();
        for scorer in &cfg.scorer {
            match directory.scorer(scorer, &cfg.limits) {
                Ok(scorer) => plugins.scorers.push(scorer),
                Err(error) => refused.push(error.downcast::<UserError>()?),
            }
        }
        if let Some(stage) = cfg.stage.as_ref().filter(|_| until >= Room::Stage) {
            match directory.policy(stage, &cfg.limits) {
                Ok(policy) => plugins.policy = Some(policy),
                Err(error) => refused.push(error.downcast::<UserError>()?),
            }
        }
        if let Some(error) = together(refused) {
            return Err(error.into());
        }
        plugins.lines = lines(cfg, &plugins);
        Ok(plugins)
    }

    /// What they are, for the keys.
    pub fn digests(&self) -> PluginDigests {
        PluginDigests {
            scorers: self.scorers.iter().map(|s| (s.name().to_owned(), s.sha256().to_owned())).collect(),
            policy: self.policy.as_ref().map(|p| p.sha256().to_owned()),
        }
    }
}

fn together(mut errors: Vec<UserError>) -> Option<UserError> {
    if errors.len() < 2 {
        return errors.pop();
    }
    let lines: Vec<String> = errors
        .iter()
        .map(|error| match &error.hint {
            Some(hint) => format!("\n  {error}\n    {hint}"),
            None => format!("\n  {error}"),
        })
        .collect();
    let message = format!("{} plugins cannot be used{}", errors.len(), lines.concat());
    Some(UserError::new(message).hint("`udasa plugin list --plugins DIR` shows what there is"))
}

fn lines(cfg: &Config, plugins: &Plugins) -> Vec<String> {
    let scorers = plugins.scorers.iter().zip(&cfg.scorer).map(|(scorer, section)| {
        line(scorer.identity(), section.name.as_deref(), PluginKind::Scorer, scorer.is_native())
    });
    let policy = plugins
        .policy
        .iter()
        .map(|policy| line(policy.identity(), None, PluginKind::StagingPolicy, policy.is_native()));
    scorers.chain(policy).collect()
}

fn line(plugin: &Identity, name: Option<&str>, kind: PluginKind, native: bool) -> String {
    let used_as = match name {
        Some(name) if name != plugin.name => format!(" as {name}"),
        _ => String::new(),
    };
    format!(
        "{} {}{used_as}  {}  sha256 {}{}",
        plugin.name,
        plugin.version.as_deref().unwrap_or_default(),
        kind.name(),
        &plugin.sha256[..12],
        if native { "  native: no sandbox, no limits" } else { "" }
    )
}

/// A sandboxed scorer, as the score room wants it.
pub struct Sandboxed<'a>(pub &'a Scorer);

impl ScoreSample for Sandboxed<'_> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn dimension(&self) -> Dimension {
        self.0.dimension()
    }

    fn score(&self, sample: &Sample, rounds: &[Vec<Answer>]) -> Result<Step, UserError> {
        match self.0.score(sample, rounds) {
            Ok(sandbox::Step::Ask(questions)) => Ok(Step::Ask(questions)),
            Ok(sandbox::Step::Done(scores)) => Ok(Step::Done(scores)),
            Err(fault) => Err(UserError::new(fault.to_string()).hint(fault.hint())),
        }
    }
}

/// A sandboxed staging policy, as the stage and train rooms want it.
pub struct SandboxedPolicy<'a>(pub &'a StagingPolicy);

impl NextStage for SandboxedPolicy<'_> {
    fn next_stage(&self, seed: u64, pairs: &[Pair], history: &[PastStage]) -> Result<Option<Stage>> {
        Ok(self.0.next_stage(seed, pairs, history)?)
    }
}
