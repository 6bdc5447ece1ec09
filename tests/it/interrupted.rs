//! Runs that are killed, and files that a power cut tore: the next run goes on and ends with the bytes of an unbroken one.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::compare::differences;
use crate::small::{self, did, lines};
use crate::support::{expect_success, expect_user_error, scratch};

const NONE: [&str; 0] = [];

/// Starts the small run and returns as soon as the folder is as far as asked for.
fn start(run: &Path, arguments: &[&str], far: impl Fn() -> bool) -> Child {
    let mut command = small::command("run", run, arguments);
    let mut child = command.stderr(Stdio::null()).spawn().expect("udasa starts");
    let patience = Instant::now() + Duration::from_secs(60);
    while !far() {
        let ended = child.try_wait().expect("it can be asked");
        assert!(ended.is_none() && Instant::now() < patience, "the run is not to be caught in the act: {ended:?}");
        sleep(Duration::from_millis(1));
    }
    child
}

/// SIGKILL.
fn kill(mut child: Child) {
    child.kill().expect("it still runs");
    let status = child.wait().expect("it ends");
    assert!(!status.success(), "it came to its end before it was killed");
}

fn count_lines(file: &Path) -> usize {
    fs::read(file).map_or(0, |bytes| bytes.iter().filter(|&&byte| byte == b'\n').count())
}

fn tear(file: &Path) {
    let bytes = fs::metadata(file).expect("it is there").len();
    OpenOptions::new().write(true).open(file).and_then(|file| file.set_len(bytes - 7)).expect("it can be cut");
}

fn keep_lines(file: &Path, n: usize) {
    let text = fs::read_to_string(file).expect("it is there");
    fs::write(file, text.split_inclusive('\n').take(n).collect::<String>()).expect("it can be written");
}

fn only_file(folder: &Path) -> PathBuf {
    let mut entries = fs::read_dir(folder).expect("it is there");
    let file = entries.next().expect("a file").expect("it can be read").path();
    assert!(entries.next().is_none(), "one model, one file");
    file
}

fn scorers(run: &Path) -> Vec<Value> {
    small::json(run, "score-summary.json")["scorers"].as_array().expect("a list").clone()
}

/// Takes the word of completion from a room, as if its process had died just before the end.
fn not_complete(run: &Path, room: &str) {
    let mut rooms = small::json(run, "rooms.json");
    rooms[room]["complete"] = json!(false);
    fs::write(run.join("rooms.json"), rooms.to_string()).expect("it can be written");
}

#[test]
fn a_run_killed_while_it_generates_goes_on_with_the_next_unit() {
    // Longer responses, one prompt at a time: about a second in which to be killed.
    let longer = ["--set", "generate.unit=1", "--set", "generate.responses=32", "--set", "generate.max_tokens=32"];
    let longer = [&longer[..], &["--until", "generate"]].concat();
    let [unbroken, killed] = [small::copy(), small::copy()];
    expect_success(&mut small::run(unbroken.path(), &longer));
    let file = killed.path().join("responses.jsonl");
    // The finished run's responses, one to four a prompt, are removed before the first new ones are written.
    let begun = || (2..40).contains(&count_lines(&file));
    kill(start(killed.path(), &longer, begun));
    let left = count_lines(&file);
    tear(&file);

    let stderr = expect_success(&mut small::run(killed.path(), &longer));
    let kept = did(&stderr, "generate");
    assert!(left < small::PROMPTS && kept.contains(&format!(", {} kept from before", left - 1)), "{left}; {kept}");
    let ours = fs::read(file).expect("it is there");
    assert!(ours == fs::read(unbroken.path().join("responses.jsonl")).expect("it is there"));
}

