//! What plugins used: in the records, over kept and resumed rooms, in the plan and in the report; and that a policy's
//! digest is recorded and can be pinned.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::small;
use crate::support::{expect_success, expect_user_error};

fn entries(run: &Path, room: &str) -> Vec<Value> {
    small::json(run, &format!("{room}-usage.json")).as_array().expect("a list").clone()
}

fn calls(run: &Path, room: &str) -> Vec<u64> {
    entries(run, room).iter().map(|entry| entry["calls"].as_u64().expect("a count")).collect()
}

#[test]
fn every_plugin_of_a_run_has_its_account() {
    let run = small::finished();
    let scorers = entries(run, "score");
    let names: Vec<&str> = scorers.iter().filter_map(|entry| entry["name"].as_str()).collect();
    assert_eq!(names, ["semantic", "factual", "value"], "in the config's order");
    let n = small::PROMPTS as u64;
    // One call a sample; one more where it asks.
    assert_eq!(calls(run, "score"), [n, 2 * n, 2 * n]);
    let summary = small::json(run, "score-summary.json");
    for (entry, scorer) in scorers.iter().zip(summary["scorers"].as_array().expect("a list")) {
        assert_eq!((&entry["questions"], &entry["asked_model"]), (&scorer["questions"], &scorer["asked_model"]));
        let number = |key: &str| entry[key].as_f64().expect("a number");
        assert!(number("most_fuel") > 0.0 && number("most_fuel") <= number("fuel"), "{entry}");
        assert!(number("peak_memory") >= 65536.0 && number("seconds") > 0.0, "{entry}");
        assert_eq!((&entry["traps"], &entry["faults"]), (&json!(0), &json!(0)));
        assert_eq!((&entry["kind"], &entry["contract"]), (&json!("scorer"), &json!("0.1.0")));
    }
    // Three stages, and a fourth call that ends the plan.
    assert_eq!((calls(run, "stage"), calls(run, "train")), (vec![4], vec![4]));
    let record = fs::read_to_string(run.join("run.toml")).expect("run.toml is there");
    for entry in scorers.iter().chain(&entries(run, "stage")) {
        assert!(record.contains(entry["sha256"].as_str().expect("hex")), "{entry} is not in run.toml");
    }
}

#[test]
fn a_kept_scorer_keeps_its_account_and_a_room_that_goes_on_adds_to_it_once() {
    let run = small::copy();
    let run = run.path();
    let before = entries(run, "score");
    let weight = ["--until", "score", "--set", "scorer.value.weight=2"];
    expect_success(&mut small::run(run, &weight));
    assert_eq!(entries(run, "score"), before, "no scorer was called");

    // As a process leaves it that was killed in the middle of the third scorer.
    let n = small::PROMPTS;
    let mut rooms = small::json(run, "rooms.json");
    rooms["score"]["complete"] = json!(false);
    fs::write(run.join("rooms.json"), rooms.to_string()).expect("it can be written");
    let text = fs::read_to_string(run.join("scores.jsonl")).expect("it is there");
    let kept: String = text.split_inclusive('\n').take(2 * n + 10).collect();
    fs::write(run.join("scores.jsonl"), kept).expect("it can be written");
    let mut cut = before.clone();
    cut[2]["calls"] = json!(20);
    fs::write(run.join("score-usage.json"), Value::Array(cut).to_string()).expect("it can be written");
    expect_success(&mut small::run(run, &weight));
    let n = n as u64;
    assert_eq!(calls(run, "score"), [n, 2 * n, 2 * n]);

    // Asked for anew, it is counted anew.
    expect_success(&mut small::run(run, &["--until", "score", "--from", "score"]));
    assert_eq!(calls(run, "score"), [n, 2 * n, 2 * n]);
    expect_success(&mut small::run(run, &["--until", "score", "--set", "scorer.semantic.settings.similarity=rouge-l"]));
    assert_ne!(entries(run, "score")[0]["fuel"], before[0]["fuel"], "another key is another account");
    assert_eq!(calls(run, "score"), [n, 2 * n, 2 * n]);
}

#[test]
fn report_and_plan_show_it() {
    let run = small::finished();
    let page = fs::read_to_string(run.join("report.html")).expect("it is there");
    let section = page.split("id=\"plugins\"").nth(1).expect("the section is there");
    let section = section.split("</section>").next().unwrap_or_default();
    for needle in ["semantic", "terciles", "staging policy", "under 1\u{a0}%", "A call may use 10.0\u{a0}G"] {
        assert!(section.contains(needle), "`{needle}` in {section}");
    }
    let output = small::command("plan", run, &[]).output().expect("udasa starts");
    let plan = String::from_utf8_lossy(&output.stdout);
    assert!(plan.contains("contract 0.1.0  sha256 "), "{plan}");
    assert!(plan.contains("  semantic so far: 48 calls in score, at most under 1 % of the fuel"), "{plan}");
}

#[test]
fn a_policys_digest_can_be_pinned() {
    let run = small::finished();
    let policy = entries(run, "stage")[0]["sha256"].as_str().expect("hex").to_owned();
    let pin = |digest: &str| format!("stage.sha256=\"{digest}\"");
    let right = small::command("plan", run, &["--set", &pin(&policy)]).output().expect("udasa starts");
    assert!(right.status.success(), "{right:?}");
    let wrong = pin(&"0".repeat(64));
    let needles = ["plugin `terciles`", "is not the one that the config pins", &format!("sha256 = \"{policy}\"")];
    expect_user_error(&mut small::command("plan", run, &["--set", &wrong]), &needles);
}
