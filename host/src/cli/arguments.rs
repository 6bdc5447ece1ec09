//! What may be typed. Help texts are the doc comments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::model::ModelCommand;
use crate::export::ExportFormat;
use crate::run::{Options, Room};
use crate::sandbox::PluginKind;

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
    Score(ScoreArguments),
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
    /// Check that a run's files are what its rooms left, and its inputs what it was made of
    Verify {
        /// The run folder
        run: PathBuf,
    },
    /// Write a run's pairs as TRL's DPOTrainer, or another run, trains on them
    ///
    /// One row a pair, in the order of pairs.jsonl: prompt, chosen, rejected, and our columns (stage, ratings, gap, uncertainties, token
    /// ids). With --per-stage one file a stage, in the order in which it is trained.
    Export {
        /// The run folder
        run: PathBuf,
        /// How it is written
        #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
        format: ExportFormat,
        /// The file; JSONL goes to stdout where left out
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// One file a stage into this folder, such as 0-conservative.jsonl
        #[arg(long, value_name = "DIR", conflicts_with = "out")]
        per_stage: Option<PathBuf>,
    },
    /// Write, build, check, call and look at plugins
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
        /// `plugins`, `generate`, `train`: time the peer (lm-polygraph, transformers, TRL) now, in this Python that has it
        #[arg(long, value_name = "PYTHON")]
        peers: Option<PathBuf>,
        /// `generate`, `train`: the folder of the model folders `small` and `base`; `questions`: of `small`, and perhaps `embedder` and
        /// `nli`; `gpu`: of any
        #[arg(long, value_name = "DIR")]
        models: Option<PathBuf>,
        /// `generate`, `gpu`, `train`: measure only the cases whose names have this in them, such as `base f32`
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// One side's task, which runs in a process of its own
        #[arg(long, hide = true)]
        task: Option<String>,
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
    /// Start a plugin: a crate that builds, with a test that runs
    New {
        /// The plugin's name, and its crate's: a-z, 0-9 and -
        name: String,
        /// What it is
        #[arg(long, value_name = "KIND", default_value = "scorer")]
        kind: KindOfPlugin,
        /// The crate's folder; NAME where left out
        #[arg(long, value_name = "DIR")]
        path: Option<PathBuf>,
        /// The folder `plugin-sdk` of a checkout; found beside this program where left out
        #[arg(long, value_name = "DIR")]
        sdk: Option<PathBuf>,
    },
    /// Compile plugin crates to components, and check that the host would take them
    ///
    /// Needs a Rust compiler with the target wasm32-unknown-unknown. Where the one at hand lacks it, rustup adds it; where
    /// rustup cannot, Debian's compiler is unpacked into the cache, once. UDASA_WASM_FALLBACK=1 takes the last way at once.
    Build {
        /// Folders of plugin crates, or WebAssembly files that another language's compiler made
        #[arg(default_value = ".", value_name = "CRATE")]
        crates: Vec<PathBuf>,
        /// Where the .wasm files go
        #[arg(long, default_value = "plugins", value_name = "DIR")]
        out: PathBuf,
        /// Make shared libraries (.so) of this machine instead: for a profiler, or code that needs threads
        #[arg(long)]
        native: bool,
    },
    /// Check that a plugin keeps to the contract; exit code 1 where it does not
    ///
    /// A line for each: the contract's version, imports, the description, the settings and their schema, valid outputs for
    /// awkward samples or pairs, limits, purity, independence of order, fuel. No model runs: questions get made-up answers.
    Check {
        /// A .wasm component, or a directory of them
        path: PathBuf,
        /// Settings to check it with, a JSON object; {} where left out
        #[arg(long, value_name = "JSON")]
        settings: Option<String>,
        /// For scorers, further samples: JSONL like responses.jsonl
        #[arg(long, value_name = "FILE")]
        sample: Option<PathBuf>,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Call one function of a plugin: the result as JSON on stdout, fuel, memory and time on stderr
    Call {
        /// A .wasm component
        file: PathBuf,
        /// describe, check-settings, score (scorers) or next-stage (staging policies)
        function: String,
        /// JSON, @FILE, or - for stdin: a sample like a line of responses.jsonl, with its `rounds` of answers; or `pairs`,
        /// `seed` and `history`
        #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
        input: Option<String>,
        /// The settings, a JSON object; {} where left out
        #[arg(long, value_name = "JSON")]
        settings: Option<String>,
    },
    /// List the plugins of a directory
    List {
        /// The plugin directory; $UDASA_PLUGINS where left out
        #[arg(long, value_name = "DIR")]
        plugins: Option<PathBuf>,
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
        /// A Markdown page with every setting instead of a table
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
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

/// The kinds of plugin, as they are typed.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum KindOfPlugin {
    /// Gives every response an uncertainty
    Scorer,
    /// Divides the pairs into stages
    StagingPolicy,
}

impl From<KindOfPlugin> for PluginKind {
    fn from(kind: KindOfPlugin) -> Self {
        match kind {
            KindOfPlugin::Scorer => Self::Scorer,
            KindOfPlugin::StagingPolicy => Self::StagingPolicy,
        }
    }
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

#[derive(Debug, Args)]
pub(super) struct ScoreArguments {
    #[command(flatten)]
    pub(super) room: RoomArguments,
    /// Score again whenever a scorer or the config changes, and show what changed; for authors of scorers
    ///
    /// Watches the crates given, the config, the plugin directory, and the responses and answers. A changed crate is built into the
    /// plugin directory; the run's samples are scored with the answers that are there, and the changes shown: means, the largest
    /// changes, faults, pairs. Loads no model, and writes nothing but the plugins: `udasa score` without --watch records.
    #[arg(long, value_name = "CRATE", num_args = 0.., conflicts_with = "from")]
    pub(super) watch: Option<Vec<PathBuf>>,
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
