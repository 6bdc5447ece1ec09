//! `udasa run` on the demo's config made small: what a run folder holds, and that it does not depend on where or when.

use std::fs;

use serde_json::Value;

use crate::compare::differences;
use crate::small::{self, PROMPTS, RESPONSES, json, lines};
use crate::support::{expect_success, expect_user_error, scratch, udasa};
use crate::tensors::Tensors;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

fn sum(rows: &[Value], key: &str) -> usize {
    rows.iter().map(|row| usize::try_from(row[key].as_u64().expect("a count")).expect("it fits")).sum()
}

#[test]
fn a_run_leaves_every_record_that_the_design_names() {
    let run = small::finished();
    let responses = lines(run, "responses.jsonl");
    assert_eq!(responses.len(), PROMPTS);
    for response in responses.iter().flat_map(|sample| sample["responses"].as_array().expect("a list")) {
        let tokens = response["token_ids"].as_array().expect("a list").len();
        assert!(tokens > 0 && tokens <= 12, "{response}");
        for per_token in ["logprobs", "entropies"] {
            assert_eq!(response[per_token].as_array().expect("a list").len(), tokens, "{response}");
        }
    }
    assert!(responses.iter().all(|sample| sample["responses"].as_array().expect("a list").len() == RESPONSES));

    let scores = lines(run, "scores.jsonl");
    assert_eq!(scores.len(), 3 * PROMPTS);
    for score in scores.iter().flat_map(|line| line["scores"].as_array().expect("a list")) {
        let u = number(&score["uncertainty"]);
        assert!((0.0..=1.0).contains(&u), "{score}");
    }
    let uncertainty = lines(run, "uncertainty.jsonl");
    assert_eq!(uncertainty.len(), PROMPTS);
    assert!(uncertainty.iter().all(|row| row["dimensions"].as_object().is_some_and(|all| all.len() == 3)));
    assert!(fs::read_dir(run.join("answers")).expect("answers/ is there").next().is_some());

    let pairs = lines(run, "pairs.jsonl");
    assert_eq!(pairs.len() + lines(run, "drops.jsonl").len(), PROMPTS, "every prompt is a pair or has a reason");
    let stages = lines(run, "stages.jsonl");
    assert_eq!(stages.len(), pairs.len());
    assert!(stages.iter().all(|row| row["reason"].as_str().is_some_and(|reason| !reason.is_empty())));

    let trained = json(run, "training.json");
    let trained = trained.as_array().expect("a list of stages");
    let names: Vec<&str> = trained.iter().filter_map(|stage| stage["name"].as_str()).collect();
    assert_eq!(names, ["conservative", "moderate", "exploratory"]);
    assert_eq!(lines(run, "metrics.jsonl").len(), sum(trained, "steps"));
    for stage in trained {
        let checkpoint = stage["checkpoint"].as_str().expect("a folder's name");
        assert!(run.join("checkpoints").join(checkpoint).join("model.safetensors").is_file());
    }
    for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
        assert!(run.join("model").join(file).is_file(), "model/{file}");
    }
    assert!(!run.join("adapter").exists());

    let evaluation = json(run, "eval.json");
    let points = evaluation["points"].as_array().expect("a list of points");
    let at: Vec<&str> = points.iter().filter_map(|point| point["at"].as_str()).collect();
    assert_eq!(at, ["before", "after exploratory"]);
    for measure in ["harmless", "helpful", "truth-seen", "sentiment", "well-formed"] {
        assert!(points.iter().all(|point| point["measures"][measure]["value"].is_number()), "{measure}");
    }
    let record = fs::read_to_string(run.join("run.toml")).expect("run.toml is there");
    for part in ["[config.train]", "[plugins.scorers]", "set = [", "udasa = "] {
        assert!(record.contains(part), "{part} in\n{record}");
    }
    assert!(
        !fs::read_dir(run)
            .expect("the run is there")
            .any(|entry| { entry.expect("it can be read").file_name().to_string_lossy().ends_with(".partial") })
    );
}

