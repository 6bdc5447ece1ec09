//! Pairs that others made are trained on, our pairs are trained on elsewhere, and what is logged can be read by the usual tools. What
//! TRL and TensorBoard themselves say of it is in `python`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::compare::differences;
use crate::small::{self, lines};
use crate::support::{expect_success, expect_user_error, plugins, scratch, shared, udasa, write};

/// `udasa <subcommand>` of a config that trains a model on rows; no plugin directory.
fn on(subcommand: &str, folder: &Path, model: &Path, rows: &Path, rest: &str) -> Command {
    let text = format!(
        "name = \"rows\"\nseed = 1\n[model]\npath = '{}'\ndevice = \"cpu\"\n{rest}\n[pairs]\nfrom = '{}'\n",
        model.display(),
        rows.display()
    );
    let config = write(folder, "config.toml", text);
    let mut command = udasa();
    command.arg(subcommand).arg(config).arg("--out").arg(folder.join("run")).env_remove("UDASA_PLUGINS");
    command
}

/// The data set of TRL's trajectory as TRL was given it, as often as twenty steps go through it.
fn golden_rows(oracles: &Path) -> Vec<Value> {
    let text = fs::read_to_string(oracles.join("data.jsonl")).expect("it can be read");
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    rows.into_iter().cycle().take(160).collect()
}

/// TRL's settings. See `shared/oracles/README.md`.
const TRL: &str = "[train]\nbeta = 0.1\nlearning_rate = 1e-4\nschedule = \"constant\"\nwarmup = 0.0\nbatch = 8\n";

