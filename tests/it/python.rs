//! transformers and peft read what the pipeline wrote, and compute from it the numbers that the pipeline recorded; TRL trains on what is
//! exported; TensorBoard reads what is logged.
//!
//! Needs Python packages of 5 GB, so it tests only where `UDASA_TEST_TRANSFORMERS` says so: `1` installs
//! `tests/python/requirements.txt` into the per-user cache; anything else is the path of a Python that has them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::small;
use crate::support::{expect_success, repository, scratch, shared, skip, udasa, write};

/// A Python with transformers, peft, TRL, TensorBoard and torch.
fn python() -> Option<PathBuf> {
    match env::var_os("UDASA_TEST_TRANSFORMERS") {
        Some(value) if value == "1" => Some(installed()),
        Some(value) if !value.is_empty() => Some(value.into()),
        _ => {
            skip("UDASA_TEST_TRANSFORMERS is not set (1: installs transformers and torch, 5 GB, into the cache)");
            None
        }
    }
}

/// Makes the virtual environment unless it is there, whole; two tests ask for it at once, and one makes it.
fn installed() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(make).clone()
}

fn make() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("UDASA_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("udasa")))
        .or_else(|| Some(set("HOME")?.join(".cache/udasa")))
        .expect("UDASA_CACHE, XDG_CACHE_HOME or HOME is set");
    let requirements = repository().join("tests/python/requirements.txt");
    let pins = std::fs::read_to_string(&requirements).expect("the requirements are there");
    let version = |name: &str| pins.lines().find_map(|line| line.strip_prefix(name)).expect("it is pinned");
    let place = cache.join(format!("transformers-{}-trl-{}", version("transformers=="), version("trl==")));
    let done = place.join("done");
    if !done.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place));
        run(Command::new(place.join("bin/python")).args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements));
        std::fs::write(&done, "").expect("the cache can be written");
    }
    place.join("bin/python")
}

#[track_caller]
fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What a script says.
#[track_caller]
fn said_by(python: &Path, script: &str, arguments: &[&Path]) -> Value {
    let script = repository().join("tests/python").join(script);
    let said = run(Command::new(python).arg(script).args(arguments).env("OMP_NUM_THREADS", "1"));
    // TRL's progress goes to stdout too; the last line is ours.
    let last = said.trim_ascii_end().split(|&byte| byte == b'\n').next_back().expect("split gives at least one");
    serde_json::from_slice(last).expect("the script prints JSON")
}

/// What the script says of a run.
#[track_caller]
fn read_with(python: &Path, folder: &Path) -> Value {
    let said = said_by(python, "load_in_transformers.py", &[folder]);
    for whole in ["initial_wrong", "trained_wrong"] {
        assert_eq!(said[whole], Value::Array(vec![]), "missing or left-over tensors: {said}");
    }
    assert_eq!(said["same_prompt_ids"], true, "tokenizer and chat template: {said}");
    let number = |name: &str| said[name].as_f64().unwrap_or(f64::NAN);
    // Two f32 implementations on values of up to ten nats: about ten units in the last place.
    assert!(number("farthest_logprob") < 2e-5, "{said}");
    assert!((number("moved") - number("moved_recorded")).abs() < 2e-5, "{said}");
    assert!(number("moved").abs() > 1e-2, "training moved nothing, so that nothing was compared: {said}");
    // Random weights over 266 words would be at ln 266 = 5.6.
    assert!(number("nats_a_token") < 3.0, "{said}");
    for answer in ["greedy", "trained_greedy"] {
        assert!(said[answer].as_str().is_some_and(|text| !text.trim().is_empty()), "{said}");
    }
    said
}

#[test]
fn transformers_computes_the_recorded_numbers_from_the_saved_model() {
    let Some(python) = python() else { return };
    assert_eq!(read_with(&python, small::finished())["class"], "GraniteForCausalLM");
}

