//! Training that is killed wherever it happens to be: what goes on from a checkpoint ends with the bytes of an unbroken run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::compare::differences;
use crate::small::{self, lines};
use crate::support::{expect_success, scratch};
use crate::witness::{cut_before, stages, witnessed};

const NONE: [&str; 0] = [];
/// 32 pairs in batches of four, three stages: some 100 steps. A checkpoint every five steps is one every few milliseconds.
const LONGER: [&str; 6] = ["--set", "train.epochs=12", "--set", "train.save_steps=5", "--until", "train"];
const KILLS: u64 = 10;

/// A number below `n`, the same in every test run.
fn draw(state: &mut u64, n: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % n
}

fn steps(run: &Path) -> usize {
    fs::read(run.join("metrics.jsonl")).map_or(0, |bytes| bytes.iter().filter(|&&byte| byte == b'\n').count())
}

/// Whether the process ended by itself before the folder was as far as asked for.
fn ended_before(child: &mut Child, far: impl Fn() -> bool) -> bool {
    let patience = Instant::now() + Duration::from_secs(60);
    while !far() {
        if child.try_wait().expect("it can be asked").is_some() {
            return true;
        }
        assert!(Instant::now() < patience, "it does not get on");
        sleep(Duration::from_millis(1));
    }
    false
}

fn start(run: &Path, arguments: &[&str]) -> Child {
    small::command("run", run, arguments).stderr(Stdio::null()).spawn().expect("udasa starts")
}

/// Kills the run ten times, each time a drawn number of steps further and a drawn moment later, then lets it end.
fn kill_again_and_again(arguments: &[&str]) {
    let [unbroken, killed] = [small::copy(), small::copy()];
    expect_success(&mut small::run(unbroken.path(), arguments));
    let all = steps(unbroken.path()) as u64;
    assert!(all > 10 * KILLS, "{all} steps are too few to be killed among");
    fs::remove_file(killed.path().join("metrics.jsonl")).expect("the small run's");
    let mut state = 7;
    for kill in 0..KILLS {
        let until = (kill * all / KILLS + draw(&mut state, all / KILLS)) as usize;
        let mut child = start(killed.path(), arguments);
        assert!(!ended_before(&mut child, || steps(killed.path()) > until), "it ended before step {until} of {all}");
        sleep(Duration::from_micros(draw(&mut state, 20_000)));
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }
    let stderr = expect_success(&mut small::run(killed.path(), arguments));
    assert!(!stderr.contains("damaged"), "a kill damages nothing: {stderr}");
    // An adapter's config names the folder of the model it belongs to, and the two runs lie in different places.
    // What was asked of the model is counted for the process that asked.
    let mut differ = differences(unbroken.path(), killed.path());
    differ.retain(|name| !name.ends_with("adapter_config.json") && !name.ends_with("score-summary.json"));
    assert_eq!(differ, NONE);
}

#[test]
fn training_killed_ten_times_ends_with_the_bytes_of_an_unbroken_run() {
    kill_again_and_again(&LONGER);
}

#[test]
fn an_adapters_training_killed_ten_times_ends_with_the_bytes_of_an_unbroken_run() {
    let lora = ["--set", "train.lora.rank=2", "--set", "train.lora.alpha=4", "--set", "train.lora.dropout=0.1"];
    kill_again_and_again(&[&LONGER[..], &lora].concat());
}

#[test]
fn training_on_new_responses_killed_ten_times_ends_with_the_bytes_of_an_unbroken_run() {
    // Not every prompt makes a pair again, so there are fewer steps an epoch.
    let resampled = ["--set", "stage.settings.resample=true", "--set", "train.epochs=24"];
    kill_again_and_again(&[&LONGER[..], &resampled].concat());
}

/// A copy of the small run, killed in its training as soon as two checkpoints of a stage are there.
fn killed_with_two_checkpoints() -> (tempfile::TempDir, Vec<PathBuf>) {
    let run = small::copy();
    let folder = run.path().join("checkpoints");
    fs::remove_dir_all(&folder).expect("the small run's");
    let found = || {
        let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut files: Vec<PathBuf> =
            files.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect();
        files.sort();
        files
    };
    let mut child = start(run.path(), &LONGER);
    assert!(!ended_before(&mut child, || found().len() == 2), "it ended without two checkpoints");
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    // It may have got a little further, or into the next stage; two are kept in any case.
    let files = found();
    assert!(files.len() >= 2, "{files:?}");
    (run, files)
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_said_to_be() {
    let unbroken = small::copy();
    expect_success(&mut small::run(unbroken.path(), &LONGER));
    let damages: [fn(&mut Vec<u8>); 2] = [
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 16;
        },
    ];
    for damage in damages {
        let (run, files) = killed_with_two_checkpoints();
        let last = files.last().expect("two");
        let mut bytes = fs::read(last).expect("it is there");
        damage(&mut bytes);
        fs::write(last, bytes).expect("it can be written");
        let stderr = expect_success(&mut small::run(run.path(), &LONGER));
        let name = last.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(stderr.contains(&format!("the checkpoint {name} is damaged")), "{stderr}");
        assert_eq!(differences(unbroken.path(), run.path()), NONE);
    }
}

