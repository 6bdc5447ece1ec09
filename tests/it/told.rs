//! `evaluate.tell_policy`: what is measured after every stage, who hears of it, and that it is measured once.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::compare::differences;
use crate::small::{self, lines};
use crate::support::{expect_success, expect_user_error, scratch, udasa, write};
use crate::witness::{cut_before, stages, witnessed};

const NONE: [&str; 0] = [];
const TELL: &str = "evaluate.tell_policy=true";
const SHOW: &str = "evaluate.every_stage=true";

/// A run staged by the witness over an evaluation set of which a model that has learnt next to nothing gets a part right: is there an `e` in it, an `o`?
fn measured(run: &Path, set: &str, arguments: &[&str]) -> String {
    let prompts = lines(small::finished(), "world/prompts.jsonl");
    let item = |prompt: &Value, letter: &str| {
        json!({"prompt": prompt["prompt"], "measures": [letter], "good": [letter]}).to_string()
    };
    let mut file = vec![json!({"headline": ["both", "e"], "averages": {"both": ["e", "o"]}}).to_string()];
    file.extend(prompts.iter().flat_map(|prompt| [item(prompt, "e"), item(prompt, "o")]));
    // Written once: `digests.json` remembers when a file was changed.
    let path = run.join("letters.jsonl");
    if !path.exists() {
        write(run, "letters.jsonl", file.join("\n"));
    }
    let patterns = format!("evaluate.patterns={path:?}");
    let sets = ["--set", &patterns, "--set", "evaluate.gates={}", "--set", set];
    expect_success(&mut witnessed(run, &[&sets[..], arguments].concat()))
}

#[test]
fn a_policy_is_told_the_headline_measures_that_the_evaluation_gives_of_the_same_model() {
    let [told, untold] = [small::copy(), small::copy()];
    let stderr = measured(told.path(), TELL, &[]);
    measured(untold.path(), SHOW, &[]);
    let evaluation = small::json(told.path(), "eval.json");
    assert_eq!(evaluation, small::json(untold.path(), "eval.json"), "the same random numbers, the same measures");

    let points = evaluation["points"].as_array().expect("a list");
    let trained = stages(told.path());
    assert_eq!((points.len(), trained.len()), (4, 3));
    let mut seen = Vec::new();
    for (number, stage) in trained.iter().enumerate() {
        let at = format!("after part-{}", number + 1);
        let point = &points[number + 1];
        assert_eq!((&point["at"], &stage["evaluated"]), (&json!(at), point));
        let [both, e] = ["both", "e"].map(|name| point["measures"][name]["value"].as_f64().expect("a number"));
        assert!(e > 0.0 && e < 1.0, "{e}: a part is right");
        assert_eq!(stage["outcome"]["evaluation"], json!({"both": both, "e": e}), "the headline and nothing else");
        if let Some(next) = trained.get(number + 1) {
            assert_eq!(next["reason"], format!("told both={both} e={e}"));
        }
        assert!(stderr.contains(&format!("{at}: both {both:.2}, e {e:.2}")), "{stderr}");
        seen.push(format!("{e:.2}"));
    }
    assert_ne!(points[1]["measures"], points[2]["measures"], "another model is measured after every stage");

    for stage in stages(untold.path()) {
        assert_eq!((&stage["outcome"]["evaluation"], &stage["evaluated"]), (&json!({}), &Value::Null));
        assert!(["the first", "told "].contains(&stage["reason"].as_str().expect("a reason")), "{stage}");
    }
    let columns_and_cells = |run: &Path| {
        let report = fs::read_to_string(run.join("report.html")).expect("a report");
        let after = report.split("What each stage did").nth(1).expect("the section");
        let table = after.split("</table>").next().expect("its table").to_owned();
        (table.matches(">both<").count(), seen.iter().filter(|e| table.contains(&format!(">{e}<"))).count())
    };
    assert_eq!(columns_and_cells(told.path()), (1, 3));
    assert_eq!(columns_and_cells(untold.path()).0, 0);
}

#[test]
fn a_resumed_run_measures_no_finished_stage_again() {
    let run = small::copy();
    let run = run.path();
    measured(run, TELL, &[]);
    let unbroken = scratch();
    small::copy_folder(run, unbroken.path());
    cut_before(run, 2);
    let stderr = measured(run, TELL, &[]);
    assert!(!stderr.contains("after part-1: ") && !stderr.contains("after part-2: "), "{stderr}");
    assert!(stderr.contains("after part-3: "), "{stderr}");
    assert_eq!(differences(unbroken.path(), run), NONE);
}

#[test]
fn an_adapter_is_measured_as_it_is_after_its_stage() {
    let lora = ["--set", "train.lora.rank=4", "--set", "train.lora.alpha=8", "--set", "train.learning_rate=1e-2"];
    let [told, untold] = [small::copy(), small::copy()];
    measured(told.path(), TELL, &lora);
    measured(untold.path(), SHOW, &lora);
    let evaluation = small::json(told.path(), "eval.json");
    assert_eq!(evaluation, small::json(untold.path(), "eval.json"));
    let kl = |point: usize| evaluation["points"][point]["measures"]["kl"]["value"].as_f64().expect("a number");
    assert!(kl(0).abs() < 1e-4 && kl(3).abs() > 0.1, "{} before, {} after", kl(0), kl(3));
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
