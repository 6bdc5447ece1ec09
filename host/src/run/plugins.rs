//! The plugins that a run uses: found, checked and compiled before any room begins.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::Context;
use super::keys::PluginDigests;
use super::room::Room;
use crate::config::Config;
use crate::error::UserError;
use crate::progress::say;
use crate::records::{Answer, Dimension, Pair, PastStage, PluginUsage, Sample, Stage, Used};
use crate::sandbox::{self, Identity, LogLevel, LogLine, PluginDirectory, PluginKind, Scorer, StagingPolicy, Usage};
use crate::score::{ScoreSample, ScorerUse, Step};
use crate::stage::NextStage;
use crate::usage::Ledger;

/// The plugins that a run uses.
#[derive(Default)]
pub struct Plugins {
    /// In the config's order; none where no room scores.
    pub scorers: Vec<Scorer>,
    /// None where no room stages.
    pub policy: Option<StagingPolicy>,
    /// One line each, for `plan`.
    pub lines: Vec<String>,
    /// Version of the contract that each was built for, by its SHA-256.
    contracts: BTreeMap<String, String>,
}

impl Plugins {
    /// The plugins that the rooms up to `until` need. What is wrong with any of them is reported at once.
    pub fn open(cfg: &Config, directory: Option<&Path>, until: Room) -> Result<Self> {
        let unscored_and_unstaged = cfg.pairs.is_some() && cfg.stage.is_none();
        if until < Room::Score || unscored_and_unstaged {
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
        plugins.contracts =
            directory.list().iter().map(|file| (file.sha256.clone(), file.contract_version.clone())).collect();
        // What was asked of them so far is no part of any room.
        plugins.scorers.iter().for_each(Scorer::forget_usage);
        plugins.policy.iter().for_each(StagingPolicy::forget_usage);
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

    /// The scorers, as the score room wants them.
    pub fn sandboxed(&self) -> Vec<Sandboxed<'_>> {
        self.scorers.iter().map(|scorer| Sandboxed { scorer, contract: self.contract(scorer.sha256()) }).collect()
    }

    /// What the config wants of each of them. `keys` are theirs, in their order.
    pub fn uses<'a>(scorers: &'a [Sandboxed<'a>], cfg: &Config, keys: &[String]) -> Vec<ScorerUse<'a>> {
        let each = scorers.iter().zip(&cfg.scorer).zip(keys);
        each.map(|((scorer, section), key)| ScorerUse {
            scorer,
            weight: section.weight,
            on_fault: section.on_fault,
            key: key.clone(),
        })
        .collect()
    }

    /// What the staging policy has used since the program began, as a room's account wants it.
    fn policy_usage(&self, key: &str, faults: u64) -> Option<PluginUsage> {
        let policy = self.policy.as_ref()?;
        let contract = self.contract(policy.sha256());
        let kind = PluginKind::StagingPolicy;
        let mut entry = usage(policy.name(), kind, policy.identity(), contract, policy.usage(), policy.log().1);
        entry.native = policy.is_native();
        entry.key = key.to_owned();
        entry.used.faults = faults;
        Some(entry)
    }

    /// Opens the account of the staging policy in a room.
    pub fn policy_account(&self, ctx: &Context, room: Room) -> PolicyAccount {
        let name = self.policy.as_ref().map_or("", StagingPolicy::name);
        let key = ctx.keys.rooms.get(&room).cloned().unwrap_or_default();
        let path = ctx.folder.file(&format!("{room}-usage.json"));
        PolicyAccount { ledger: Ledger::open(&path, &[(name, &key)], &[name]), key }
    }

    fn contract(&self, sha256: &str) -> &str {
        self.contracts.get(sha256).map_or(sandbox::CONTRACT_VERSION, String::as_str)
    }
}

/// The staging policy's account in one room.
pub struct PolicyAccount {
    ledger: Ledger,
    key: String,
}

impl PolicyAccount {
    /// Writes what the policy has used since the program began, `faults` failures included.
    pub fn record(&mut self, plugins: &Plugins, faults: u64) -> Result<()> {
        match plugins.policy_usage(&self.key, faults) {
            Some(entry) => self.ledger.record(entry),
            None => Ok(()),
        }
    }
}

fn usage(
    name: &str,
    kind: PluginKind,
    plugin: &Identity,
    contract: &str,
    used: Usage,
    log_lines_dropped: u64,
) -> PluginUsage {
    PluginUsage {
        name: name.to_owned(),
        plugin: plugin.name.clone(),
        version: plugin.version.clone().unwrap_or_default(),
        kind: kind.name().to_owned(),
        contract: contract.to_owned(),
        sha256: plugin.sha256.clone(),
        used: Used {
            calls: used.calls,
            traps: used.traps,
            fuel: used.fuel,
            most_fuel: used.most_fuel,
            peak_memory: used.peak_memory,
            seconds: used.nanoseconds as f64 / 1e9,
            log_lines_dropped,
            ..Used::default()
        },
        ..PluginUsage::default()
    }
}

/// What a plugin logged for the user's eyes.
pub fn say_log(room: Room, name: &str, (lines, dropped): (Vec<LogLine>, u64)) {
    for line in lines.iter().filter(|line| matches!(line.level, LogLevel::Warn | LogLevel::Error)) {
        say(room.name(), &format!("{name} says: {}", line.text));
    }
    if dropped > 0 {
        say(room.name(), &format!("{name}: {dropped} more log lines dropped"));
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
        line(plugins, scorer.identity(), section.name.as_deref(), PluginKind::Scorer, scorer.is_native())
    });
    let policy = plugins
        .policy
        .iter()
        .map(|policy| line(plugins, policy.identity(), None, PluginKind::StagingPolicy, policy.is_native()));
    scorers.chain(policy).collect()
}

fn line(plugins: &Plugins, plugin: &Identity, name: Option<&str>, kind: PluginKind, native: bool) -> String {
    let used_as = match name {
        Some(name) if name != plugin.name => format!(" as {name}"),
        _ => String::new(),
    };
    format!(
        "{} {}{used_as}  {}  contract {}  sha256 {}{}",
        plugin.name,
        plugin.version.as_deref().unwrap_or_default(),
        kind.name(),
        plugins.contract(&plugin.sha256),
        &plugin.sha256[..12],
        if native { "  native: no sandbox, no limits" } else { "" }
    )
}

/// A sandboxed scorer, as the score room wants it.
pub struct Sandboxed<'a> {
    scorer: &'a Scorer,
    contract: &'a str,
}