#[test]
fn a_pair_is_the_most_reliable_response_against_a_worse_one() {
    let run = small::finished();
    let responses = lines(run, "responses.jsonl");
    for pair in lines(run, "pairs.jsonl") {
        let [chosen, rejected] = ["chosen", "rejected"].map(|side| number(&pair[format!("{side}_rating")]));
        let gap = number(&pair["gap"]);
        assert!((chosen - rejected - gap).abs() < 1e-12 && gap >= 0.02, "{pair}");
        let sample = responses.iter().find(|sample| sample["id"] == pair["prompt_id"]).expect("its sample");
        assert_eq!(pair["prompt"], sample["prompt"]);
        assert_eq!(pair["prompt_token_ids"], sample["prompt_token_ids"]);
        for side in ["chosen", "rejected"] {
            let index = usize::try_from(pair[format!("{side}_index")].as_u64().expect("an index")).expect("it fits");
            let response = &sample["responses"][index];
            assert_eq!(pair[side][0]["content"], response["text"]);
            assert_eq!(pair[format!("{side}_token_ids")], response["token_ids"], "the ids that were sampled");
        }
        let row = lines(run, "uncertainty.jsonl").into_iter().find(|row| row["id"] == pair["prompt_id"]);
        let u: Vec<f64> = row.expect("its row")["u"].as_array().expect("a list").iter().map(number).collect();
        assert!(u.iter().all(|u| 1.0 - chosen <= u + 1e-12), "{pair}: {u:?}");
    }
}

