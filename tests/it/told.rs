//! `evaluate.tell_policy`: what is measured after every stage, who hears of it, and that it is measured once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::compare::differences;
use crate::small;
use crate::support::{expect_success, expect_user_error, plugins, repository, udasa, write};

const NONE: [&str; 0] = [];
const TOLD: [&str; 2] = ["--set", "evaluate.tell_policy=true"];

/// The shipped scorers and the fixture `witness`, whose reasons are what it was told.
pub fn witnesses() -> &'static Path {
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

fn stages(run: &Path) -> Vec<Value> {
    small::json(run, "training.json").as_array().expect("a list").clone()
}

#[test]
fn a_policy_is_told_the_headline_measures_that_the_evaluation_gives_of_the_same_model() {
    let [told, untold] = [small::copy(), small::copy()];
    let stderr = expect_success(&mut witnessed(told.path(), &TOLD));
    expect_success(&mut witnessed(untold.path(), &["--set", "evaluate.every_stage=true"]));
    let evaluation = small::json(told.path(), "eval.json");
    assert_eq!(evaluation, small::json(untold.path(), "eval.json"), "the same random numbers, the same measures");

    let points = evaluation["points"].as_array().expect("a list");
    let trained = stages(told.path());
    assert_eq!((points.len(), trained.len()), (4, 3));
    for (number, stage) in trained.iter().enumerate() {
        let point = &points[number + 1];
        assert_eq!(point["at"], format!("after part-{}", number + 1));
        let measures = point["measures"].as_object().expect("measures").iter();
        let headline: Vec<(&String, &Value)> = measures.filter(|(_, measure)| measure["headline"] == true).collect();
        assert!(headline.len() > 3 && headline.len() < point["measures"].as_object().expect("measures").len());
        let stored = stage["outcome"]["evaluation"].as_object().expect("measures");
        assert_eq!(stored.len(), headline.len());
        let mut said = "told".to_owned();
        for (name, measure) in headline {
            assert_eq!(stored[name], measure["value"], "{name}");
            said += &format!(" {name}={}", measure["value"].as_f64().expect("a number"));
        }
        if let Some(next) = trained.get(number + 1) {
            assert_eq!(next["reason"], said);
        }
        assert!(stderr.contains(&format!("after part-{}: ", number + 1)), "{stderr}");
    }
    assert_ne!(points[1]["measures"], points[2]["measures"], "another model is measured after every stage");

    for stage in stages(untold.path()) {
        assert_eq!((&stage["outcome"]["evaluation"], &stage["evaluated"]), (&json!({}), &Value::Null));
        assert!(["the first", "told "].contains(&stage["reason"].as_str().expect("a reason")), "{stage}");
    }
    let report = |run: &Path| fs::read_to_string(run.join("report.html")).expect("a report");
    let table = |report: &str| {
        let after = report.split("What each stage did").nth(1).expect("the section").to_owned();
        after.split("</table>").next().expect("its table").to_owned()
    };
    let value = trained[0]["outcome"]["evaluation"]["harmless"].as_f64().expect("a number");
    let told = table(&report(told.path()));
    assert!(told.contains("harmless") && told.contains(&format!("{value:.2}")), "{told}");
    assert!(!table(&report(untold.path())).contains("harmless"));
}

#[test]
fn a_resumed_run_measures_no_finished_stage_again() {
    let [unbroken, resumed] = [small::copy(), small::copy()];
    expect_success(&mut witnessed(unbroken.path(), &TOLD));
    small::copy_folder(unbroken.path(), resumed.path());
    let run = resumed.path();
    // As a process leaves it that died after its second stage.
    let mut rooms = small::json(run, "rooms.json");
    rooms["train"]["complete"] = false.into();
    fs::write(run.join("rooms.json"), rooms.to_string()).expect("it can be written");
    let two = serde_json::to_string_pretty(&stages(run)[..2]).expect("JSON");
    fs::write(run.join("training.json"), two).expect("it can be written");
    fs::remove_dir_all(run.join("model")).expect("it is there");
    fs::remove_dir_all(run.join("checkpoints/2-part-3")).expect("it is there");

    let stderr = expect_success(&mut witnessed(run, &TOLD));
    assert!(!stderr.contains("after part-1: ") && !stderr.contains("after part-2: "), "{stderr}");
    assert!(stderr.contains("after part-3: "), "{stderr}");
    assert_eq!(differences(unbroken.path(), run), NONE);
}

#[test]
fn an_adapter_is_measured_as_it_is_after_its_stage() {
    let lora = ["--set", "train.lora.rank=4", "--set", "train.lora.alpha=8", "--set", "train.learning_rate=1e-2"];
    let [told, untold] = [small::copy(), small::copy()];
    expect_success(&mut witnessed(told.path(), &[&TOLD[..], &lora].concat()));
    expect_success(&mut witnessed(untold.path(), &[&["--set", "evaluate.every_stage=true"][..], &lora].concat()));
    assert_eq!(small::json(told.path(), "eval.json"), small::json(untold.path(), "eval.json"));
}

#[test]
fn without_a_staging_policy_there_is_nobody_to_tell() {
    let run = small::copy();
    let rows = run.path().join("rows.jsonl");
    expect_success(udasa().arg("export").arg(small::finished()).arg("--out").arg(&rows));
    let model = small::finished().join("initial");
    let config = format!(
        "name = \"x\"\n[model]\npath = {model:?}\n[pairs]\nfrom = {rows:?}\n[evaluate]\npatterns = {:?}\ntell_policy = true\n",
        small::finished().join("world/evaluation.jsonl")
    );
    let config = write(run.path(), "config.toml", config);
    let needles = ["evaluate.tell_policy", "there is no staging policy to tell", "evaluate.every_stage"];
    expect_user_error(udasa().arg("run").arg(config).arg("--out").arg(run.path().join("run")), &needles);
}
