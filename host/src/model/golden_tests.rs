//! The model against transformers, TRL and PEFT: golden numbers in `../shared/oracles`, made by `../shared/peers`.

use std::io::Write;
use std::path::{Path, PathBuf};

use tch::{Kind, Tensor, no_grad};

use super::decoder::Input;
use super::*;
use crate::config::DeviceChoice;

/// The folder of golden numbers; a test without it says so.
pub fn oracles() -> Option<PathBuf> {
    let root = std::env::var_os("UDASA_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let dir = root.join("oracles");
    if !dir.exists() {
        // Straight to the stream: what the macros print, a passing test swallows.
        let _ = writeln!(std::io::stderr(), "skipped: {} does not exist", dir.display());
        return None;
    }
    Some(dir)
}

/// Where these tests compute: on the CPU, or where `UDASA_TEST_DEVICE` says `cuda`.
fn choice() -> DeviceChoice {
    match std::env::var("UDASA_TEST_DEVICE").as_deref() {
        Ok("cuda") => DeviceChoice::Cuda,
        _ => DeviceChoice::Cpu,
    }
}

/// The same, resolved.
pub fn device() -> Device {
    super::device::prepare(choice(), 0).expect("a device")
}

pub fn section() -> ModelSection {
    ModelSection { device: choice(), ..ModelSection::default() }
}

/// The golden checkpoints; those after the first ten are Llama's weights in shards and in bf16.
pub const ARCHITECTURES: [&str; 12] = [
    "llama",
    "qwen2",
    "qwen3",
    "mistral",
    "gemma2",
    "gemma3",
    "phi3",
    "gpt2",
    "olmo2",
    "smollm3",
    "llama_sharded",
    "llama_bf16",
];

/// A file of JSON.
pub fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON")
}

fn decoder(dir: &Path, config: &Value) -> Decoder {
    let spec = Spec::from_config(config).expect("a supported config");
    let mut weights = Weights::open(dir, device(), Kind::Float).expect("weights");
    Decoder::load(spec, &mut weights, device()).expect("a whole model")
}

fn golden(file: &Path, names: &[(&str, &[i64], Kind)]) -> Vec<Tensor> {
    names
        .iter()
        .map(|(name, shape, kind)| {
            let mut file = Weights::open_files(vec![file.to_owned()], device(), *kind).expect("golden file");
            file.take(name, shape).expect("golden tensor")
        })
        .collect()
}

/// Noise of a right f32 implementation is 2–8e-6 here; the smallest feature left out moves logits by 1.4e-3.
const LOGIT_TOLERANCE: f64 = 5e-5;

/// What transformers was given and what it gave: two rows, the second with seven pads on the left.
struct Golden {
    ids: Tensor,       // [2, 24]
    attention: Tensor, // [2, 24]
    positions: Tensor, // [2, 24]
    logits: Tensor,    // [2, 24, 384]
    greedy: Tensor,    // [2, 16]
}

impl Golden {
    fn read(dir: &Path) -> Self {
        let tensors = golden(
            &dir.join("golden.safetensors"),
            &[
                ("input_ids", &[2, 24], Kind::Int64),
                ("attention_mask", &[2, 24], Kind::Int64),
                ("position_ids", &[2, 24], Kind::Int64),
                ("logits", &[2, 24, 384], Kind::Float),
                ("greedy", &[2, 16], Kind::Int64),
            ],
        );
        let Ok([ids, attention, positions, logits, greedy]) = <[Tensor; 5]>::try_from(tensors) else { unreachable!() };
        Self { ids, attention, positions, logits, greedy }
    }

    /// The greatest distance of a decoder's logits from these, pads left out.
    fn distance(&self, decoder: &Decoder) -> f64 {
        let causal = Tensor::ones([24, 24], (Kind::Bool, device())).tril(0);
        let own = Tensor::eye(24, (Kind::Bool, device()));
        let mask = self.attention.to_kind(Kind::Bool).view([2, 1, 1, 24]).logical_and(&causal).logical_or(&own);
        let ours = no_grad(|| {
            let (ids, positions) = (&self.ids, &self.positions);
            let hidden = decoder.hidden(&Input { ids, positions, mask: Some(&mask), adapter: true });
            decoder.logits(&hidden) * self.attention.unsqueeze(-1)
        });
        (ours - &self.logits).abs().max().double_value(&[])
    }
}

#[test]
fn logits_and_greedy_tokens_equal_transformers_from_both_forms_of_the_config() {
    let Some(oracles) = oracles() else { return };
    for name in ARCHITECTURES {
        let dir = oracles.join("archs").join(name);
        let golden = Golden::read(&dir);
        for config in ["config.json", "config_legacy.json"] {
            if !dir.join(config).exists() {
                assert!(name.starts_with("llama_"), "{name} has both forms");
                continue;
            }
            let decoder = decoder(&dir, &json(&dir.join(config)));
            let error = golden.distance(&decoder);
            assert!(error <= LOGIT_TOLERANCE, "{name} {config}: |Δ| = {error:e}");
            greedy_equals(&decoder, &golden, name);
        }
    }
}

