//! A run of `configs/mini.toml` so small that it takes seconds: the same rooms, the same plugins, a model that has
//! learnt next to nothing. Made once per test run; tests work on copies of its folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{expect_success, plugins, repository, scratch, udasa};

/// Prompts of the small run.
pub const PROMPTS: usize = 48;
/// Responses to each.
pub const RESPONSES: usize = 4;

/// What makes the demo small. The rest of its config stays as it is shipped.
const SMALLER: [&str; 12] = [
    "world.documents=2000",
    "world.prompts=48",
    "sft.steps=80",
    "sft.model.hidden=32",
    "sft.model.layers=2",
    "sft.model.heads=2",
    "sft.model.feed_forward=64",
    "generate.responses=4",
    "generate.max_tokens=12",
    "generate.unit=8",
    "train.batch=4",
    "evaluate.responses=1",
];

/// The small run into a folder, with further arguments of `udasa run`.
pub fn run(folder: &Path, arguments: &[&str]) -> Command {
    command("run", folder, arguments)
}

/// Any command that takes a config, on the small run's.
pub fn command(subcommand: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = udasa();
    command.arg(subcommand).arg(repository().join("configs/mini.toml"));
    command.arg("--plugins").arg(plugins()).arg("--out").arg(folder);
    for set in SMALLER {
        command.args(["--set", set]);
    }
    command.args(arguments);
    command
}

/// The same with another plugin directory.
pub fn with_plugins(subcommand: &str, folder: &Path, directory: &Path) -> Command {
    // The first --plugins would be refused beside a second one, so the command is made from its arguments.
    let usual = command(subcommand, folder, &[]);
    let mut other = udasa();
    let mut skipped = false;
    for argument in usual.get_args() {
        match argument == "--plugins" {
            true => skipped = true,
            false if skipped => skipped = false,
            false => _ = other.arg(argument),
        }
    }
    other.arg("--plugins").arg(directory);
    other
}

/// The finished small run. Not to be changed: [`copy`] it.
pub fn finished() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // A static is never dropped, so this folder has a fixed place and is emptied at the start instead.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("small-run");
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("an earlier test run's folder can be removed");
        }
        expect_success(&mut run(&folder, &[]));
        folder
    })
}

/// A copy of the finished small run.
pub fn copy() -> TempDir {
    let folder = scratch();
    copy_folder(finished(), folder.path());
    folder
}

/// Copies a folder's content into another.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, target).expect("the file can be copied");
        }
    }
}

/// A run folder's JSONL file.
#[track_caller]
pub fn lines(run: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(run.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}"))).collect()
}

/// A run folder's JSON file.
#[track_caller]
pub fn json(run: &Path, name: &str) -> Value {
    let text = fs::read_to_string(run.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The last line that a run said of a room.
#[track_caller]
pub fn did(stderr: &str, room: &str) -> String {
    let of_room = |line: &&str| line.split_whitespace().next() == Some(room);
    stderr.lines().rfind(of_room).unwrap_or_else(|| panic!("no line of {room} in:\n{stderr}")).to_owned()
}

/// Rooms that were kept, by what a run said.
pub fn kept(stderr: &str) -> Vec<&str> {
    let kept = stderr.lines().filter_map(|line| line.strip_suffix("unchanged, kept"));
    kept.map(str::trim).collect()
}
