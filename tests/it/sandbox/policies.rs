//! One test per sin of a staging policy, by `tests/fixtures/bad-policy`: the scores and pairs before it stay, and the policy
//! that mends its ways goes on from them.

use std::fs;

use super::bad_plugins;
use super::trial::{Trial, digest};
use crate::small::kept;
use crate::support::{expect_success, expect_user_error};

const DEFECT: &str = "this is a defect of the plugin; `stage.policy` names another one";

fn staged(trial: &Trial, sin: &str) -> std::process::Command {
    let sections =
        format!("[pair]\nmin_gap = 0.0\n[stage]\npolicy = \"bad-policy\"\nsettings = {{ sin = \"{sin}\" }}\n");
    // Without a sin it tells responses by their length, so that there are pairs.
    trial.command("stage", &trial.run(), "[[scorer]]\nplugin = \"bad\"\n", &sections)
}

#[track_caller]
fn sins(sin: &str, cause: &str, cure: &str) {
    let trial = Trial::bad("", "");
    fs::copy(bad_plugins().join("bad-policy.wasm"), trial.directory().join("bad-policy.wasm")).expect("was built");
    let digest = &digest(&trial.directory().join("bad-policy.wasm"))[..12];
    let sentence = format!("plugin `bad-policy` 0.1.0 ({digest}): `next-stage` failed: {cause}");
    let stderr = expect_user_error(&mut staged(&trial, sin), &["error: ", &sentence]);
    let hints: Vec<&str> = stderr.lines().filter(|line| line.starts_with("hint:")).collect();
    assert_eq!(hints.len(), 1, "hints in\n{stderr}");
    assert!(hints[0].contains(cure), "`{cure}` is missing:\n{stderr}");
    assert!(stderr.len() < 8192 && !stderr.contains('\u{1b}'), "not for a terminal:\n{stderr}");
    let before = ["scores.jsonl", "pairs.jsonl"].map(|name| fs::read(trial.run().join(name)).expect("was written"));
    assert!(!before[1].is_empty());

    let stderr = expect_success(&mut staged(&trial, ""));
    assert_eq!(kept(&stderr), ["generate", "score", "pair"]);
    let after = ["scores.jsonl", "pairs.jsonl"].map(|name| fs::read(trial.run().join(name)).expect("was written"));
    assert!(before == after, "the sin changed scores or pairs");
}

/// A test that the fixture commits `$sin`, with the cause and the cure that are told.
macro_rules! sins {
    ($($name:ident: $sin:literal, $cause:expr, $cure:expr;)*) => {
        $(#[test]
        fn $name() {
            sins($sin, $cause, $cure);
        })*
    };
}

sins! {
    an_endless_loop: "loop", "ran out of fuel (50,000,000 units, about as many instructions)", "raise `limits.fuel`";
    a_memory_bomb: "memory", "ran out of memory: wanted 1026 MiB of at most 64", "raise `limits.memory_mib`";
    a_panic: "panic", "panicked without a message", DEFECT;
    a_flood_of_log_lines: "log-flood", "ran out of fuel", "raise `limits.fuel`";
    a_fault_of_its_own: "fault", "too few pairs", "`stage.policy` names another one";
    a_pair_that_does_not_exist: "beyond", "put pair 2 into stage `all`; there are 2 pairs, counted from 0", DEFECT;
    a_pair_twice: "twice", "put pair 0 into stage `all` twice", DEFECT;
    a_million_indices: "million-indices", "put pair 0 into stage `all` twice", DEFECT;
    a_stage_without_pairs: "empty", "made stage `all` without pairs", DEFECT;
    a_stage_without_a_name: "unnamed", "named a stage ``; a name has 1 to 200 bytes and no control characters", DEFECT;
    a_stage_whose_name_commands_the_terminal: "control-name", "named a stage `all�[2J`", DEFECT;
    a_reason_of_a_megabyte: "huge-reason", "gave stage `all` a reason that is not one sentence of at most 1000 bytes: xxxx", DEFECT;
    a_reason_that_commands_the_terminal: "two-reasons", "gave stage `all` a reason that is not one sentence", DEFECT;
    a_loss_with_a_name_of_a_megabyte: "no-loss", "set `loss` of stage `all` to `xxxx", DEFECT;
    no_epochs: "no-epochs", "set `epochs` of stage `all` to 0; it takes 1 to 1000", DEFECT;
    endless_epochs: "endless-epochs", "set `epochs` of stage `all` to 4294967295; it takes 1 to 1000", DEFECT;
    a_beta_that_is_nan: "nan", "set `beta` of stage `all` to NaN; it takes 0 to 100", DEFECT;
    a_beta_below_the_range: "negative-beta", "set `beta` of stage `all` to -0.1; it takes 0 to 100", DEFECT;
    a_learning_rate_that_is_nan: "nan-rate", "set `learning-rate-scale` of stage `all` to NaN; it takes 0 to 1000", DEFECT;
    a_smoothing_that_is_nan: "nan-smoothing", "set `label-smoothing` of stage `all` to NaN; it takes 0 to 0.5", DEFECT;
    a_weight_that_is_infinite: "infinite-weight", "set `nll-weight` of stage `all` to inf", DEFECT;
}

fn with_policy(sin: &str, limits: &str, needles: &[&str]) {
    let trial = Trial::bad("", limits);
    fs::copy(bad_plugins().join("bad-policy.wasm"), trial.directory().join("bad-policy.wasm")).expect("was built");
    let stderr = expect_user_error(&mut staged(&trial, sin), needles);
    assert!(stderr.len() < 8192, "{} bytes", stderr.len());
}

#[test]
fn a_hundred_megabytes() {
    let needles = ["`next-stage` failed: handed over more than 16 MiB at once", "raise `limits.output_mib`"];
    with_policy("huge-output", "memory_mib = 256", &needles);
}

#[test]
fn endless_stages() {
    let needles = ["the staging policy gave 100 stages and goes on", "`stage.policy` names another one"];
    with_policy("endless-stages", "", &needles);
}

#[test]
fn sins_in_check_settings() {
    let frame = "plugin `bad-policy` 0.1.0 (";
    let needles = [frame, "`check-settings` failed: ran out of fuel (50,000,000 units", "raise `limits.fuel`"];
    with_policy("loop-in-check-settings", "", &needles);
    with_policy("problem", "", &["1 problem in the settings of staging policy `bad-policy`", "settings.sin: is a sin"]);
}