#[test]
fn the_report_needs_nothing_from_elsewhere() {
    let report = fs::read_to_string(small::finished().join("report.html")).expect("the report is there");
    for attribute in ["src=", "href=", "action=", "poster=", "srcset=", "xlink:href=", "url("] {
        for value in report.split(attribute).skip(1) {
            let value = value.trim_start_matches(['"', '\'']);
            assert!(value.starts_with('#') || value.starts_with("data:"), "{attribute}{}", &value[..60]);
        }
    }
    assert!(!report.contains("@import") && !report.contains("<link"));
    assert!(report.matches("<svg").count() >= 5, "the plots");
    let drop = &lines(small::finished(), "drops.jsonl")[0];
    for part in ["conservative", "exploratory", "harmless", drop["reason"].as_str().expect("a reason")] {
        assert!(report.contains(part), "{part}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_in_another_folder() {
    let folder = scratch();
    let other = folder.path().join("elsewhere");
    expect_success(&mut small::run(&other, &[]));
    let none: [&str; 0] = [];
    assert_eq!(differences(small::finished(), &other), none);
}

#[test]
fn another_seed_gives_another_model_and_other_responses() {
    let folder = scratch();
    expect_success(&mut small::run(folder.path(), &["--set", "seed=2", "--until", "generate"]));
    let differ = differences(small::finished(), folder.path());
    for file in ["world/corpus.jsonl", "initial/model.safetensors", "responses.jsonl"] {
        assert!(differ.iter().any(|name| name == file), "{file} is the same; {differ:?} differ");
    }
}

#[test]
fn an_adapter_is_trained_from_the_loss_that_knows_nothing_and_lies_in_peft_layout() {
    let run = small::copy();
    let run = run.path();
    let sets = ["--set", "train.lora.rank=4", "--set", "train.lora.alpha=8", "--set", "train.nll_weight=0"];
    expect_success(&mut small::run(run, &sets));
    let first = number(&lines(run, "metrics.jsonl")[0]["loss"]);
    assert!((first - std::f64::consts::LN_2).abs() < 1e-6, "before the first step policy and reference agree: {first}");

    assert!(!run.join("model").exists(), "the whole model of the run before is gone");
    let config = json(&run.join("adapter"), "adapter_config.json");
    assert_eq!(config["peft_type"], "LORA");
    assert_eq!((number(&config["r"]), number(&config["lora_alpha"])), (4.0, 8.0));
    let tensors = Tensors::read(&run.join("adapter/adapter_model.safetensors"));
    let query = "base_model.model.model.layers.1.self_attn.q_proj";
    assert_eq!(tensors.shape(&format!("{query}.lora_A.weight")), [4, 32]);
    assert_eq!(tensors.shape(&format!("{query}.lora_B.weight")), [32, 4]);
    // Two matrices for each of a block's seven layers, two blocks.
    assert_eq!(tensors.names().len(), 2 * 7 * 2, "{:?}", tensors.names());
    assert!(run.join("checkpoints/2-exploratory/adapter_model.safetensors").is_file());
    let evaluation = json(run, "eval.json");
    assert_ne!(evaluation["points"][0]["measures"], evaluation["points"][1]["measures"], "the adapter is measured");
}

#[test]
fn a_merged_model_is_the_initial_one_plus_the_scaled_product_of_the_adapters_matrices() {
    let run = small::copy();
    let run = run.path();
    for (rslora, scale) in [(false, 8.0 / 4.0), (true, 8.0 / f64::sqrt(4.0))] {
        let rslora_set = format!("train.lora.rslora={rslora}");
        let mut sets = vec!["--until", "train", "--set", &rslora_set];
        for set in ["train.lora.rank=4", "train.lora.alpha=8", "train.lora.merge=true", "train.learning_rate=1e-2"] {
            sets.extend(["--set", set]);
        }
        expect_success(&mut small::run(run, &sets));
        assert_eq!(json(&run.join("adapter"), "adapter_config.json")["use_rslora"], rslora);
        let read = |name: &str| Tensors::read(&run.join(name));
        let adapter = read("adapter/adapter_model.safetensors");
        let (initial, merged) = (read("initial/model.safetensors"), read("model/model.safetensors"));
        assert_eq!(initial.names(), merged.names());
        let mut moved = 0;
        for name in initial.names() {
            let (old, new) = (initial.floats(name), merged.floats(name));
            let peft =
                |which: &str| format!("base_model.model.{}.lora_{which}.weight", name.trim_end_matches(".weight"));
            let (a, b) = (peft("A"), peft("B"));
            if !adapter.names().contains(&a.as_str()) {
                assert_eq!(old, new, "{name} is not adapted");
                continue;
            }
            let [rank, input] = adapter.shape(&a)[..] else { panic!("{a}") };
            let (rank, input) = (rank as usize, input as usize);
            let (a, b) = (adapter.floats(&a), adapter.floats(&b));
            for (at, (old, new)) in old.iter().zip(&new).enumerate() {
                let (row, column) = (at / input, at % input);
                let product: f64 =
                    (0..rank).map(|k| f64::from(b[row * rank + k]) * f64::from(a[k * input + column])).sum();
                let wanted = f64::from(*old) + scale * product;
                // A sum of four products and one of two numbers below 1, in f32.
                assert!((f64::from(*new) - wanted).abs() < 1e-6, "{name} [{row}, {column}]: {new}, not {wanted}");
                moved += usize::from((scale * product).abs() > 1e-3);
            }
        }
        assert!(moved > 100, "the adapter was trained: {moved} numbers moved");
    }
}

#[test]
fn every_pair_and_every_drop_can_be_explained() {
    let run = small::finished();
    let explain = |id: &str| {
        let output = udasa().arg("explain").arg(run).arg(id).output().expect("udasa starts");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let pair = &lines(run, "pairs.jsonl")[0];
    let id = pair["id"].as_str().expect("an id");
    let text = explain(id);
    assert!(text.starts_with(&format!("pair {id}\n")), "{text}");
    let stages = lines(run, "stages.jsonl");
    let member = stages.iter().find(|row| row["pair_id"] == id).expect("its stage");
    for part in [&member["name"], &member["reason"], &pair["prompt"][0]["content"], &pair["chosen"][0]["content"]] {
        assert!(text.contains(part.as_str().expect("text")), "{part} in\n{text}");
    }
    assert_eq!(text.matches("\n  no. ").count(), RESPONSES, "{text}");

    let drop = &lines(run, "drops.jsonl")[0];
    let text = explain(drop["prompt_id"].as_str().expect("an id"));
    assert!(text.contains("no pair") && text.contains(drop["reason"].as_str().expect("a reason")), "{text}");
    expect_user_error(udasa().arg("explain").arg(run).arg(&id[..id.len() - 1]), &["knows no pair or prompt", id]);
}
