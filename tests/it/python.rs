//! transformers and peft read what the pipeline wrote, and compute from it the numbers that the pipeline recorded.
//!
//! Needs Python packages of 5 GB, so it tests only where `UDASA_TEST_TRANSFORMERS` says so: `1` installs
//! `tests/python/requirements.txt` into the per-user cache; anything else is the path of a Python that has them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::small;
use crate::support::{expect_success, repository, skip};

/// A Python with transformers, peft and torch.
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
    let version = pins.lines().find_map(|line| line.strip_prefix("transformers==")).expect("transformers is pinned");
    let place = cache.join(format!("transformers-{version}"));
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

/// What the script says of a run.
#[track_caller]
fn read_with(python: &Path, folder: &Path) -> Value {
    let script = repository().join("tests/python/load_in_transformers.py");
    let said = run(Command::new(python).arg(script).arg(folder).env("OMP_NUM_THREADS", "1"));
    let said: Value = serde_json::from_slice(&said).expect("the script prints JSON");
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
