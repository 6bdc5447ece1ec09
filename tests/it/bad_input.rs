//! What a user corrects and goes on from: each mistake is named, what was computed stays, and the corrected run keeps it.
//! Mistakes in configs are in `cli`, in data files in `data`, in model folders in `bad_model`, of plugins in `sandbox`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::compare::differences;
use crate::sandbox::bad_plugins;
use crate::small::{self, kept};
use crate::support::{expect_success, expect_user_error, plugins, repository, scratch, udasa, write};

const NONE: [&str; 0] = [];

fn with_plugins(run: &Path, directory: &Path) -> Command {
    small::with_plugins("run", run, directory)
}

#[test]
fn a_plugin_directory_that_cannot_be_used_costs_nothing_of_a_run() {
    let run = small::copy();
    let folder = scratch();
    let directory = folder.path().join("mine");
    fs::create_dir(&directory).expect("it can be made");
    let refused = |needles: &[&str]| {
        expect_user_error(&mut with_plugins(run.path(), &directory), needles);
    };
    refused(&["mine holds no plugins"]);

    small::copy_folder(&plugins(), &directory);
    write(&directory, "zz.wasm", b"no component");
    refused(&["zz.wasm is not WebAssembly"]);

    fs::copy(directory.join("value.wasm"), directory.join("zz.wasm")).expect("it can be copied");
    refused(&["two plugins are named `value`", "zz.wasm"]);

    fs::remove_file(directory.join("zz.wasm")).expect("it was there");
    fs::remove_file(directory.join("value.wasm")).expect("it was there");
    refused(&["value"]);

    fs::copy(plugins().join("value.wasm"), directory.join("renamed.wasm")).expect("it can be copied");
    let stderr = expect_success(&mut with_plugins(run.path(), &directory));
    assert_eq!(kept(&stderr).len(), 8, "a plugin's name is its own, not its file's: {stderr}");
    assert_eq!(differences(small::finished(), run.path()), NONE);
}

#[test]
fn after_a_scorer_failed_the_corrected_run_keeps_the_rooms_before() {
    let run = small::copy();
    let folder = scratch();
    small::copy_folder(&plugins(), folder.path());
    small::copy_folder(bad_plugins(), folder.path());
    for (sin, cause) in [
        ("panic", "panicked: no such token"),
        ("loop", "ran out of fuel (200,000,000 units"),
        ("nan", "gave response 0 the uncertainty NaN"),
    ] {
        let mut command = with_plugins(run.path(), folder.path());
        command.args(["--set", "scorer.0.plugin=bad", "--set", "limits.fuel=200000000", "--set"]);
        command.arg(format!("scorer.0.settings={{ sin = \"{sin}\" }}"));
        let frame = ["plugin `bad` 0.1.0 (", "`score` failed on prompt `", cause];
        let stderr = expect_user_error(&mut command, &frame);
        assert_eq!(kept(&stderr), ["world", "sft", "generate"]);
    }
    let stderr = expect_success(&mut small::run(run.path(), &[]));
    assert_eq!(kept(&stderr)[..3], ["world", "sft", "generate"]);
    // The answers to the other two scorers are there, so the model is not asked again.
    assert!(!stderr.contains("answered by the model"), "{stderr}");
    assert_eq!(differences(small::finished(), run.path()), ["score-summary.json"]);
}

#[test]
fn after_a_setting_without_a_single_pair_the_corrected_run_keeps_the_scores() {
    let run = small::copy();
    let needles = ["there are no pairs to train on", "small-gap", "lower `pair.min_gap`"];
    expect_user_error(&mut small::run(run.path(), &["--set", "pair.min_gap=1"]), &needles);
    let stderr = expect_success(&mut small::run(run.path(), &[]));
    // Nothing was trained meanwhile, and what is trained on is as it was.
    assert_eq!(kept(&stderr), ["world", "sft", "generate", "score", "train", "evaluate"]);
    assert_eq!(differences(small::finished(), run.path()), NONE);
}

#[test]
fn a_policy_that_is_not_there_is_named_with_the_nearest() {
    let run = small::copy();
    let set = ["--set", "stage.policy=tercile"];
    expect_user_error(&mut small::run(run.path(), &set), &["tercile", "terciles"]);
    let scorer = ["--set", "scorer.value.plugin=terciles"];
    expect_user_error(&mut small::run(run.path(), &scorer), &["terciles", "staging policy"]);
    assert_eq!(differences(small::finished(), run.path()), NONE);
}

#[test]
fn a_folder_that_no_run_made_is_left_alone() {
    let folder = scratch();
    write(folder.path(), "model/thesis.txt", "three years of work");
    let needles = ["is not empty and no run folder", "--out"];
    expect_user_error(&mut small::run(folder.path(), &[]), &needles);
    let left = fs::read_to_string(folder.path().join("model/thesis.txt"));
    assert_eq!(left.expect("it is still there"), "three years of work");
    let file = write(folder.path(), "file", "");
    expect_user_error(&mut small::run(&file, &[]), &["--out"]);
}

#[test]
fn a_record_changed_by_hand_is_named_by_line() {
    let run = small::copy();
    let file = run.path().join("responses.jsonl");
    let text = fs::read_to_string(&file).expect("it is there");
    fs::write(&file, text.replacen("\"text\":", "\"txet\":", 1)).expect("it can be written");
    let needles = ["responses.jsonl:1: not a record of this version", "`text`", "delete it"];
    expect_user_error(&mut small::run(run.path(), &["--from", "score"]), &needles);
    fs::remove_file(&file).expect("it was there");
    expect_success(&mut small::run(run.path(), &[]));
    let differ = differences(small::finished(), run.path());
    assert_eq!(differ, ["score-summary.json"], "the cure in the hint works");
}

#[test]
fn every_config_can_be_planned_from_any_folder_that_has_its_data() {
    let folder = scratch();
    let mut command = udasa();
    command.current_dir(folder.path()).arg("plan").arg(repository().join("configs/mini.toml"));
    command.arg("--plugins").arg(plugins());
    let output = command.output().expect("udasa starts");
    let plan = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for part in ["run folder  runs/mini", "512, 8 responses each", "terciles", "limits of a call: "] {
        assert!(plan.contains(part), "{part} in\n{plan}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0, "a plan touches nothing");
}
