//! `configs/reviews.toml` on the real reviews, made small: the same files, the same rooms.

use std::path::Path;
use std::process;

use crate::small::{json, lines};
use crate::support::{expect_success, plugins, repository, scratch, shared_data, skip, udasa};

/// What makes it small: a model that has learnt next to nothing, a few prompts.
const SMALLER: [&str; 11] = [
    "sft.steps=120",
    "sft.model.hidden=32",
    "sft.model.layers=1",
    "sft.model.heads=2",
    "sft.model.feed_forward=64",
    "sft.tokenizer.vocabulary=600",
    "data.limit=64",
    "generate.max_tokens=16",
    "pair.drop_truncated=false",
    "evaluate.responses=1",
    "evaluate.classifier.prompts.limit=100",
];

/// Unpacks a zip as the config's header says. False where that cannot be done here.
fn unpack(zip: &Path, folder: &Path) -> bool {
    let python = process::Command::new("python3").args(["-m", "zipfile", "-e"]).arg(zip).arg(folder).status();
    let done = python.as_ref().is_ok_and(process::ExitStatus::success);
    if !done {
        skip(&format!("python3 cannot unpack {}: {python:?}", zip.display()));
    }
    done
}

#[test]
fn the_reviews_config_runs_on_the_real_reviews() {
    let Some(data) = shared_data("nltk") else { return };
    let folder = scratch();
    let unpacked = folder.path().join("data/nltk");
    for name in ["sentence_polarity.zip", "movie_reviews.zip"] {
        if !unpack(&data.join(name), &unpacked) {
            return;
        }
    }
    let run = folder.path().join("run");
    let mut command = udasa();
    command.current_dir(folder.path()).arg("run").arg(repository().join("configs/reviews.toml"));
    command.arg("--plugins").arg(plugins()).arg("--out").arg(&run);
    for set in SMALLER {
        command.args(["--set", set]);
    }
    let stderr = expect_success(&mut command);
    assert!(stderr.contains("64 prompts"), "{stderr}");

    for prompt in lines(&run, "prompts.jsonl") {
        let words = prompt["prompt"].as_str().expect("a text").split_whitespace().count();
        assert!((2..=8).contains(&words), "{prompt}");
    }
    assert!(!lines(&run, "pairs.jsonl").is_empty());
    assert_eq!(json(&run, "training.json").as_array().map(Vec::len), Some(3));
    let evaluation = json(&run, "eval.json");
    let before = |measure: &str| evaluation["points"][0]["measures"][measure]["value"].as_f64().expect("a number");
    let after = |measure: &str| evaluation["points"][1]["measures"][measure]["value"].as_f64().expect("a number");
    // Trained on whole reviews, checked on sentences: better than counting words of a lexicon, which gets 0.65 to 0.70.
    assert!((0.70..0.85).contains(&before("positive/accuracy")), "{}", before("positive/accuracy"));
    assert!(before("positive/check") > before("positive/check-other") + 0.1);
    assert!((0.2..0.8).contains(&before("positive")), "{}", before("positive"));
    // The initial model's distance to itself is rounding; the trained one's is not.
    assert!(before("kl").abs() < 1e-4 && after("kl").abs() > 1e-3, "{} {}", before("kl"), after("kl"));
}