#[test]
fn peft_computes_the_recorded_numbers_from_the_saved_adapter() {
    let Some(python) = python() else { return };
    let run = small::copy();
    let sets = ["train.lora.rank=4", "train.lora.alpha=8", "train.learning_rate=1e-2", "train.epochs=4"];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    expect_success(&mut small::run(run.path(), &sets));
    read_with(&python, run.path());
}

/// TRL on an export of a run: it trains, from the loss that knows nothing, on every row.
#[track_caller]
fn trained_by_trl(python: &Path, model: &Path, run: &Path, format: &str) -> Value {
    let folder = scratch();
    let file = folder.path().join(format!("rows.{format}"));
    expect_success(udasa().arg("export").arg(run).args(["--format", format, "--out"]).arg(&file));
    let said = said_by(python, "train_with_trl.py", &[model, &file]);
    assert_eq!(said["rows"], small::lines(run, "pairs.jsonl").len(), "{said}");
    // TRL tokenizes the texts anew, in the folder's own template and tokenizer: the prompts are ours.
    assert_eq!(said["same_prompts"], said["rows"], "{said}");
    let losses: Vec<f64> = said["losses"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    assert!((losses[0] - std::f64::consts::LN_2).abs() < 1e-4 && losses.len() == 3 && losses[1] != losses[0], "{said}");
    said
}

#[test]
fn trl_trains_on_an_exported_run_of_dialogues_in_either_format() {
    let Some(python) = python() else { return };
    let run = small::finished();
    let [jsonl, parquet] =
        ["jsonl", "parquet"].map(|format| trained_by_trl(&python, &run.join("initial"), run, format));
    assert_eq!(jsonl, parquet);
    for column in ["stage", "gap", "u_value_chosen", "chosen_rating", "prompt_id", "chosen_token_ids"] {
        assert!(jsonl["columns"].as_array().is_some_and(|all| all.iter().any(|name| name == column)), "{jsonl}");
    }
}

#[test]
fn trl_trains_on_exported_texts_with_the_very_ids_that_we_train_on() {
    let Some(python) = python() else { return };
    let Some(oracles) = shared("oracles/dpo") else { return };
    let folder = scratch();
    let config = format!(
        "name = \"texts\"\n[model]\npath = '{0}/initial'\n[pairs]\nfrom = '{0}/data.jsonl'\n",
        oracles.display()
    );
    let config = write(folder.path(), "config.toml", config);
    let run = folder.path().join("run");
    expect_success(udasa().arg("pair").arg(config).arg("--out").arg(&run).env_remove("UDASA_PLUGINS"));
    for format in ["jsonl", "parquet"] {
        let said = trained_by_trl(&python, &oracles.join("initial"), &run, format);
        assert_eq!(said["same_ids"], 64, "{said}");
    }
}

#[test]
fn tensorboard_and_transformers_read_the_logs() {
    let Some(python) = python() else { return };
    let run = small::finished();
    let said = said_by(&python, "read_logs.py", &[run]);
    let steps = small::lines(run, "metrics.jsonl");
    // TensorBoard keeps 32 bits, and JSON is not read back to the last of 64 here.
    let number = |value: &Value| value.as_f64().map(|number| number as f32);
    let of_peer = |list: &Value| -> Vec<(Option<u64>, Option<f32>)> {
        list.as_array().expect("a list").iter().map(|one| (one[0].as_u64(), number(&one[1]))).collect()
    };
    let of_run = |name: &str| -> Vec<(Option<u64>, Option<f32>)> {
        steps.iter().map(|step| (step["step"].as_u64(), number(&step[name]))).collect()
    };
    for name in ["loss", "grad_norm", "learning_rate", "rewards/margins", "logps/rejected", "num_tokens", "nll_loss"] {
        assert_eq!(of_peer(&said["scalars"][format!("train/{name}")]), of_run(name), "{name}");
    }
    assert_eq!(of_peer(&said["loss"]), of_run("loss"));
    assert_eq!(said["global_step"].as_u64(), Some(steps.len() as u64));
}