/// Greedy continuation of the row without padding, and of the padded row without its padding.
fn greedy_equals(decoder: &Decoder, golden: &Golden, name: &str) {
    for row in 0..2 {
        let skip = 24 - golden.attention.get(row).sum(Kind::Int64).int64_value(&[]);
        let mut tokens: Vec<i64> = Vec::try_from(golden.ids.get(row).narrow(0, skip, 24 - skip)).expect("ids");
        let start = tokens.len();
        for _ in 0..16 {
            let n = tokens.len() as i64;
            let ids = Tensor::from_slice(&tokens).view([1, n]).to_device(device());
            let positions = Tensor::arange(n, (Kind::Int64, device())).view([1, n]);
            let input = Input { ids: &ids, positions: &positions, mask: None, adapter: true };
            let hidden = no_grad(|| decoder.hidden(&input));
            tokens.push(decoder.logits(&hidden.narrow(1, n - 1, 1)).argmax(-1, false).int64_value(&[0, 0]));
        }
        let expected: Vec<i64> = Vec::try_from(golden.greedy.get(row)).expect("ids");
        assert_eq!(tokens[start..], expected, "{name} row {row}");
    }
}

/// Every feature that `p1_sensitivity.py` switched off moves our logits exactly as far as transformers'.
#[test]
fn a_feature_switched_off_moves_the_logits_as_far_as_in_transformers() {
    let Some(oracles) = oracles() else { return };
    let plain = |theta: f64| serde_json::json!({"rope_type": "default", "rope_theta": theta});
    let one = serde_json::json!({"sliding_attention": plain(1e6), "full_attention": plain(1e6)});
    let changes = [
        ("llama", "no llama3 rope scaling", "rope_parameters", plain(5e5)),
        ("llama", "rms_norm_eps 1e-6", "rms_norm_eps", 1e-6.into()),
        ("qwen2", "rope_theta 1e4", "rope_parameters", plain(1e4)),
        ("mistral", "no sliding window", "sliding_window", Value::Null),
        ("mistral", "sliding window 9", "sliding_window", 9.into()),
        ("gemma2", "no attention softcap", "attn_logit_softcapping", Value::Null),
        ("gemma2", "no final softcap", "final_logit_softcapping", Value::Null),
        ("gemma2", "no sliding window", "sliding_window", 64.into()),
        ("gemma2", "query scalar = head_dim", "query_pre_attn_scalar", 16.into()),
        ("gemma3", "no sliding window", "sliding_window", 64.into()),
        ("gemma3", "one rope theta", "rope_parameters", one),
        ("smollm3", "rope in every layer", "no_rope_layers", vec![1, 1, 1].into()),
        ("gpt2", "exact gelu", "activation_function", "gelu".into()),
    ];
    let recorded = json(&oracles.join("archs/sensitivity.json"));
    let recorded = recorded.as_array().expect("a list");
    assert_eq!(recorded.len(), changes.len(), "all of them are tried");
    for (entry, (name, what, key, value)) in recorded.iter().zip(changes) {
        assert_eq!((entry["arch"].as_str(), entry["change"].as_str()), (Some(name), Some(what)));
        let dir = oracles.join("archs").join(name);
        let mut config = json(&dir.join("config.json"));
        config[key] = value;
        let distance = Golden::read(&dir).distance(&decoder(&dir, &config));
        let expected = entry["max_logit_change"].as_f64().expect("a number");
        assert!((distance - expected).abs() <= 2.0 * LOGIT_TOLERANCE, "{name}, {what}: {distance} {expected}");
    }
}

#[test]
fn an_adapter_that_peft_wrote_gives_pefts_logits_and_ours_reads_back() {
    let Some(oracles) = oracles() else { return };
    let dir = oracles.join("dpo");
    let mut model = Model::load(&dir.join("initial"), &section()).expect("the initial model");
    let tensors = golden(
        &dir.join("fixed_input.safetensors"),
        &[
            ("input_ids", &[2, 24], Kind::Int64),
            ("logits_initial", &[2, 24, 384], Kind::Float),
            ("logits_lora_lr2e-3_final", &[2, 24, 384], Kind::Float),
        ],
    );
    let [ids, initial, tuned] = &tensors[..] else { unreachable!() };
    let positions = Tensor::arange(24, (Kind::Int64, device())).expand([2, 24], false);
    let difference = |model: &Model, adapter: bool, golden: &Tensor| {
        let hidden = no_grad(|| model.decoder.hidden(&Input { ids, positions: &positions, mask: None, adapter }));
        (model.decoder.logits(&hidden) - golden).abs().max().double_value(&[])
    };
    model.attach_saved(&dir.join("lora_lr2e-3/adapter_final")).expect("PEFT's adapter");
    assert!(difference(&model, true, tuned) <= LOGIT_TOLERANCE);
    assert!(difference(&model, false, initial) <= LOGIT_TOLERANCE, "the adapter is off");

    let saved = tempfile::tempdir().expect("a temporary folder");
    let lora = Lora { rank: 8, alpha: 16.0, targets: vec!["q_proj".into()], ..Lora::default() };
    lora::save(saved.path(), &lora, "initial", &model.decoder.adapter()).expect("saving");
    let mut again = Model::load(&dir.join("initial"), &section()).expect("the initial model");
    again.attach_saved(saved.path()).expect("our adapter");
    assert!(difference(&again, true, tuned) <= LOGIT_TOLERANCE);
}

