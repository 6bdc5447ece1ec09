//! `udasa model inspect` and `udasa model logits`: what a folder is said to be, and what it computes.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::small;
use crate::support::{expect_user_error, scratch, shared, udasa, write};
use crate::tensors::Tensors;

fn model(subcommand: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = udasa();
    command.args(["model", subcommand]).arg(folder).args(arguments);
    command
}

#[track_caller]
fn stdout(command: &mut Command) -> String {
    let output = command.output().expect("udasa starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn a_model_that_udasa_made_is_shown_with_its_memory() {
    let folder = small::finished().join("model");
    let shown = stdout(&mut model("inspect", &folder, &["--batch", "4", "--length", "100"]));
    for line in [
        "architecture   GraniteForCausalLM (granite)",
        "blocks         2 of width 32, feed-forward 64 (silu)",
        "heads          2 of 16, 2 for keys and values",
        "rope           theta 10000, 16 numbers of a head",
        "windows        none",
        "linears        q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
        "chat template  yes",
        // 2 x 2 heads x 16 x 2 blocks x 4 x 100, four bytes each.
        "keys, values   200.0 KiB in f32, 100.0 KiB in bf16 on a GPU, for 4 x 100 tokens",
    ] {
        assert!(shown.lines().any(|l| l == line), "`{line}` in:\n{shown}");
    }
    let facts: Value = serde_json::from_str(&stdout(&mut model("inspect", &folder, &["--json"]))).expect("JSON");
    let file = Tensors::read(&folder.join("model.safetensors"));
    let parameters: u64 = file.names().iter().map(|name| file.shape(name).iter().product::<u64>()).sum();
    assert_eq!(facts["parameters"], json!(parameters));
    assert_eq!(facts["stored"], json!({"f32": 4 * parameters}));
    assert_eq!(facts["memory"]["weights"], json!([4 * parameters, 2 * parameters]));
    assert_eq!(facts["windows"], json!([null, null]));
}

#[test]
fn every_architecture_is_inspected_without_its_weights_being_read() {
    let Some(archs) = shared("oracles/archs") else { return };
    for (name, class, line) in [
        ("llama", "LlamaForCausalLM", "llama3 scaling by 8 from 32 positions"),
        ("llama_sharded", "LlamaForCausalLM", "f32 (625.8 KiB)"),
        ("llama_bf16", "LlamaForCausalLM", "bf16 (312.9 KiB)"),
        ("mistral", "MistralForCausalLM", "8 positions, in all blocks"),
        ("qwen2", "Qwen2ForCausalLM", "384, output tied to the embedding"),
        ("qwen3", "Qwen3ForCausalLM", "of queries and keys, each head"),
        ("phi3", "Phi3ForCausalLM", "qkv_proj, o_proj, gate_up_proj, down_proj"),
        ("gemma2", "Gemma2ForCausalLM", "attention scores at 5, logits at 6"),
        ("gemma3", "Gemma3ForCausalLM", "8 positions, in blocks 0, 1"),
        ("smollm3", "SmolLM3ForCausalLM", "no rope        in blocks 1"),
        ("olmo2", "Olmo2ForCausalLM", "after each part of a block"),
        ("gpt2", "GPT2LMHeadModel", "learned positions"),
    ] {
        let shown = stdout(&mut model("inspect", &archs.join(name), &[]));
        assert!(shown.contains(class) && shown.contains(line), "{name}: `{line}` in:\n{shown}");
    }
}

#[test]
fn logits_are_those_of_transformers_from_both_forms_of_the_config() {
    let Some(archs) = shared("oracles/archs") else { return };
    for name in ["gemma3", "gpt2"] {
        let golden = Tensors::read(&archs.join(name).join("golden.safetensors"));
        // The row without padding.
        let ids = golden.integers("input_ids")[..24].iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let expected = &golden.floats("logits")[..24 * 384];
        let folder = scratch();
        small::copy_folder(&archs.join(name), folder.path());
        for form in ["config.json", "config_legacy.json"] {
            std::fs::copy(archs.join(name).join(form), folder.path().join("again.json")).expect("it can be copied");
            std::fs::rename(folder.path().join("again.json"), folder.path().join("config.json"))
                .expect("it can be moved");
            let shown = stdout(&mut model("logits", folder.path(), &["--ids", &ids, "--json"]));
            let shown: Value = serde_json::from_str(&shown).expect("JSON");
            let rows = shown["logits"].as_array().expect("a list");
            let ours: Vec<f64> =
                rows.iter().flat_map(|row| row.as_array().expect("a row")).filter_map(Value::as_f64).collect();
            assert_eq!(ours.len(), expected.len());
            for (a, b) in ours.iter().zip(expected) {
                assert!((a - f64::from(*b)).abs() <= 5e-5, "{name} {form}: {a} {b}");
            }
        }
        let shown = stdout(&mut model("logits", folder.path(), &["--ids", &ids]));
        let best = (0..384).max_by(|&a, &b| expected[23 * 384 + a].total_cmp(&expected[23 * 384 + b])).expect("some");
        let last = shown.lines().last().expect("a line");
        assert!(last.split_whitespace().nth(3) == Some(&best.to_string()), "{best} in: {last}");
    }
}

#[test]
fn what_cannot_be_looked_at_is_named() {
    let folder = small::finished().join("model");
    expect_user_error(&mut model("inspect", Path::new("nowhere"), &[]), &["nowhere does not exist", "config.json"]);
    expect_user_error(&mut model("inspect", &folder, &["--length", "100000"]), &["--length 100000", "256 positions"]);
    expect_user_error(&mut model("logits", &folder, &["--ids", "1,99999"]), &["token id 99999", "vocabulary has 266"]);
    let long = vec!["1"; 257].join(",");
    expect_user_error(&mut model("logits", &folder, &["--ids", &long]), &["257 tokens", "256 positions"]);

    let spoiled = scratch();
    small::copy_folder(&folder, spoiled.path());
    let path = spoiled.path().join("model.safetensors");
    let mut tensors = Tensors::read(&path);
    tensors.remove("model.layers.1.mlp.up_proj.weight");
    tensors.write(&path);
    let needles = ["lack the tensor `model.layers.1.mlp.up_proj.weight`", "the folder is incomplete"];
    expect_user_error(&mut model("inspect", spoiled.path(), &[]), &needles);
    let config = std::fs::read_to_string(spoiled.path().join("config.json")).expect("it is there");
    write(spoiled.path(), "config.json", config.replacen('{', "{\"num_local_experts\": 8,", 1));
    expect_user_error(&mut model("inspect", spoiled.path(), &[]), &["`num_local_experts` = 8 is not supported"]);
}