#[test]
fn a_run_killed_while_it_trains_goes_on_with_the_stage_it_was_in() {
    let longer = ["--set", "train.epochs=40"];
    let [unbroken, killed] = [small::copy(), small::copy()];
    expect_success(&mut small::run(unbroken.path(), &longer));
    let checkpoint = killed.path().join("checkpoints/0-conservative/model.safetensors");
    let metrics = killed.path().join("metrics.jsonl");
    // Into the second stage: more steps than the first one's 120.
    let in_second = || checkpoint.exists() && count_lines(&metrics) > 125;
    kill(start(killed.path(), &longer, in_second));
    // On a busy machine the signal may come a stage later.
    let done = small::json(killed.path(), "training.json").as_array().map_or(0, Vec::len);
    assert!((1..3).contains(&done), "{done} stages were done");

    let stderr = expect_success(&mut small::run(killed.path(), &longer));
    assert!(!stderr.contains("conservative:"), "the first stage is not trained again: {stderr}");
    assert!(did(&stderr, "train").contains("3 stages"), "{stderr}");
    assert_eq!(differences(unbroken.path(), killed.path()), NONE);
}

#[test]
fn a_torn_last_line_of_the_responses_is_sampled_again() {
    let run = small::copy();
    not_complete(run.path(), "generate");
    tear(&run.path().join("responses.jsonl"));
    let stderr = expect_success(&mut small::run(run.path(), &[]));
    // 47 whole lines are 5 whole units of 8.
    assert!(did(&stderr, "generate").contains(", 40 kept from before"), "{stderr}");
    assert_eq!(differences(small::finished(), run.path()), NONE);
}

#[test]
fn scoring_that_broke_off_goes_on_with_the_scores_and_the_answers_that_are_there() {
    let run = small::copy();
    let run = run.path();
    // As a process leaves it that was killed in the third scorer's second chunk of questions, while it wrote a line.
    not_complete(run, "score");
    keep_lines(&run.join("scores.jsonl"), 2 * small::PROMPTS + 1);
    tear(&run.join("scores.jsonl"));
    let asked: Vec<u64> = scorers(run).iter().map(|one| one["asked_model"].as_u64().expect("a count")).collect();
    let [0, second, third] = asked[..] else { panic!("{asked:?}") };
    assert!(third > 1024, "a scorer asks in chunks of 1024, and this one needs two");
    let answers = only_file(&run.join("answers"));
    keep_lines(&answers, usize::try_from(second + 1024).expect("it fits"));

    let stderr = expect_success(&mut small::run(run, &[]));
    let again = format!("{} questions answered by the model", third - 1024);
    assert!(stderr.contains(&again), "{stderr}");
    let kept: Vec<_> = scorers(run).iter().map(|one| one["kept"].as_u64()).collect();
    assert_eq!(kept, [Some(48), Some(48), Some(0)]);
    assert_eq!(differences(small::finished(), run), ["score-summary.json"]);
}

#[test]
fn a_torn_answer_is_given_again() {
    let run = small::copy();
    let run = run.path();
    fs::remove_file(run.join("scores.jsonl")).expect("it was there");
    let answers = only_file(&run.join("answers"));
    let whole = count_lines(&answers);
    tear(&answers);
    let stderr = expect_success(&mut small::run(run, &["--until", "score"]));
    assert!(stderr.contains(" 1 questions answered by the model"), "{stderr}");
    assert_eq!(count_lines(&answers), whole);
    // One question alone has a batch of another shape, and with it other last bits.
    let u = |run: &Path| -> Vec<f64> {
        let rows = lines(run, "uncertainty.jsonl");
        rows.iter().flat_map(|row| row["u"].as_array().expect("a list")).filter_map(Value::as_f64).collect()
    };
    let farthest = u(small::finished()).iter().zip(u(run)).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max);
    assert!(farthest < 1e-4, "{farthest}");
}

#[test]
fn a_second_process_waits_for_nothing_and_a_killed_one_leaves_the_folder_free() {
    let folder = scratch();
    let run = folder.path();
    let held = start(run, &["--set", "sft.steps=100000"], || run.join("world/corpus.jsonl").exists());
    let message = format!("in use by another udasa (process {})", held.id());
    expect_user_error(&mut small::run(run, &["--until", "world"]), &[&message, "--out"]);
    kill(held);
    expect_success(&mut small::run(run, &["--until", "world"]));
    assert_eq!(lines(run, "world/prompts.jsonl").len(), small::PROMPTS);
}
