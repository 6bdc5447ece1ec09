//! `udasa plugin call FILE FUNCTION`: any function of the contract from the shell. The result is JSON on stdout; what the
//! call cost, and what the plugin logged, goes to stderr.

use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use crate::config::Limits;
use crate::data;
use crate::error::UserError;
use crate::records::Answer;
use crate::sandbox::{self, LogLevel, LogLine, PluginFile, PluginKind, Scorer, StagingPolicy, Usage};

use super::input::{self, Object};
use super::{print, size};

const SCORERS: [&str; 3] = ["describe", "check-settings", "score"];
const POLICIES: [&str; 3] = ["describe", "check-settings", "next-stage"];

/// What one call gave and cost.
struct Called {
    result: Value,
    usage: Usage,
    log: (Vec<LogLine>, u64),
}

/// Calls `function` of the plugin in `file`. `input` is JSON, `@FILE`, or `-` for stdin.
pub fn call(file: &Path, function: &str, input: Option<&str>, settings: Option<&str>) -> anyhow::Result<()> {
    let plugin = sandbox::inspect(file)?;
    let functions = match plugin.kind {
        PluginKind::Scorer => SCORERS,
        PluginKind::StagingPolicy => POLICIES,
    };
    if !functions.contains(&function) {
        let kind = plugin.kind.name();
        let all = functions.map(|name| format!("`{name}`")).join(", ");
        return Err(UserError::new(format!("a {kind} has no function `{function}`"))
            .hint(format!("the functions of a {kind} are {all}"))
            .into());
    }
    let Called { result, usage, log } = match function {
        "describe" => describe(&plugin, input, settings)?,
        "check-settings" => check_settings(&plugin, input, settings)?,
        "score" => score(&plugin, &required(function, input)?, &settings_of(settings)?)?,
        _ => next_stage(&plugin, &required(function, input)?, &settings_of(settings)?)?,
    };
    report(&usage, &log);
    print(&format!("{result:#}\n"))
}

fn describe(plugin: &PluginFile, input: Option<&str>, settings: Option<&str>) -> anyhow::Result<Called> {
    if input.is_some() || settings.is_some() {
        return Err(UserError::new("`describe` takes no input and no settings")
            .hint("leave out --input and --settings")
            .into());
    }
    // Making one calls `describe`, and nothing else.
    let (usage, log) = match plugin.kind {
        PluginKind::Scorer => cost(&plugin.trial_scorer("{}", &Limits::default())?),
        PluginKind::StagingPolicy => cost(&plugin.trial_policy("{}", &Limits::default())?),
    };
    Ok(Called { result: json!(plugin.description), usage, log })
}

fn check_settings(plugin: &PluginFile, input: Option<&str>, settings: Option<&str>) -> anyhow::Result<Called> {
    let settings = match (input, settings) {
        (Some(_), Some(_)) => {
            return Err(UserError::new("`check-settings` was given both --input and --settings")
                .hint("its input is the settings; give one of the two")
                .into());
        }
        (Some(input), None) => Some(read(input)?),
        (None, settings) => settings.map(str::to_owned),
    };
    let settings = settings_of(settings.as_deref())?;
    let limits = Limits::default();
    match plugin.kind {
        PluginKind::Scorer => measured(&plugin.trial_scorer(&settings, &limits)?, |it| Ok(json!(it.check_settings()?))),
        PluginKind::StagingPolicy => {
            measured(&plugin.trial_policy(&settings, &limits)?, |it| Ok(json!(it.check_settings()?)))
        }
    }
}

fn score(plugin: &PluginFile, input: &str, settings: &str) -> anyhow::Result<Called> {
    let wrong = |why: String| {
        UserError::new(format!("the input of `score` is no sample: {why}")).hint(
            "like a line of responses.jsonl: {\"prompt\": \"…\", \"responses\": [\"…\", \"…\"]}, with \"rounds\": [[…]] for answers",
        )
    };
    let mut object = input::object(input).map_err(wrong)?;
    let rounds = match object.remove("rounds") {
        Some(rounds) => serde_json::from_value::<Vec<Vec<Answer>>>(rounds)
            .map_err(|e| wrong(format!("`rounds`: {e}; an answer is like {{\"choose\": [0.25, 0.75]}}")))?,
        None => Vec::new(),
    };
    let sample = data::read_sample(&object).map_err(wrong)?;
    let scorer = plugin.trial_scorer(settings, &Limits::default())?;
    measured(&scorer, |it| Ok(json!(it.score(&sample, &rounds)?)))
}

