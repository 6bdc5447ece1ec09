//! Encoders against transformers: golden numbers in `../shared/oracles/encoders`, made by `../shared/peers/p7_encoders.py`.

use std::path::{Path, PathBuf};

use tch::{Kind, Tensor, no_grad};

use super::cross::Head;
use super::embedder::pooled;
use super::folder::Pooling;
use super::network::{Batch, Network};
use super::spec::EncoderSpec;
use serde_json::Value;

use super::*;
use crate::model::golden_tests::{device, json, oracles};

/// Noise of a right f32 implementation is below 1e-5 here.
const TOLERANCE: f64 = 5e-5;

const ENCODERS: [(&str, i64); 4] = [("bert", 3), ("roberta", 3), ("deberta_v2", 3), ("deberta_v2_reward", 1)];

fn take(file: &Path, name: &str, shape: &[i64], kind: Kind) -> Tensor {
    let mut file = Weights::open_files(vec![file.to_owned()], device(), kind).expect("golden file");
    file.take(name, shape).expect("golden tensor")
}

fn loaded(dir: &Path) -> (Network, Head) {
    let mut weights = Weights::open(dir, device(), Kind::Float).expect("weights");
    let network = Network::read(EncoderSpec::read(dir).expect("a config"), &mut weights).expect("a whole model");
    let labels = network.spec.labels.clone().expect("a head");
    let head = Head::read(&mut weights, &network.spec, &labels).expect("a whole head");
    weights.finish(|_| false).expect("every tensor is used");
    (network, head)
}

/// Two rows, the second with five pads on the right.
fn batch(dir: &Path) -> Batch {
    let whole = |name: &str| take(&dir.join("golden.safetensors"), name, &[2, 20], Kind::Int64);
    let real = whole("attention_mask").to_kind(Kind::Bool);
    Batch { ids: whole("input_ids"), types: whole("token_type_ids"), real }
}

fn encoders() -> Option<Vec<(PathBuf, i64)>> {
    let dir = oracles()?.join("encoders");
    Some(ENCODERS.map(|(name, labels)| (dir.join(name), labels)).to_vec())
}

#[test]
fn hidden_states_embeddings_and_outputs_equal_transformers() {
    let Some(encoders) = encoders() else { return };
    for (dir, labels) in encoders {
        let (network, head) = loaded(&dir);
        let batch = batch(&dir);
        let golden = |name: &str, shape: &[i64]| take(&dir.join("golden.safetensors"), name, shape, Kind::Float);
        let hidden = no_grad(|| network.hidden(&batch));
        let masked = &hidden * batch.real.unsqueeze(-1);
        let embedding = pooled(Pooling::Mean, &hidden, &batch);
        let logits = no_grad(|| head.forward(&hidden, &network.spec));
        for (name, ours, theirs) in [
            ("hidden states", masked, golden("last_hidden", &[2, 20, 64])),
            ("embedding", embedding, golden("embedding", &[2, 64])),
            ("outputs", logits, golden("logits", &[2, labels])),
        ] {
            let error = (ours - theirs).abs().max().double_value(&[]);
            assert!(error <= TOLERANCE, "{} {name}: |Δ| = {error:e}", dir.display());
        }
    }
}

/// What the numbers would miss if a feature were left out: the golden test can fail.
#[test]
fn each_feature_of_disentangled_attention_moves_the_outputs() {
    let Some(encoders) = encoders() else { return };
    let (dir, _) = &encoders[2];
    let config = json(&dir.join("config.json"));
    let hidden = |config: &Value| {
        let mut weights = Weights::open(dir, device(), Kind::Float).expect("weights");
        let network =
            Network::read(EncoderSpec::from_config(config).expect("a config"), &mut weights).expect("a model");
        no_grad(|| network.hidden(&batch(dir))).get(0)
    };
    let whole = hidden(&config);
    for (key, value) in [
        ("pos_att_type", serde_json::json!("c2p")),
        ("pos_att_type", serde_json::json!(["p2c"])),
        ("norm_rel_ebd", serde_json::json!("none")),
        ("max_relative_positions", serde_json::json!(16)),
    ] {
        let mut changed = config.clone();
        changed[key] = value;
        let moved = (&whole - hidden(&changed)).abs().max().double_value(&[]);
        assert!(moved > 20.0 * TOLERANCE, "{key}: {moved:e}");
    }
}

#[test]
fn a_row_has_the_same_numbers_alone_and_beside_longer_ones() {
    let Some(encoders) = encoders() else { return };
    for (dir, _) in encoders {
        let (network, _) = loaded(&dir);
        let both = batch(&dir);
        let short = |x: &Tensor| x.narrow(0, 1, 1).narrow(1, 0, 15);
        let alone = Batch { ids: short(&both.ids), types: short(&both.types), real: short(&both.real) };
        let error = no_grad(|| network.hidden(&alone) - short(&network.hidden(&both))).abs().max().double_value(&[]);
        assert!(error <= 1e-5, "{}: {error:e}", dir.display());
    }
}

#[test]
fn what_an_encoder_cannot_be_is_named() {
    let with = |config: Value| EncoderSpec::from_config(&config).expect_err("unsound").to_string();
    let bert = serde_json::json!({
        "model_type": "bert", "vocab_size": 9, "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1,
        "intermediate_size": 8,
    });
    EncoderSpec::from_config(&bert).expect("a sound config");
    let changed = |key: &str, value: Value| {
        let mut config = bert.clone();
        config[key] = value;
        with(config)
    };
    assert!(changed("model_type", "llama".into()).contains("`llama` is no encoder"));
    assert!(changed("is_decoder", true.into()).contains("`is_decoder`"));
    assert!(changed("position_embedding_type", "relative_key".into()).contains("position_embedding_type"));
    assert!(changed("num_attention_heads", 3.into()).contains("does not divide"));
    assert!(changed("conv_kernel_size", 3.into()).contains("`conv_kernel_size` = 3"));
    assert!(changed("hidden_act", "relu".into()).contains("\"relu\""));
}
