//! The command line: what may be typed ([`arguments`]), what each command does, and how failures are shown ([`failure`]).
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 the user's input, 2 ours.

mod arguments;
mod failure;
mod model;

use anyhow::Result;
use clap::Parser;

pub use arguments::Arguments;
pub use failure::{report, report_panics};

use crate::config::{self, World};
use crate::error::UserError;
use crate::progress::print;
use crate::run::{self, Room};
use crate::{bench, explain, export, mini_world, plugin};
use arguments::{Command, PluginCommand, ScoreArguments, plugin_directory};

/// Reads the command line. Help and version are printed and end the program here; so do usage errors, with exit code 1.
pub fn parse() -> Result<Arguments> {
    Arguments::try_parse().map_err(|error| {
        let code = i32::from(error.use_stderr());
        // Nothing is left to do where even this cannot be written.
        let _ = error.print();
        std::process::exit(code);
    })
}

/// Does what the command line says.
pub fn execute(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Run(options) => run::run(&options.options()),
        Command::Plan(options) => print(&run::plan(&options.options())?),
        Command::Sft(room) => run::run(&room.until(Room::Sft)),
        Command::Generate(room) => run::run(&room.until(Room::Generate)),
        Command::Score(ScoreArguments { room, watch: None }) => run::run(&room.until(Room::Score)),
        Command::Score(ScoreArguments { room, watch: Some(crates) }) => {
            // Shown, and no reason to end: the exit code is not theirs.
            run::watch(&room.until(Room::Score), &crates, &mut |error| {
                let _ = report(error);
            })
        }
        Command::Pair(room) => run::run(&room.until(Room::Pair)),
        Command::Stage(room) => run::run(&room.until(Room::Stage)),
        Command::Train(room) => run::run(&room.until(Room::Train)),
        Command::Evaluate(room) => run::run(&room.until(Room::Evaluate)),
        Command::Report(room) => run::report(&room.until(Room::Report)),
        Command::Explain { run, pair } => print(&explain::explain(&run, &pair)?),
        Command::Verify { run } => print(&run::verify(&run)?),
        Command::Export { run, format, out: None, per_stage: Some(folder) } => export::per_stage(&run, format, &folder),
        Command::Export { run, format, out, .. } => export::whole(&run, format, out.as_deref()),
        Command::Plugin(command) => execute_plugin(command),
        Command::Model(command) => print(&model::execute(command)?),
        Command::Bench { name, json, peers, models, only, task } => {
            bench::run(&name, &bench::Options { json, peers, models, only, task }, &mut print)
        }
        Command::ConfigReference => print(&config::config_reference()),
        Command::MiniWorld { folder, seed } => {
            let world = World::default();
            mini_world::write(&folder, seed, world.documents, world.prompts).map(drop)
        }
    }
}

fn execute_plugin(command: PluginCommand) -> Result<()> {
    match command {
        PluginCommand::New { name, kind, path, sdk } => {
            plugin::new(&name, kind.into(), path.as_deref(), sdk.as_deref())
        }
        PluginCommand::Check { path, settings, sample, json } => {
            plugin::check(&path, settings.as_deref(), sample.as_deref(), json)
        }
        PluginCommand::Call { file, function, input, settings } => {
            plugin::call(&file, &function, input.as_deref(), settings.as_deref())
        }
        PluginCommand::Build { crates, out, native: true } => plugin::build_native(&crates, &out),
        PluginCommand::Build { crates, out, native: false } => plugin::build(&crates, &out).map(drop),
        PluginCommand::List { plugins, json, markdown } => {
            let Some(plugins) = plugin_directory(plugins) else {
                return Err(UserError::new("there is no plugin directory")
                    .hint("give one with --plugins DIR, or set UDASA_PLUGINS")
                    .into());
            };
            let form = match (json, markdown) {
                (true, _) => plugin::As::Json,
                (_, true) => plugin::As::Markdown,
                _ => plugin::As::Table,
            };
            plugin::list(&plugins, form)
        }
        PluginCommand::Inspect { file, json } => plugin::inspect(&file, json),
    }
}
