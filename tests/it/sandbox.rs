//! Plugins that misbehave, through the real binary: it survives, says so, and what was computed stays.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use std::process::Command;

use crate::support::{expect_user_error, repository, scratch, udasa, write};

/// The fixture as a user would build it, once per run of the tests.
pub fn bad_plugins() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let out = repository().join("target/test-plugins/bad-through-the-binary");
        let output = udasa()
            .args(["plugin", "build"])
            .arg(repository().join("tests/fixtures/bad-plugin"))
            .arg("--out")
            .arg(&out)
            .output()
            .expect("udasa starts");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        assert!(stdout.starts_with("bad  scorer "), "{stdout}");
        assert!(stdout.contains("  sha256 "), "{stdout}");
        out
    })
}

/// A config that scores two prompts' ready-made responses with the bad plugin.
fn config(folder: &Path, scorer: &str) -> PathBuf {
    let responses = concat!(
        r#"{"prompt":"Where does the river end ?","responses":["in the sea","in the lake"]}"#,
        "\n",
        r#"{"prompt":"Who sings ?","responses":["a bird","the bird"]}"#,
        "\n",
    );
    let responses = write(folder, "responses.jsonl", responses);
    let config = format!(
        "name = \"bad\"\nseed = 1\n[generate]\nfrom = {responses:?}\n[limits]\nfuel = 200_000_000\nmemory_mib = 64\n\
         [[scorer]]\nplugin = \"bad\"\n{scorer}\n"
    );
    write(folder, "config.toml", config)
}

fn score(folder: &Path, scorer: &str) -> Command {
    let mut command = udasa();
    command
        .arg("score")
        .arg(config(folder, scorer))
        .arg("--plugins")
        .arg(bad_plugins())
        .arg("--out")
        .arg(folder.join("run"));
    command
}

fn sin(name: &str) -> String {
    format!("settings = {{ sin = \"{name}\" }}")
}

#[test]
fn every_sin_is_the_users_error_and_the_good_plugin_continues_from_what_was_computed() {
    let sins = [
        ("loop", "ran out of fuel (200,000,000 units"),
        ("panic", "panicked: no such token (src/lib.rs:7:5)"),
        ("wild-call", "trapped: undefined element"),
        ("memory", "ran out of memory: wanted 1026 MiB of at most 64"),
        ("many-allocations", "ran out of memory"),
        ("recursion", "this is a stack overflow"),
        ("native-recursion", "overflowed its stack of 1024 KiB"),
        ("nan", "gave response 0 the uncertainty NaN"),
        ("infinite", "gave response 0 the uncertainty inf"),
        ("out-of-range", "gave response 0 the uncertainty 1.5"),
        ("wrong-count", "returned 3 scores for 2 responses"),
        ("ungranted", "which the config does not grant it"),
        ("undeclared", "which its description does not declare"),
        ("many-questions", "asked 20000 questions in one round"),
        ("log-flood", "ran out of fuel"),
        ("fault", "this prompt has no words"),
    ];
    let folder = scratch();
    for (name, cause) in sins {
        let frame = ["plugin `bad` 0.1.0 (", "`score` failed on prompt `", cause];
        expect_user_error(&mut score(folder.path(), &sin(name)), &frame);
        assert!(folder.path().join("run/responses.jsonl").is_file());
    }
    let good = score(folder.path(), "").output().expect("udasa starts");
    assert!(good.status.success(), "{good:?}");
    let scores = std::fs::read_to_string(folder.path().join("run/scores.jsonl"));
    assert_eq!(scores.expect("was written").lines().count(), 2);
}

#[test]
fn samples_on_which_a_plugin_fails_can_be_skipped() {
    let folder = scratch();
    let skipping = format!("on_fault = \"skip\"\n{}", sin("panic"));
    let output = score(folder.path(), &skipping).output().expect("udasa starts");
    assert!(output.status.success(), "{output:?}");
    let scores = std::fs::read_to_string(folder.path().join("run/scores.jsonl"));
    assert_eq!(scores.expect("was written").matches("no such token").count(), 2);
}

#[test]
fn settings_are_refused_with_all_problems_before_anything_runs() {
    let folder = scratch();
    let needles = ["2 problems in the settings of scorer `bad`", "settings.sin: is a sin"];
    expect_user_error(&mut score(folder.path(), &sin("two-problems")), &needles);
}

#[test]
fn another_digest_than_the_pinned_one_is_refused_with_the_line_to_paste() {
    let folder = scratch();
    let pinned = format!("sha256 = \"{}\"", "0".repeat(64));
    let needles = ["is not the one that the config pins", "write: sha256 = \""];
    expect_user_error(&mut score(folder.path(), &pinned), &needles);
}

#[test]
fn directories_without_good_plugins_are_refused_each_in_its_own_words() {
    let folder = scratch();
    let list = |directory: &Path| {
        let mut command = udasa();
        command.args(["plugin", "list", "--plugins"]).arg(directory);
        command
    };
    let missing = folder.path().join("missing");
    expect_user_error(&mut list(&missing), &["does not exist", "--plugins DIR"]);
    expect_user_error(&mut list(folder.path()), &["holds no plugins", "udasa plugin build"]);

    let foreign = folder.path().join("foreign");
    write(&foreign, "a.wasm", b"hello");
    expect_user_error(&mut list(&foreign), &["a.wasm is not WebAssembly"]);
    write(&foreign, "a.wasm", b"\0asm\x01\0\0\0");
    expect_user_error(&mut list(&foreign), &["a.wasm is a core WebAssembly module", "plugin build"]);

    let twice = folder.path().join("twice");
    let good = std::fs::read(bad_plugins().join("bad.wasm")).expect("was built");
    write(&twice, "a.wasm", &good);
    write(&twice, "b.wasm", &good);
    expect_user_error(&mut list(&twice), &["two plugins are named `bad`", "a.wasm", "b.wasm"]);
}

#[test]
fn list_and_inspect_show_what_a_plugin_is() {
    let output =
        udasa().args(["plugin", "list", "--json", "--plugins"]).arg(bad_plugins()).output().expect("udasa starts");
    let json = String::from_utf8_lossy(&output.stdout);
    assert!(json.contains("\"name\": \"bad\"") && json.contains("\"kind\": \"scorer\""), "{json}");
    let output =
        udasa().args(["plugin", "inspect"]).arg(bad_plugins().join("bad.wasm")).output().expect("udasa starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("asks       choose,complete"), "{text}");
    assert!(text.contains("imports    udasa:plugin/log@0.1.0"), "{text}");
}
