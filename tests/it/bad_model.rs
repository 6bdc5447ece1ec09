//! Model folders with something wrong: the folder or the file is named, the reason and the cure; corrected, the run goes
//! on from the rooms that were done.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::small::{self, kept};
use crate::support::{expect_success, expect_user_error, plugins, scratch, udasa, write};
use crate::tensors::Tensors;

/// A good model folder, a prompt file and a config over them.
struct Given {
    folder: TempDir,
}

impl Given {
    fn new() -> Self {
        let folder = scratch();
        small::copy_folder(&small::finished().join("model"), &folder.path().join("model"));
        let prompts = json!({"prompt": [{"role": "user", "content": "who is in talmor ?"}]});
        write(folder.path(), "prompts.jsonl", format!("{prompts}\n"));
        let config = r#"name = "given"
[data]
paths = ["prompts.jsonl"]
[model]
path = "model"
device = "cpu"
[generate]
responses = 2
max_tokens = 4
"#;
        write(folder.path(), "config.toml", config);
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("model").join(name)
    }

    fn generate(&self) -> Command {
        let mut command = udasa();
        command.current_dir(self.folder.path()).args(["generate", "config.toml", "--out", "run", "--plugins"]);
        command.arg(plugins());
        command
    }

    fn set(&self, key: &str, value: Value) {
        let path = self.file("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).expect("it is there")).expect("JSON");
        config[key] = value;
        fs::write(path, config.to_string()).expect("it can be written");
    }

    fn change_weights(&self, change: impl FnOnce(&mut Tensors)) {
        let path = self.file("model.safetensors");
        let mut tensors = Tensors::read(&path);
        change(&mut tensors);
        tensors.write(&path);
    }
}

#[track_caller]
fn refused(spoil: impl FnOnce(&Given), needles: &[&str]) {
    let given = Given::new();
    spoil(&given);
    expect_user_error(&mut given.generate(), needles);
    assert!(given.folder.path().join("run/prompts.jsonl").is_file(), "the room before it is done");
}

#[test]
fn a_model_that_a_run_made_is_a_model_folder_like_any_other() {
    let given = Given::new();
    expect_success(&mut given.generate());
    let again = expect_success(given.generate().args(["--set", "generate.max_tokens=3"]));
    assert_eq!(kept(&again), ["data"]);
}

#[test]
fn a_missing_tensor_is_named_and_the_completed_folder_goes_on() {
    let given = Given::new();
    let name = "model.layers.1.mlp.up_proj.weight";
    let whole = fs::read(given.file("model.safetensors")).expect("it is there");
    given.change_weights(|tensors| tensors.remove(name));
    let needles =
        ["/model: the weights lack the tensor `model.layers.1.mlp.up_proj.weight`", "the folder is incomplete"];
    expect_user_error(&mut given.generate(), &needles);
    fs::write(given.file("model.safetensors"), whole).expect("it can be written");
    let stderr = expect_success(&mut given.generate());
    assert_eq!(kept(&stderr), ["data"]);
}

#[test]
fn an_unknown_architecture_is_named_with_those_there_are() {
    let needles = ["model/config.json", "the architecture `mamba`", "supported: llama, granite"];
    refused(|given| given.set("model_type", json!("mamba")), &needles);
}

#[test]
fn what_changes_the_mathematics_and_is_not_known_is_not_ignored() {
    refused(|given| given.set("hidden_act", json!("relu2")), &["`hidden_act` = \"relu2\"", "supported: silu"]);
    refused(|given| given.set("rope_scaling", json!({"rope_type": "dynamic"})), &["rope_type = \"dynamic\""]);
    refused(|given| given.set("num_local_experts", json!(8)), &["`num_local_experts` = 8", "of this architecture"]);
    let quantised = json!({"quant_method": "gptq"});
    refused(|given| given.set("quantization_config", quantised), &["quantised weights", "f32 or bf16"]);
}

#[test]
fn weights_and_config_of_different_models_are_told_apart_by_a_tensor() {
    let name = "model.embed_tokens.weight";
    let needles = [name, "has shape [", "config.json asks for [", "different models"];
    refused(|given| given.set("hidden_size", json!(64)), &needles);
    let needles = ["hold 9 tensors that this architecture does not use", "model.layers.1.", "different models"];
    refused(|given| given.set("num_hidden_layers", json!(1)), &needles);
}

#[test]
fn a_file_that_is_cut_off_or_only_points_elsewhere_is_not_taken_for_weights() {
    let cut = |given: &Given| {
        let path = given.file("model.safetensors");
        let bytes = fs::read(&path).expect("it is there");
        fs::write(path, &bytes[..bytes.len() - 100]).expect("it can be written");
    };
    refused(cut, &["model/model.safetensors is not a whole safetensors file", "download it again"]);
    let pointer = |given: &Given| {
        let text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
        fs::write(given.file("model.safetensors"), text).expect("it can be written");
    };
    refused(pointer, &["is not a whole safetensors file", "Git LFS pointer"]);
    let without = |name: &'static str| move |given: &Given| fs::remove_file(given.file(name)).expect("it was there");
    refused(without("model.safetensors"), &["holds neither model.safetensors nor", "safe_serialization=True"]);
    refused(without("tokenizer.json"), &["model/tokenizer.json does not exist", "only fast tokenizers are read"]);
    refused(without("chat_template.jinja"), &["the model has no chat template", "give prompts as plain text"]);
}

#[test]
fn a_folder_without_a_model_is_refused_before_any_room() {
    let given = Given::new();
    fs::remove_file(given.file("config.json")).expect("it was there");
    let needles = ["model.path = \"model\"", "model/config.json does not exist", "give a Hugging Face model folder"];
    expect_user_error(&mut given.generate(), &needles);
    assert!(!given.folder.path().join("run").exists());
}

#[test]
fn a_prompt_longer_than_the_model_can_read_is_refused() {
    let given = Given::new();
    let long = json!({"prompt": "umber ".repeat(1000)});
    write(given.folder.path(), "prompts.jsonl", format!("{long}\n"));
    let needles = ["1000 tokens", "the model's 256 positions", "shorten the prompt"];
    expect_user_error(&mut given.generate(), &needles);
}

#[test]
fn a_template_that_refuses_a_prompt_gives_its_reason() {
    let raise = |given: &Given| {
        let template = "{{ raise_exception('roles must alternate') }}";
        fs::write(given.file("chat_template.jinja"), template).expect("it can be written");
    };
    refused(raise, &["the chat template refuses a prompt", "roles must alternate", "order and roles"]);
}

#[test]
fn weights_that_are_no_numbers_sample_nothing() {
    let spoil = |given: &Given| given.change_weights(|tensors| tensors.fill("model.norm.weight", f32::NAN));
    refused(spoil, &["the model's logits are not finite", "NaN or infinities"]);
    let given = Given::new();
    given.change_weights(|tensors| tensors.fill("model.norm.weight", f32::INFINITY));
    expect_user_error(&mut given.generate(), &["not finite"]);
    let responses = fs::read_to_string(given.folder.path().join("run/responses.jsonl")).unwrap_or_default();
    assert_eq!(responses, "", "no unreadable record is left behind");
}

#[test]
fn a_tokenizer_of_another_model_is_noticed_by_its_ids() {
    let shrink = |given: &Given| {
        given.change_weights(|tensors| tensors.keep_rows("model.embed_tokens.weight", 100));
        given.set("vocab_size", json!(100));
    };
    refused(shrink, &["prompt ", "there is a token id ", "vocabulary has 100 entries", "another model"]);
}

#[test]
fn sizes_that_only_a_broken_config_claims_allocate_nothing() {
    refused(|given| given.set("num_hidden_layers", json!(60_000)), &["lack the tensor `model.layers.2."]);
    refused(|given| given.set("num_hidden_layers", json!(1_u32 << 30)), &["num_hidden_layers` = 1073741824"]);
    refused(
        |given| given.set("max_position_embeddings", json!(1_u32 << 30)),
        &["max_position_embeddings = 1073741824"],
    );
    refused(|given| given.set("rope_theta", json!(0.0)), &["rope parameters", "config.json"]);
}

#[test]
fn every_broken_file_of_a_model_folder_has_a_cure() {
    for (name, content, reason) in [
        ("config.json", "{", "config.json is not JSON"),
        ("config.json", "[]", "`model_type` is missing"),
        ("tokenizer.json", "{}", "tokenizer.json cannot be read"),
        ("tokenizer_config.json", "{", "tokenizer_config.json is not JSON"),
        ("chat_template.jinja", "{% for", "the chat template does not parse"),
        ("model.safetensors", "", "model.safetensors is not a whole safetensors file"),
    ] {
        refused(|given| fs::write(given.file(name), content).expect("it can be written"), &[reason]);
    }
}

#[test]
fn ready_made_token_ids_that_the_model_does_not_have_are_refused_in_training() {
    let given = Given::new();
    let row = |i: u32, id: u32| {
        let response = |text: &str, ids: [u32; 3]| json!({"text": text, "token_ids": ids});
        let responses = [response("a b", [5, 6, 4]), response("a b", [5, 6, 4]), response("d e", [8, id, 4])];
        json!({"prompt": format!("question {i}"), "prompt_token_ids": [2, 3], "responses": responses})
    };
    let rows: String = [row(0, 7), row(1, 99_999)].iter().map(|row| format!("{row}\n")).collect();
    write(given.folder.path(), "made.jsonl", rows);
    let config = "name = \"made\"\n[model]\npath = \"model\"\ndevice = \"cpu\"\n[generate]\nfrom = \"made.jsonl\"\n\
                  [[scorer]]\nplugin = \"semantic\"\n[stage]\npolicy = \"unstaged\"\n";
    write(given.folder.path(), "made.toml", config);
    let mut command = udasa();
    command.current_dir(given.folder.path()).args(["train", "made.toml", "--out", "made", "--plugins"]).arg(plugins());
    expect_user_error(&mut command, &["pair ", "there is a token id 99999", "vocabulary has 266 entries"]);
}
