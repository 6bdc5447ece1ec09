//! What may be typed. Help texts are the doc comments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::model::ModelCommand;
use crate::run::{Options, Room};

/// Aligns a language model with itself, by uncertainty, without human labels
#[derive(Debug, Parser)]
#[command(name = "udasa", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the whole pipeline of a config: the main job
    Run(RunArguments),
    /// Check a config and show what would run; touches nothing
    Plan(RunArguments),
    /// Train a small model on text
    Sft(RoomArguments),
    /// Sample responses, or read responses made elsewhere
    Generate(RoomArguments),
    /// Give every response its uncertainties
    Score(RoomArguments),
    /// Build preference pairs
    Pair(RoomArguments),
    /// Divide the pairs into stages
    Stage(RoomArguments),
    /// Train over the stages
    Train(RoomArguments),
    /// Measure the model before and after
    Evaluate(RoomArguments),
    /// Write the report of whatever the run folder holds
    Report(RoomArguments),
    /// Show one pair: its responses, scores, notes, stage and why
    Explain {
        /// The run folder
        run: PathBuf,
        /// The pair's id, as in pairs.jsonl
        pair: String,
    },
    /// Build and look at plugins
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Look at a model folder, and at what it computes
    #[command(subcommand)]
    Model(ModelCommand),
    /// Measure one part of the program
    #[command(hide = true)]
    Bench {
        /// Which; an unknown name lists them
        name: String,
        /// One JSON object per row instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Print docs/config-reference.md
    #[command(hide = true)]
    ConfigReference,
    /// Write the mini world's files into a folder
    #[command(hide = true)]
    MiniWorld {
        /// Where
        folder: PathBuf,
        /// Draws the world
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Compile plugin crates to components
    Build {
        /// Folders of plugin crates
        #[arg(required = true, value_name = "CRATE")]
        crates: Vec<PathBuf>,
        /// Where the .wasm files go
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// List the plugins of a directory
    List {
        /// The plugin directory; $UDASA_PLUGINS where left out
        #[arg(long, value_name = "DIR")]
        plugins: Option<PathBuf>,
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show one plugin: what it is, asks, imports, and how it is set
    Inspect {
        /// A .wasm component
        file: PathBuf,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    room: RoomArguments,
    /// Stop after this room
    #[arg(long, value_name = "ROOM")]
    until: Option<Room>,
}

#[derive(Debug, Args)]
pub(super) struct RoomArguments {
    /// The config file (TOML)
    config: PathBuf,
    /// The plugin directory; $UDASA_PLUGINS where left out
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// The run folder; runs/<name> where left out
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Run this room and the later ones again, even if unchanged
    #[arg(long, value_name = "ROOM")]
    from: Option<Room>,
    /// Set a key over the config's value, such as train.beta=0.2; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl RunArguments {
    pub(super) fn options(self) -> Options {
        let until = self.until.unwrap_or(Room::Report);
        self.room.until(until)
    }
}

impl RoomArguments {
    /// The run that stops after a room.
    pub(super) fn until(self, until: Room) -> Options {
        Options {
            config: self.config,
            overrides: self.set,
            plugins: plugin_directory(self.plugins),
            out: self.out,
            from: self.from,
            until,
        }
    }
}

/// The one given, else the environment's.
pub(super) fn plugin_directory(given: Option<PathBuf>) -> Option<PathBuf> {
    let from_environment = || {
        let value = std::env::var_os("UDASA_PLUGINS")?;
        (!value.is_empty()).then(|| PathBuf::from(value))
    };
    given.or_else(from_environment)
}