#[test]
fn sampling_shares_the_prompt_and_records_what_a_plain_forward_pass_gives() {
    let Some(oracles) = oracles() else { return };
    let model = Model::load(&oracles.join("dpo/initial"), &section()).expect("the initial model");
    let sampling = Sampling { temperature: 0.9, max_tokens: 12, ..Sampling::default() };
    let requests = [
        Request { prompt: vec![65, 101, 318, 325], seeds: vec![[1; 32], [2; 32], [3; 32]] },
        Request { prompt: vec![65, 101, 318, 325, 42, 237, 101], seeds: vec![[4; 32], [5; 32]] },
    ];
    let together = model.sample(&requests, &sampling).expect("samples");
    for (request, responses) in requests.iter().zip(&together) {
        // Alone, each prompt gives the same tokens: no other row has a say.
        let alone = Request { prompt: request.prompt.clone(), seeds: request.seeds.clone() };
        let alone = model.sample(&[alone], &sampling).expect("samples");
        for (response, single) in responses.iter().zip(&alone[0]) {
            assert_eq!(response.ids, single.ids);
            let ids = [request.prompt.clone(), response.ids.clone()].concat();
            let sequence = tree::Sequence { from: request.prompt.len(), ids };
            let rows = tree::pack(std::slice::from_ref(&sequence), 1);
            let plain = no_grad(|| model.score_rows(&rows, &[sequence], true)).expect("scores");
            let plain: Vec<f32> = Vec::try_from(&plain.logprobs).expect("numbers");
            for (a, b) in plain.iter().zip(&response.logprobs) {
                // Two orders of summation in f32.
                assert!((a - b).abs() < 2e-5, "{a} {b}");
            }
        }
    }
}

#[test]
fn a_packed_row_gives_the_log_probabilities_of_separate_passes() {
    let Some(oracles) = oracles() else { return };
    let model = Model::load(&oracles.join("dpo/initial"), &section()).expect("the initial model");
    let sequences: Vec<tree::Sequence> = [
        vec![5, 6, 7, 8, 9, 10],
        vec![5, 6, 7, 8, 11],
        vec![5, 6, 12, 13],
        vec![200, 6, 7],
        vec![5, 6, 7, 8, 9, 10, 30, 31],
    ]
    .map(|ids| tree::Sequence { ids, from: 2 })
    .into();
    let total = |rows: &[tree::Row], sequences: &[tree::Sequence]| -> Vec<f32> {
        let scored = no_grad(|| model.score_rows(rows, sequences, true)).expect("scores");
        Vec::try_from(&scored.sums(sequences.len())).expect("numbers")
    };
    let packed = total(&tree::pack(&sequences, 64), &sequences);
    for (i, sequence) in sequences.iter().enumerate() {
        let one = std::slice::from_ref(sequence);
        let alone = total(&tree::pack(one, 64), one);
        assert!((packed[i] - alone[0]).abs() < 1e-5, "{i}: {} {}", packed[i], alone[0]);
    }
}

#[test]
fn a_folder_with_a_missing_tensor_is_refused_by_its_name() {
    let Some(oracles) = oracles() else { return };
    let dir = oracles.join("archs/llama");
    let mut weights = Weights::open(&dir, device(), Kind::Float).expect("weights");
    let error = weights.take("model.layers.9.mlp.up_proj.weight", &[1]).expect_err("no such layer");
    assert!(error.to_string().contains("`model.layers.9.mlp.up_proj.weight`"));
    let error = weights.take("model.norm.weight", &[65]).expect_err("wrong shape");
    assert!(error.to_string().contains("[64]") && error.to_string().contains("[65]"), "{error}");
}

#[test]
fn ids_that_the_model_cannot_take_are_refused_before_torch_sees_them() {
    let Some(oracles) = oracles() else { return };
    let model = Model::load(&oracles.join("dpo/initial"), &section()).expect("the initial model");
    assert!(model.check_ids(&[0, 383]).is_ok());
    assert!(model.check_ids(&[384]).expect_err("one too high").to_string().contains("384"));
    assert!(model.check_ids(&vec![1; 257]).expect_err("one too many").to_string().contains("256 positions"));
}