#[test]
fn a_damaged_stage_is_trained_again() {
    let run = small::copy();
    let run = run.path();
    let mut rooms = small::json(run, "rooms.json");
    rooms["train"]["complete"] = false.into();
    fs::write(run.join("rooms.json"), rooms.to_string()).expect("it can be written");
    let stage = small::json(run, "training.json")[1]["checkpoint"].as_str().expect("a name").to_owned();
    let file = run.join("checkpoints").join(&stage).join("model.safetensors");
    let mut bytes = fs::read(&file).expect("it is there");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).expect("it can be written");
    let stderr = expect_success(&mut small::run(run, &["--until", "train"]));
    assert!(stderr.contains(&format!("the checkpoint {stage} is damaged; going back")), "{stderr}");
    assert_eq!(differences(small::finished(), run), NONE);
}

#[test]
fn pre_training_that_is_killed_goes_on_from_its_checkpoint() {
    let longer = ["--set", "sft.steps=240", "--set", "sft.save_steps=20", "--until", "sft"];
    let [unbroken, killed] = [small::copy(), small::copy()];
    expect_success(&mut small::run(unbroken.path(), &longer));
    let folder = killed.path().join("initial/checkpoints");
    let mut child = start(killed.path(), &longer);
    assert!(!ended_before(&mut child, || folder.exists()), "it ended without a checkpoint");
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    expect_success(&mut small::run(killed.path(), &longer));
    assert_eq!(differences(unbroken.path(), killed.path()), NONE);
}

#[test]
fn training_that_passes_its_limit_goes_back_and_says_why() {
    let run = small::copy();
    let run = run.path();
    let arguments =
        ["--set", "train.epochs=20", "--set", "train.save_steps=5", "--set", "train.max_kl=0.02", "--until", "report"];
    let stderr = expect_success(&mut small::run(run, &arguments));
    assert!(stderr.contains("train.max_kl is 0.02"), "{stderr}");
    let stages = small::json(run, "training.json");
    let last = stages.as_array().and_then(|all| all.last()).expect("a stage").clone();
    let why = last["stopped"].as_str().expect("a reason");
    assert!(why.contains("nats a token from the initial model"), "{why}");
    let kept: u64 = stages.as_array().expect("a list").iter().filter_map(|stage| stage["steps"].as_u64()).sum();
    assert_eq!(steps(run) as u64, kept, "metrics hold the steps that the model holds");
    let report = fs::read_to_string(run.join("report.html")).expect("a report");
    assert!(report.contains("train.max_kl is 0.02"), "the report says so");
}

#[test]
fn what_a_refreshed_reference_said_is_kept_believed_and_made_again_where_it_is_gone() {
    let folder = small::copy();
    let run = folder.path();
    // The third stage compares with the policy as it was before the second, and with pairs that the second did not have.
    let arguments = ["--set", "stage.settings={ refresh = [true, true, false] }", "--until", "train"];
    expect_success(&mut witnessed(run, &arguments));
    let unbroken = scratch();
    small::copy_folder(run, unbroken.path());
    let first = |run: &Path| {
        let steps = lines(run, "metrics.jsonl");
        let step = steps.iter().find(|step| step["stage"] == "part-3").expect("a step");
        step["rewards/chosen"].as_f64().expect("a number")
    };
    let kept = small::json(run, "refreshed.json");
    let of = |stage: usize, place: usize| {
        stages(unbroken.path())[stage]["pairs"][place].as_u64().expect("an index") as usize
    };
    let known = |index: usize| kept["logps"][index].is_array();
    assert!(!known(of(0, 0)) && known(of(1, 0)) && known(of(2, 0)), "of the pairs that were asked about: {kept}");
    assert!(first(run).abs() > 1e-3, "the policy has moved from its reference");

    cut_before(run, 2);
    expect_success(&mut witnessed(run, &arguments));
    assert_eq!(differences(unbroken.path(), run), NONE);
    cut_before(run, 2);
    fs::remove_file(run.join("refreshed.json")).expect("it is there");
    expect_success(&mut witnessed(run, &arguments));
    let farthest = (first(run) - first(unbroken.path())).abs();
    // Asked of the pairs of one stage alone, which may be other last bits.
    assert!(farthest < 1e-4, "{farthest}");

    // A nat less than it said: the first of four rewards is β = 0.3 higher.
    cut_before(run, 2);
    let mut changed = kept.clone();
    let said = changed["logps"][of(2, 0)][0].as_f64().expect("a number");
    changed["logps"][of(2, 0)][0] = json!(said - 1.0);
    fs::write(run.join("refreshed.json"), changed.to_string()).expect("it can be written");
    expect_success(&mut witnessed(run, &arguments));
    let higher = first(run) - first(unbroken.path());
    assert!((higher - 0.3 / 4.0).abs() < 1e-4, "{higher}");
}