impl ScoreSample for Sandboxed<'_> {
    fn name(&self) -> &str {
        self.scorer.name()
    }

    fn dimension(&self) -> Dimension {
        self.scorer.dimension()
    }

    fn score(&self, sample: &Sample, rounds: &[Vec<Answer>]) -> Result<Step, UserError> {
        match self.scorer.score(sample, rounds) {
            Ok(sandbox::Step::Ask(questions)) => Ok(Step::Ask(questions)),
            Ok(sandbox::Step::Done(scores)) => Ok(Step::Done(scores)),
            Err(fault) => Err(UserError::new(fault.to_string()).hint(fault.hint())),
        }
    }

    fn usage(&self) -> Option<PluginUsage> {
        let it = self.scorer;
        let kind = PluginKind::Scorer;
        let mut entry = usage(it.name(), kind, it.identity(), self.contract, it.usage(), it.log().1);
        entry.native = it.is_native();
        Some(entry)
    }
}

/// A sandboxed staging policy, as the stage and train rooms want it.
pub struct SandboxedPolicy<'a> {
    policy: &'a StagingPolicy,
    /// The key that names responses or pairs made elsewhere: then the run samples nothing.
    elsewhere: Option<&'static str>,
}

impl<'a> SandboxedPolicy<'a> {
    /// The policy in a run of this config.
    pub fn new(policy: &'a StagingPolicy, cfg: &Config) -> Self {
        let elsewhere = match (&cfg.pairs, &cfg.generate.from) {
            (Some(_), _) => Some("pairs.from"),
            (None, Some(_)) => Some("generate.from"),
            (None, None) => None,
        };
        Self { policy, elsewhere }
    }
}

impl NextStage for SandboxedPolicy<'_> {
    fn next_stage(&self, seed: u64, pairs: &[Pair], history: &[PastStage]) -> Result<Option<Stage>> {
        let stage = self.policy.next_stage(seed, pairs, history)?;
        if let (Some(stage), Some(key)) = (stage.as_ref().filter(|stage| stage.resample), self.elsewhere) {
            return Err(UserError::new(format!(
                "the staging policy wants new responses before the stage `{}`, but this run samples none: its responses come from `{key}`",
                stage.name
            ))
            .hint(format!("turn resampling off in `stage.settings`, or have the run sample its responses: [data] instead of `{key}`"))
            .into());
        }
        Ok(stage)
    }
}
