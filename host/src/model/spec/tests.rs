//! `config.json` in all its forms: what is read, what is taken for granted, what is refused.

use serde_json::{Value, json};

use super::*;
use crate::model::golden_tests::{ARCHITECTURES, json as read, oracles};

/// A sound config of a family, with changes.
fn config(model_type: &str, changes: Value) -> Value {
    let mut config = match model_type {
        "gpt2" => json!({"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 384}),
        _ => json!({
            "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 16, "intermediate_size": 128, "vocab_size": 384
        }),
    };
    config["model_type"] = model_type.into();
    for (key, value) in changes.as_object().expect("an object") {
        config[key] = value.clone();
    }
    config
}

fn spec(model_type: &str, changes: Value) -> Spec {
    Spec::from_config(&config(model_type, changes)).expect("a sound config")
}

#[track_caller]
fn refused(model_type: &str, changes: Value, needle: &str) {
    let error = Spec::from_config(&config(model_type, changes)).expect_err("it is refused");
    let error = error.downcast_ref::<UserError>().expect("the user's");
    assert!(error.message.contains(needle), "`{needle}` in: {}", error.message);
    assert!(error.hint.is_some(), "{error:?}");
}

#[test]
fn both_forms_of_a_config_describe_the_same_model() {
    let Some(oracles) = oracles() else { return };
    for name in ARCHITECTURES.into_iter().take(10) {
        let form =
            |file: &str| Spec::from_config(&read(&oracles.join("archs").join(name).join(file))).expect("supported");
        assert_eq!(form("config.json"), form("config_legacy.json"), "{name}");
    }
}

/// Frequencies and factors by transformers 5.23.0's own functions, from the same settings, in f32.
#[test]
fn every_scaling_gives_the_frequencies_of_transformers() {
    let tail = [0.003_952_847_3, 0.001_25, 0.000_395_284_73, 0.000_125, 3.952_847_3e-5];
    let cases: [(Value, f64, Vec<f64>); 6] = [
        (
            json!({"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}),
            1.0,
            vec![0.25, 0.079_056_94, 0.025, 0.007_905_694_7, 0.0025, 0.000_790_569_47, 0.000_25, 7.905_694_7e-5],
        ),
        (
            json!({"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32}),
            1.138_629_436_111_989,
            vec![1.0, 0.197_642_36, 0.025, 0.007_905_694_7, 0.0025, 0.000_790_569_47, 0.000_25, 7.905_694_7e-5],
        ),
        (
            json!({
                "type": "yarn", "rope_theta": 1e4, "factor": 8.0, "original_max_position_embeddings": 64, "beta_fast": 16,
                "beta_slow": 2, "mscale": 0.7, "mscale_all_dim": 1.0, "truncate": false
            }),
            0.948_355_852_350_340_9,
            [vec![1.0, 0.120_533_99, 0.0125], tail.to_vec()].concat(),
        ),
        (
            json!({
                "rope_type": "yarn", "rope_theta": 1e4, "factor": 8.0, "original_max_position_embeddings": 64,
                "attention_factor": 1.5
            }),
            1.5,
            [vec![1.0, 0.223_994_66, 0.041_666_664], tail.to_vec()].concat(),
        ),
        (
            json!({
                "rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0, 1.1, 1.2, 1.3, 1.5, 2.0],
                "long_factor": [2.0, 2.0, 2.0, 2.0, 2.0, 2.0], "partial_rotary_factor": 0.75
            }),
            1.224_744_871_391_589,
            vec![1.0, 0.195_857_69, 0.038_679_9, 0.007_692_307_7, 0.001_436_289_5, 0.000_232_079_47],
        ),
        (
            json!({
                "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32
            }),
            1.0,
            vec![
                1.0,
                0.024_240_345,
                0.004_700_753_8,
                0.000_911_583_13,
                0.000_176_776_68,
                3.428_102_4e-5,
                6.647_869_7e-6,
                1.289_173_2e-6,
            ],
        ),
    ];
    for (rope, factor, expected) in cases {
        let long = rope["rope_type"] == "longrope";
        let family = if long { "phi3" } else { "llama" };
        let changes =
            json!({"rope_parameters": rope, "max_position_embeddings": 512, "original_max_position_embeddings": 64});
        let spec = spec(family, changes);
        let ours = &spec.ropes[0];
        assert!((ours.factor - factor).abs() < 1e-12, "{rope}: {}", ours.factor);
        assert_eq!(ours.frequencies().len(), expected.len(), "{rope}");
        for (a, b) in ours.frequencies().iter().zip(&expected) {
            assert!((a / b - 1.0).abs() < 1e-6, "{rope}: {a} {b}");
        }
        // Beyond the original length, longrope's other factors would hold.
        assert_eq!(spec.positions, if long { 64 } else { 512 });
    }
    // The folders of Qwen 2.5 with YaRN say no more than this.
    let older = json!({"rope_theta": 1e6, "head_dim": 128, "max_position_embeddings": 32768,
        "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"}});
    let rope = spec("qwen2", older).ropes.remove(0);
    let frequencies = rope.frequencies();
    for (i, expected) in
        [(1, 0.805_842_2), (23, 0.006_978_306), (24, 0.005_375_321_5), (39, 6.490_394_3e-5), (63, 3.102_344_4e-7)]
    {
        assert!((frequencies[i] / expected - 1.0).abs() < 1e-6, "{i}: {}", frequencies[i]);
    }
    assert!((rope.factor - 1.138_629_436_111_989).abs() < 1e-12);
}

#[test]
fn what_a_config_leaves_out_is_what_its_class_in_transformers_takes_for_granted() {
    let windows = |spec: &Spec| spec.blocks.iter().map(|block| block.window).collect::<Vec<_>>();
    let none = json!({});
    assert_eq!(windows(&spec("mistral", none.clone())), [Some(4096); 3]);
    assert_eq!(windows(&spec("mistral", json!({"sliding_window": null}))), [None; 3]);
    assert_eq!(windows(&spec("phi3", none.clone())), [None; 3]);

    let gemma2 = spec("gemma2", none.clone());
    assert_eq!(windows(&gemma2), [Some(4096), None, Some(4096)]);
    assert_eq!(gemma2.caps, Caps { attention: Some(50.0), logits: Some(30.0) });
    assert!(gemma2.tied);
    assert_eq!(gemma2.blocks[0].scale, 1.0 / 16.0);
    let gemma3 = spec("gemma3_text", json!({"num_hidden_layers": 7}));
    assert_eq!(
        gemma3.blocks.iter().map(|b| (b.window.is_some(), b.rope)).collect::<Vec<_>>()[4..],
        [(true, Some(1)), (false, Some(0)), (true, Some(1))]
    );
    assert_eq!(gemma3.ropes.iter().map(|rope| rope.theta).collect::<Vec<_>>(), [1e6, 1e4]);
    assert_eq!(gemma3.caps, Caps { attention: None, logits: None });

    let smollm3 = spec("smollm3", json!({"num_hidden_layers": 5}));
    assert_eq!(smollm3.blocks.iter().map(|b| b.rope.is_some()).collect::<Vec<_>>(), [true, true, true, false, true]);
    assert_eq!(smollm3.ropes[0].theta, 2e6);
    let late = json!({"use_sliding_window": true, "sliding_window": 32, "max_window_layers": 2});
    assert_eq!(windows(&spec("qwen3", late)), [None, None, Some(32)]);
    assert_eq!(windows(&spec("qwen2", json!({"sliding_window": 32, "max_window_layers": 2}))), [None; 3]);

    let gpt2 = spec("gpt2", none);
    assert_eq!((gpt2.feed_forward, gpt2.positions, gpt2.norm_eps, gpt2.tied), (256, 1024, 1e-5, true));
    let scaled = spec("gpt2", json!({"scale_attn_by_inverse_layer_idx": true}));
    assert_eq!(scaled.blocks.iter().map(|b| b.scale).collect::<Vec<_>>(), [0.25, 0.125, 0.25 / 3.0]);
}

#[test]
fn gemma_3s_scaling_is_of_its_full_layers_only() {
    let older = json!({"rope_scaling": {"rope_type": "linear", "factor": 8.0}});
    let spec = spec("gemma3_text", older);
    assert_eq!(spec.ropes[0].scaling, Scaling::Linear(8.0));
    assert_eq!(spec.ropes[1].scaling, Scaling::None);
}

#[test]
fn biases_are_where_the_config_or_the_family_has_them() {
    let of = |model_type: &str, changes: Value| {
        let biases = spec(model_type, changes).biases;
        [biases.qkv, biases.output, biases.mlp]
    };
    assert_eq!(of("llama", json!({})), [false; 3]);
    assert_eq!(of("llama", json!({"attention_bias": true, "mlp_bias": true})), [true; 3]);
    assert_eq!(of("qwen3", json!({"attention_bias": true})), [true, true, false]);
    assert_eq!(of("qwen2", json!({})), [true, false, false]);
    assert_eq!(of("gpt2", json!({})), [true; 3]);
}

#[test]
fn what_is_not_supported_is_named_and_not_ignored() {
    refused("mamba", json!({}), "the architecture `mamba`");
    refused("llama", json!({"hidden_act": "relu2"}), "`hidden_act` = \"relu2\"");
    refused("llama", json!({"quantization_config": {"bits": 4}}), "quantised weights");
    refused("llama", json!({"sliding_window": 32}), "`sliding_window` = 32");
    refused("llama", json!({"num_local_experts": 8}), "`num_local_experts` = 8");
    refused("mistral", json!({"layer_types": ["full_attention"]}), "`layer_types` = [\"full_attention\"]");
    refused("mistral", json!({"attention_bias": true}), "`attention_bias` = true");
    refused("qwen2", json!({"layer_types": ["full_attention"]}), "`layer_types` has 1 entries for 3 layers");
    let listed = json!({"layer_types": ["full_attention", "sliding_attention", "full_attention"]});
    refused("qwen2", listed, "no sliding window is switched on");
    let chunked = json!({"layer_types": ["chunked_attention", "full_attention", "full_attention"]});
    refused("gemma2", chunked, "\"chunked_attention\" is not supported");
    refused("gemma2", json!({"use_bidirectional_attention": true}), "`use_bidirectional_attention` = true");
    refused("gemma2", json!({"final_logit_softcapping": 0.0}), "a soft cap of 0");
    refused("gemma3_text", json!({"attn_logit_softcapping": 50.0}), "`attn_logit_softcapping` = 50.0");
    refused("gpt2", json!({"add_cross_attention": true}), "`add_cross_attention` = true");
    refused("gpt2", json!({"n_head": 5}), "n_head = 5 does not divide n_embd = 64");
    refused("smollm3", json!({"no_rope_layers": [1, 0, 2]}), "`no_rope_layers`: 2 is neither 0 nor 1");
    refused("llama", json!({"num_key_value_heads": 3}), "does not divide");
    refused("llama", json!({"num_hidden_layers": 1_u32 << 30}), "`num_hidden_layers` = 1073741824");
    refused("llama", json!({"head_dim": 15}), "head_dim = 15");
    refused("llama", json!({"tie_word_embeddings": "yes"}), "`tie_word_embeddings`");
    for (family, rope, needle) in [
        ("llama", json!({"rope_type": "dynamic", "factor": 2.0}), "rope_type = \"dynamic\""),
        ("llama", json!({"rope_type": "linear"}), "`factor` is missing"),
        ("llama", json!({"rope_type": "default", "mrope_section": [1, 2]}), "`mrope_section` = [1,2]"),
        ("llama", json!({"rope_type": "default", "partial_rotary_factor": 0.5}), "`partial_rotary_factor` = 0.5"),
        ("llama", json!({"rope_type": "linear", "factor": 0.0}), "no positive numbers"),
        ("phi3", json!({"rope_type": "longrope", "short_factor": [1.0]}), "not a list of 8 numbers"),
        ("phi3", json!({"rope_type": "su"}), "`short_factor`"),
        ("gemma3_text", json!({"rope_type": "default"}), "`rope_type` = \"default\""),
    ] {
        refused(family, json!({"rope_parameters": rope}), needle);
    }
}

#[test]
fn fields_that_change_nothing_are_let_be() {
    spec(
        "llama",
        json!({
            "_name_or_path": "x", "architectures": ["LlamaForCausalLM"], "attention_dropout": 0.1, "bos_token_id": 1,
            "torch_dtype": "bfloat16", "transformers_version": "4.46.0", "use_cache": true, "rope_interleaved": false,
            "transformers.js_config": {"dtype": "q4"}, "unsloth_fixed": true, "pretraining_tp": 2, "temperature": 0.6
        }),
    );
    // As the folder of gemma-2-2b has them.
    spec(
        "gemma2",
        json!({
            "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "sliding_window_size": 4096,
            "cache_implementation": "hybrid", "query_pre_attn_scalar": 256
        }),
    );
    // As the folder of Qwen2.5-0.5B has them.
    spec(
        "qwen2",
        json!({"max_window_layers": 24, "sliding_window": 32768, "use_mrope": false, "use_sliding_window": false}),
    );
}