fn next_stage(plugin: &PluginFile, input: &str, settings: &str) -> anyhow::Result<Called> {
    let wrong = |why: String| {
        UserError::new(format!("the input of `next-stage` cannot be read: {why}"))
            .hint("{\"seed\": 1, \"pairs\": [{\"gap\": 0.5}, …], \"history\": []}; `seed` and `history` may be left out, and a pair may be a line of pairs.jsonl")
    };
    let input::Staging { seed, pairs, history } = input::staging(input).map_err(wrong)?;
    let policy = plugin.trial_policy(settings, &Limits::default())?;
    measured(&policy, |it| Ok(json!(it.next_stage(seed, &pairs, &history)?)))
}

/// What has been called.
trait Metered {
    fn usage(&self) -> Usage;
    fn log(&self) -> (Vec<LogLine>, u64);
}

impl Metered for Scorer {
    fn usage(&self) -> Usage {
        Scorer::usage(self)
    }
    fn log(&self) -> (Vec<LogLine>, u64) {
        Scorer::log(self)
    }
}

impl Metered for StagingPolicy {
    fn usage(&self) -> Usage {
        StagingPolicy::usage(self)
    }
    fn log(&self) -> (Vec<LogLine>, u64) {
        StagingPolicy::log(self)
    }
}

fn cost<P: Metered>(plugin: &P) -> (Usage, (Vec<LogLine>, u64)) {
    (plugin.usage(), plugin.log())
}

/// What `call` gives and costs. What the plugin logged is shown even where it fails: its author wants it most then.
fn measured<P: Metered>(plugin: &P, call: impl FnOnce(&P) -> anyhow::Result<Value>) -> anyhow::Result<Called> {
    let before = plugin.usage();
    let result = call(plugin).inspect_err(|_| show_log(&plugin.log()))?;
    let after = plugin.usage();
    let usage = Usage {
        fuel: after.fuel.saturating_sub(before.fuel),
        nanoseconds: after.nanoseconds.saturating_sub(before.nanoseconds),
        ..after
    };
    Ok(Called { result, usage, log: plugin.log() })
}

fn report(usage: &Usage, log: &(Vec<LogLine>, u64)) {
    show_log(log);
    let milliseconds = usage.nanoseconds as f64 / 1e6;
    let fuel = sandbox::grouped(usage.fuel);
    eprintln!("fuel {fuel}, memory {}, time {milliseconds:.3} ms", size(usage.peak_memory));
}

fn show_log((lines, dropped): &(Vec<LogLine>, u64)) {
    for line in lines {
        let level = match line.level {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warning",
            LogLevel::Error => "error",
        };
        eprintln!("log {level}: {}", line.text);
    }
    if *dropped > 0 {
        eprintln!("log: {dropped} more lines");
    }
}

/// The settings as a plugin gets them: one line of JSON, `{}` where left out.
pub(super) fn settings_of(given: Option<&str>) -> Result<String, UserError> {
    let Some(text) = given else {
        return Ok("{}".to_owned());
    };
    let settings: Object = input::object(text).map_err(|why| {
        UserError::new(format!("the settings are {why}"))
            .hint("give them as a JSON object: --settings '{\"limit\": 4}'")
    })?;
    Ok(Value::Object(settings).to_string())
}

fn required(function: &str, input: Option<&str>) -> Result<String, UserError> {
    match input {
        Some(input) => read(input),
        None => Err(UserError::new(format!("`{function}` needs an input"))
            .hint("give it with --input JSON, --input @FILE, or --input - for stdin")),
    }
}

fn read(input: &str) -> Result<String, UserError> {
    let failed = |what: String, e: std::io::Error| {
        UserError::new(format!("cannot read the input from {what}: {e}"))
            .hint("--input takes JSON, @FILE for a file that holds it, or - for stdin")
    };
    if input == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|e| failed("stdin".to_owned(), e))?;
        return Ok(text);
    }
    match input.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(|e| failed(path.to_owned(), e)),
        None => Ok(input.to_owned()),
    }
}