fn jsonl(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

#[test]
fn rows_of_texts_train_to_trls_trajectory_and_need_no_plugins() {
    let Some(oracles) = shared("oracles/dpo") else { return };
    let rows = golden_rows(&oracles);
    let texts: Vec<Value> = rows
        .iter()
        .map(|row| json!({"prompt": row["prompt"], "chosen": row["chosen"], "rejected": row["rejected"]}))
        .collect();
    let folder = scratch();
    let file = write(folder.path(), "rows.jsonl", jsonl(&texts));
    let stderr = expect_success(&mut on("train", folder.path(), &oracles.join("initial"), &file, TRL));
    assert!(stderr.contains("160 pairs of 160 rows read from"), "{stderr}");

    let run = folder.path().join("run");
    for (pair, row) in lines(&run, "pairs.jsonl").iter().zip(&rows) {
        for side in ["prompt", "chosen", "rejected"] {
            assert_eq!(pair[format!("{side}_token_ids")], row[format!("{side}_ids")], "tokenized as by TRL");
        }
    }
    let golden: Value =
        serde_json::from_slice(&fs::read(oracles.join("full/trajectory.json")).expect("it can be read")).expect("JSON");
    let golden = golden["steps"].as_array().expect("a list");
    let ours = lines(&run, "metrics.jsonl");
    assert_eq!((ours.len(), golden.len()), (20, 20));
    for (ours, golden) in ours.iter().zip(golden) {
        // Two orders of summation of f32 sums near 150 nats; the gradient's norm is a sum over 600,000 of them.
        for (name, tolerance) in [
            ("loss", 1e-5),
            ("rewards/chosen", 1e-5),
            ("rewards/rejected", 1e-5),
            ("rewards/margins", 2e-5),
            ("grad_norm", 1e-4),
            ("num_tokens", 0.0),
        ] {
            let [ours, golden] = [ours, golden].map(|step| step[name].as_f64().expect("a number"));
            assert!((ours - golden).abs() <= tolerance, "{name}: {ours}, TRL {golden}");
        }
    }
    assert_eq!(read_events(&run), logged(&run), "TensorBoard's file says what metrics.jsonl says");
    let state = small::json(&run, "trainer_state.json");
    assert_eq!((&state["global_step"], state["log_history"].as_array().map(Vec::len)), (&json!(20), Some(20)));
    assert_eq!(state["log_history"][19]["loss"], ours[19]["loss"]);

    // The other rooms live with rows that nothing generated.
    let report = fs::read_to_string(run.join("report.html"));
    assert!(report.is_err(), "`train` stops before the report");
    expect_success(&mut on("report", folder.path(), &oracles.join("initial"), &file, TRL));
    let id = lines(&run, "pairs.jsonl")[3]["id"].as_str().expect("an id").to_owned();
    let output = udasa().arg("explain").arg(&run).arg(&id).output().expect("udasa starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("stage 1 all: all pairs, in the order of their rows"), "{text}");
    let output = on("plan", folder.path(), &oracles.join("initial"), &file, TRL).output().expect("udasa starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["in the preference rows of", "  pair      unchanged, kept", "  train     unchanged, kept"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains("  score"), "{text}");
}

#[test]
fn an_exported_run_trains_to_the_same_bytes_in_either_format() {
    let run = small::finished();
    let folder = scratch();
    for format in ["jsonl", "parquet"] {
        let file = folder.path().join(format!("rows.{format}"));
        expect_success(udasa().arg("export").arg(run).args(["--format", format, "--out"]).arg(&file));
        let own = folder.path().join(format);
        fs::create_dir(&own).expect("it can be made");
        let section = "[stage]\npolicy = \"terciles\"\nsettings = { learning_rate_scale = 1.0, label_smoothing = 0.0 }\n\
                       [train]\nbeta = 0.3\nnll_weight = 1.0\nlearning_rate = 6e-4\nadam_betas = [0.9, 0.98]\nbatch = 4\nepochs = 3\n";
        // The second format need not be trained on again: its pairs are the same bytes.
        let until = if format == "jsonl" { "train" } else { "pair" };
        let mut command = on(until, &own, &run.join("initial"), &file, section);
        expect_success(command.arg("--plugins").arg(plugins()));
        let differ = differences(run, &own.join("run"));
        let made = ["pairs.jsonl", "stages.jsonl", "metrics.jsonl", "training.json", "trainer_state.json"];
        let made: &[&str] = if format == "jsonl" { &made } else { &made[..1] };
        for name in made {
            assert!(!differ.iter().any(|file| file == name), "{format}: {name} differs");
        }
        let weights =
            |file: &String| ["model/", "checkpoints/", "tensorboard/"].iter().any(|part| file.starts_with(part));
        assert!(format == "parquet" || !differ.iter().any(weights), "{differ:?}");
    }
    // JSONL goes to stdout, with the stage of every pair.
    let output = udasa().arg("export").arg(run).output().expect("udasa starts");
    assert_eq!(output.stdout, fs::read(folder.path().join("rows.jsonl")).expect("it can be read"));
    let stages = lines(run, "stages.jsonl");
    for row in lines(folder.path(), "rows.jsonl") {
        let member = stages.iter().find(|member| member["pair_id"] == row["id"]).expect("a stage");
        assert_eq!(row["stage"], member["name"]);
    }
    expect_success(udasa().arg("export").arg(run).arg("--per-stage").arg(folder.path().join("stages")));
    let first = lines(&folder.path().join("stages"), "0-conservative.jsonl");
    let own = stages.iter().filter(|member| member["stage"] == 0).map(|member| &member["pair_id"]);
    assert!(first.iter().map(|row| &row["id"]).eq(own), "in the order of training");
    expect_user_error(
        udasa().arg("export").arg(run).args(["--format", "parquet"]),
        &["not written to stdout", "--out"],
    );
    expect_user_error(udasa().arg("export").arg(folder.path()), &["holds no pairs"]);
}

#[test]
fn what_cannot_be_trained_on_is_said_and_nothing_is_skipped_in_silence() {
    let run = small::finished();
    let folder = scratch();
    let model = run.join("initial");
    let chat =
        |user: &str, answer: &str| json!([{"role": "user", "content": user}, {"role": "assistant", "content": answer}]);
    let rows = [
        json!({"chosen": chat("who?", "yes"), "rejected": chat("who?", "no way")}),
        json!({"chosen": chat("who?", "same"), "rejected": chat("who?", "same")}),
        json!({"chosen": chat(&"long ".repeat(300), "yes"), "rejected": chat(&"long ".repeat(300), "no")}),
    ];
    let file = write(folder.path(), "rows.jsonl", jsonl(&rows));
    let stderr = expect_success(&mut on("pair", folder.path(), &model, &file, ""));
    assert!(stderr.contains("1 pairs of 3 rows read from") && stderr.contains("2 dropped"), "{stderr}");
    let own = folder.path().join("run");
    let reasons: Vec<Value> = lines(&own, "drops.jsonl").into_iter().map(|drop| drop["reason"].clone()).collect();
    assert_eq!(reasons, ["identical", "too-long"]);
    let pair = &lines(&own, "pairs.jsonl")[0];
    assert_eq!((&pair["prompt"][0]["content"], &pair["chosen"][0]["content"]), (&json!("who?"), &json!("yes")));

    let staged = "[stage]\npolicy = \"terciles\"\n";
    let mut command = on("train", folder.path(), &model, &file, staged);
    expect_user_error(command.arg("--plugins").arg(plugins()), &["3 of 3 rows", "have no ratings", "remove [stage]"]);
    expect_user_error(
        &mut on("score", folder.path(), &model, &file, ""),
        &["there is nothing to score", "udasa train"],
    );
    expect_user_error(
        &mut on("train", folder.path(), &model, &file, "[generate]\nfrom = \"x\"\n"),
        &["generate.from and [pairs] are both there"],
    );
    let bad = write(folder.path(), "bad.jsonl", "{\"prompt\": \"a\", \"chosen\": \"b\"}\nnot json\n");
    let seen = expect_user_error(
        &mut on("train", folder.path(), &model, &bad, ""),
        &["2 lines cannot be read", "bad.jsonl:1:"],
    );
    assert!(seen.contains("bad.jsonl:2: not JSON (expected ident, column 2)"), "{seen}");
}

#[test]
fn a_changed_file_of_a_run_is_named_by_verify() {
    let run = small::copy();
    let output = udasa().arg("verify").arg(run.path()).output().expect("udasa starts");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["files are as recorded", "  train     model  sha256 ", "  stage     stages.jsonl  sha256 "] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    write(run.path(), "model/config.json", "{}");
    fs::remove_file(run.path().join("pairs.jsonl")).expect("it is there");
    let wrong = ["2 of ", "train model: sha256 ", "pair pairs.jsonl: is not there", "--from ROOM"];
    expect_user_error(udasa().arg("verify").arg(run.path()), &wrong);
    expect_user_error(udasa().arg("verify").arg(scratch().path()), &["holds no room that came to its end"]);
}

/// Steps, and the numbers of each by their tags: from `metrics.jsonl`, as 32-bit floats.
fn logged(run: &Path) -> Vec<(u64, Vec<(String, f32)>)> {
    let of = |step: Value| {
        let numbers = step.as_object().expect("an object").iter();
        let kept =
            numbers.filter(|(name, _)| !["step", "stage", "tokens_per_second", "memory"].contains(&name.as_str()));
        let mut tags: Vec<(String, f32)> =
            kept.map(|(name, value)| (format!("train/{name}"), value.as_f64().expect("a number") as f32)).collect();
        tags.sort_by(|a, b| a.0.cmp(&b.0));
        (step["step"].as_u64().expect("a number"), tags)
    };
    lines(run, "metrics.jsonl").into_iter().map(of).collect()
}

/// The same from the event file, whose frames are walked here. TensorBoard itself checks the checksums, in `python`.
fn read_events(run: &Path) -> Vec<(u64, Vec<(String, f32)>)> {
    let bytes = fs::read(run.join("tensorboard/events.out.tfevents.0.udasa")).expect("the event file");
    let mut rest = &bytes[..];
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(u64::from_le_bytes(rest[..8].try_into().expect("8 bytes"))).expect("it fits");
        let event = fields(&rest[12..12 + length]);
        rest = &rest[12 + length + 4..];
        let Some((_, Content::Bytes(summary))) = event.iter().find(|(number, _)| *number == 5) else { continue };
        let step = event.iter().find_map(|(number, content)| match content {
            Content::Number(step) if *number == 2 => Some(*step),
            _ => None,
        });
        let mut tags: Vec<(String, f32)> = fields(summary).iter().map(|(_, value)| scalar(value)).collect();
        tags.sort_by(|a, b| a.0.cmp(&b.0));
        steps.push((step.expect("a step"), tags));
    }
    steps
}

fn scalar(value: &Content<'_>) -> (String, f32) {
    let Content::Bytes(bytes) = value else { panic!("a summary's value is a message") };
    match &fields(bytes)[..] {
        [(1, Content::Bytes(tag)), (2, Content::Float(value))] => (String::from_utf8_lossy(tag).into_owned(), *value),
        _ => panic!("a value is a tag and a float"),
    }
}

/// A protobuf field's content.
enum Content<'a> {
    Number(u64),
    Double,
    Bytes(&'a [u8]),
    Float(f32),
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Content<'_>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes);
        let content = match key & 7 {
            0 => Content::Number(number(&mut bytes)),
            1 => {
                take(&mut bytes, 8);
                Content::Double
            }
            2 => {
                let length = usize::try_from(number(&mut bytes)).expect("it fits");
                Content::Bytes(take(&mut bytes, length))
            }
            5 => Content::Float(f32::from_le_bytes(take(&mut bytes, 4).try_into().expect("4 bytes"))),
            other => panic!("wire type {other}"),
        };
        all.push((key >> 3, content));
    }
    all
}

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (first, rest) = bytes.split_at(n);
    *bytes = rest;
    first
}

fn number(bytes: &mut &[u8]) -> u64 {
    let mut n = 0;
    for shift in (0..).step_by(7) {
        let byte = take(bytes, 1)[0];
        n |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    n
}
