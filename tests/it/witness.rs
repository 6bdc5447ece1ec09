//! The fixture `witness`, a staging policy whose reasons are what it was told, and runs that were broken off between two stages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::small;
use crate::support::{plugins, repository, udasa};

/// The shipped scorers and the fixture, built once.
fn witnesses() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let out = repository().join("target/test-plugins/witness");
        let built = udasa()
            .args(["plugin", "build"])
            .arg(repository().join("tests/fixtures/witness"))
            .arg("--out")
            .arg(&out)
            .output()
            .expect("udasa starts");
        assert!(built.status.success(), "{built:?}");
        for scorer in ["semantic.wasm", "factual.wasm", "value.wasm"] {
            fs::copy(plugins().join(scorer), out.join(scorer)).expect("it can be copied");
        }
        out
    })
}

/// The small run, staged by the witness.
pub fn witnessed(run: &Path, arguments: &[&str]) -> Command {
    let mut command = small::with_plugins("run", run, witnesses());
    // The settings are another policy's.
    command.args(["--set", "stage.policy=witness", "--set", "stage.settings={}"]).args(arguments);
    command
}

/// The stages that a run trained.
pub fn stages(run: &Path) -> Vec<Value> {
    small::json(run, "training.json").as_array().expect("a list").clone()
}

/// As a process leaves it that died before this stage.
pub fn cut_before(run: &Path, stage: usize) {
    let mut rooms = small::json(run, "rooms.json");
    rooms["train"]["complete"] = false.into();
    fs::write(run.join("rooms.json"), rooms.to_string()).expect("it can be written");
    let done = stages(run);
    for gone in &done[stage..] {
        fs::remove_dir_all(run.join("checkpoints").join(gone["checkpoint"].as_str().expect("a name")))
            .expect("it is there");
    }
    let done = serde_json::to_string_pretty(&done[..stage]).expect("JSON");
    fs::write(run.join("training.json"), done).expect("it can be written");
    fs::remove_dir_all(run.join("model")).expect("it is there");
}
