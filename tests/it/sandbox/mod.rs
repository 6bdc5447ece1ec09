//! Plugins that misbehave, through the real binary: it survives, says so, and what was computed stays.

mod trial;
mod wat;

mod descriptions;
mod files;
mod independence;
mod memory;
mod policies;
mod sins;
mod strange;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::support::{expect_user_error, repository, scratch, udasa, write};
use trial::Trial;

/// The fixtures as a user would build them, once per run of the tests.
pub fn bad_plugins() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let out = repository().join("target/test-plugins/bad-through-the-binary");
        let mut command = udasa();
        command.args(["plugin", "build"]);
        for fixture in ["bad-plugin", "bad-policy"] {
            command.arg(repository().join("tests/fixtures").join(fixture));
        }
        let output = command.arg("--out").arg(&out).output().expect("udasa starts");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        assert!(stdout.starts_with("bad         scorer "), "{stdout}");
        assert!(stdout.contains("  sha256 "), "{stdout}");
        out
    })
}

#[test]
fn settings_are_refused_with_all_problems_before_anything_runs() {
    let trial = Trial::bad("two-problems", "");
    let needles = ["2 problems in the settings of scorer `bad`", "settings.sin: is a sin"];
    expect_user_error(&mut trial.score("stop"), &needles);
    assert!(!trial.run().exists());
}

#[test]
fn another_digest_than_the_pinned_one_is_refused_with_the_line_to_paste() {
    let trial = Trial::bad("", "");
    let pinned = format!("sha256 = \"{}\"", "0".repeat(64));
    let needles = ["is not the one that the config pins", "write: sha256 = \""];
    expect_user_error(&mut trial.score_with("stop", &pinned), &needles);
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
