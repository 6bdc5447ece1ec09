//! What runs again when something changes, and what does not.

use std::fs;

use crate::compare::{bytes, differences};
use crate::small::{self, did, json, kept, lines};
use crate::support::{expect_success, scratch};

const NONE: [&str; 0] = [];
const ALL: [&str; 8] = ["world", "sft", "generate", "score", "pair", "stage", "train", "evaluate"];

#[test]
fn a_second_run_keeps_every_room_and_changes_no_byte() {
    let run = small::copy();
    let before = bytes(run.path());
    let stderr = expect_success(&mut small::run(run.path(), &[]));
    assert_eq!(kept(&stderr), ALL);
    let after = bytes(run.path());
    let changed = before.iter().zip(&after).find(|(before, after)| before != after);
    assert!(before.len() == after.len() && changed.is_none(), "{:?}", changed.map(|(before, _)| &before.0));
}

#[test]
fn a_changed_loss_trains_and_measures_again_and_back_again_gives_the_old_bytes() {
    let run = small::copy();
    let changed = expect_success(&mut small::run(run.path(), &["--set", "train.beta=0.5"]));
    assert_eq!(kept(&changed), ALL[..6]);
    let differ = differences(small::finished(), run.path());
    for file in ["metrics.jsonl", "model/model.safetensors", "run.toml"] {
        assert!(differ.iter().any(|name| name == file), "{file} is the same; {differ:?} differ");
    }
    for file in ["responses.jsonl", "scores.jsonl", "pairs.jsonl", "stages.jsonl"] {
        assert!(!differ.iter().any(|name| name == file), "{file} changed");
    }
    expect_success(&mut small::run(run.path(), &[]));
    assert_eq!(differences(small::finished(), run.path()), NONE);
}

#[test]
fn the_controls_are_one_set_away() {
    let run = small::copy();
    let unstaged = expect_success(&mut small::run(run.path(), &["--set", "stage.policy=unstaged"]));
    assert_eq!(kept(&unstaged), ALL[..5]);
    let pairs = lines(run.path(), "pairs.jsonl").len();
    assert_eq!(json(run.path(), "training.json").as_array().map(Vec::len), Some(1));
    let order = |run| lines(run, "stages.jsonl").into_iter().map(|row| row["pair_id"].clone()).collect::<Vec<_>>();
    let shuffled = order(run.path());
    assert_eq!(shuffled.len(), pairs);
    assert_eq!(fs::read_dir(run.path().join("checkpoints")).expect("it is there").count(), 1, "no stale checkpoint");

    let random = expect_success(&mut small::run(run.path(), &["--set", "stage.policy=random-stages"]));
    assert_eq!(kept(&random), ALL[..5]);
    assert_eq!(json(run.path(), "training.json").as_array().map(Vec::len), Some(3));
    let sizes =
        |run| [0, 1, 2].map(|stage| lines(run, "stages.jsonl").iter().filter(|row| row["stage"] == stage).count());
    assert_eq!(sizes(run.path()), sizes(small::finished()), "stages as large as those they are a control of");
    assert_ne!(order(run.path()), shuffled);
    assert_ne!(order(run.path()), order(small::finished()));
}

#[test]
fn rooms_run_again_from_one_to_another_without_asking_the_model_twice() {
    let run = small::copy();
    let stderr = expect_success(&mut small::run(run.path(), &["--from", "score", "--until", "pair"]));
    assert_eq!(kept(&stderr), ALL[..3]);
    assert!(did(&stderr, "pair").contains("pairs of"), "{stderr}");
    assert!(!stderr.contains("answered by the model"), "{stderr}");
    let rooms = json(run.path(), "rooms.json");
    assert!(rooms["pair"]["complete"] == true && rooms["stage"].is_null(), "what followed is forgotten: {rooms}");

    let stderr = expect_success(&mut small::run(run.path(), &[]));
    assert_eq!(kept(&stderr), ALL[..5]);
    // Who answered is counted, and this time it was the cache.
    assert_eq!(differences(small::finished(), run.path()), ["score-summary.json"]);
}

#[test]
fn a_room_of_its_own_command_does_what_the_run_does_up_to_it() {
    let folder = scratch();
    let mut pair = small::command("pair", folder.path(), &[]);
    let output = pair.output().expect("udasa starts");
    assert!(output.status.success(), "{output:?}");
    assert!(!folder.path().join("stages.jsonl").exists());
    for file in ["responses.jsonl", "scores.jsonl", "pairs.jsonl"] {
        let [one, other] = [small::finished(), folder.path()].map(|run| fs::read(run.join(file)).expect("it is there"));
        assert!(one == other, "{file}");
    }
    let output = small::command("report", folder.path(), &[]).output().expect("udasa starts");
    assert!(output.status.success(), "a report of what there is: {output:?}");
    assert!(folder.path().join("report.html").is_file());
}

#[test]
fn an_output_that_somebody_deleted_is_made_again() {
    let run = small::copy();
    fs::remove_file(run.path().join("pairs.jsonl")).expect("it was there");
    fs::remove_dir_all(run.path().join("model")).expect("it was there");
    let stderr = expect_success(&mut small::run(run.path(), &[]));
    assert_eq!(kept(&stderr), ["world", "sft", "generate", "score", "stage", "evaluate"]);
    assert_eq!(differences(small::finished(), run.path()), NONE);
}
