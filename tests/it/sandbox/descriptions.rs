//! One test per lie of `describe`: written into the built fixture, as a stranger would build it.

use std::fs;

use super::bad_plugins;
use super::trial::{GOOD, Trial, alone, digest, of_good};
use crate::support::{expect_success, expect_user_error, udasa, write};

const DEFECT: &str = "this is a defect of the plugin; get or build another version of it";

/// The fixture that tells `lie`.
fn liar(lie: &str) -> Vec<u8> {
    const PLACE: &[u8] = b"the bad plugin describes itself:";
    let mut wasm = fs::read(bad_plugins().join("bad.wasm")).expect("was built");
    let found: Vec<usize> = (0..wasm.len() - 64).filter(|&at| wasm[at..].starts_with(PLACE)).collect();
    assert_eq!(found.len(), 1, "the place for the lie");
    let at = found[0] + PLACE.len();
    wasm[at..at + lie.len()].copy_from_slice(lie.as_bytes());
    wasm
}

/// A run with the good scorer is there; with the liar in the directory nothing runs and nothing of it changes; without it the
/// run is complete.
#[track_caller]
fn is_refused(lie: &str, needles: &[&str]) {
    let trial = Trial::bad("", "");
    expect_success(&mut trial.score_good());
    let file = trial.directory().join("bad.wasm");
    fs::write(&file, liar(lie)).expect("it can be written");
    let stderr = expect_user_error(&mut trial.score("stop"), needles);
    assert!(stderr.len() < 8192 && !stderr.contains('\u{1b}'), "{} bytes: {stderr:.4000}", stderr.len());
    assert_eq!(of_good(&trial.run()), alone());
    fs::remove_file(&file).expect("it is there");
    let stderr = expect_success(&mut trial.score_good());
    assert!(stderr.contains("unchanged, kept"), "{stderr}");
}

/// A test that the fixture's `$lie` is refused with all of `$needle`.
macro_rules! lies {
    ($($name:ident: $lie:literal, $($needle:expr),+;)*) => {
        $(#[test]
        fn $name() {
            is_refused($lie, &[$($needle),+]);
        })*
    };
}

lies! {
    a_loop: "loop", "bad.wasm` (", "`describe` failed: ran out of fuel (1,000,000,000 units", "an endless loop in the plugin? If not, get or build another";
    a_panic: "panic", "bad.wasm` (", "`describe` failed: panicked: who am I (src/lib.rs:7:5)", DEFECT;
    another_name_than_the_configs: "other-name", "no scorer named `bad` in the plugin directory", "there are `good`, `semantic`";
    the_name_of_another_plugin: "name-of-another", "two plugins are named `semantic`", "bad.wasm and ", "semantic.wasm";
    a_name_with_a_path: "name-with-a-path", "gave itself the name `../../etc/passwd`; a name has 1 to 64 of a-z, 0-9 and -", DEFECT;
    a_name_that_commands_the_terminal: "name-with-an-escape", "gave itself the name `a�[2J�hint: all is well`", DEFECT;
    a_name_of_a_megabyte: "huge-name", "gave itself the name `xxxxxxxx", DEFECT;
    no_name: "no-name", "gave itself the name ``", DEFECT;
    no_version: "no-version", "gave itself the version `latest`; a version is like 0.1.0", DEFECT;
    a_version_of_a_megabyte: "huge-version", "gave itself the version `1.0.0000", DEFECT;
    a_summary_of_a_megabyte: "huge-summary", "gave a summary that is not one line of at most 500 bytes", DEFECT;
    a_summary_of_two_lines: "summary-of-two-lines", "gave a summary that is not one line of at most 500 bytes", DEFECT;
    a_settings_schema_that_is_not_json: "schema-no-json", "gave a settings schema that is not JSON: ", DEFECT;
    a_settings_schema_that_is_no_object: "schema-no-object", "gave a settings schema that is not a JSON object", DEFECT;
    a_settings_schema_of_two_megabytes: "huge-schema", "gave a settings schema of 2000012 bytes; at most 1048576 are allowed", DEFECT;
    a_settings_schema_nested_a_hundred_thousand_deep: "deep-schema", "gave a settings schema that is not JSON: recursion limit exceeded", DEFECT;
    another_description_at_every_call: "changes", "described itself differently from one call to the next", DEFECT;
}

#[test]
fn another_version_is_another_digest_and_a_pin_holds_it_off() {
    let trial = Trial::bad("", "");
    let file = trial.directory().join("bad.wasm");
    let pin = format!("sha256 = \"{}\"", digest(&file));
    expect_success(&mut trial.score_with("stop", &pin));
    fs::write(&file, liar("other-version")).expect("it can be written");
    let needles = ["plugin `bad` (", "is not the one that the config pins", &pin[10..74], &digest(&file)];
    expect_user_error(&mut trial.score_with("stop", &pin), &needles);
    assert_eq!(of_good(&trial.run()), alone());
    // Without a pin it is another plugin, and its samples are scored anew.
    expect_success(&mut trial.score("stop"));
    assert_eq!(of_good(&trial.run()), alone());
}

#[test]
fn a_lie_is_told_by_list_and_inspect_as_well() {
    let trial = Trial::bad("", "");
    let file = write(&trial.directory(), "bad.wasm", liar("name-with-a-path"));
    let needle = "gave itself the name `../../etc/passwd`";
    expect_user_error(udasa().args(["plugin", "list", "--plugins"]).arg(trial.directory()), &[needle]);
    expect_user_error(udasa().args(["plugin", "inspect"]).arg(file), &[needle]);
    assert!(trial.command("plan", &trial.run(), GOOD, "").output().is_ok_and(|output| output.status.code() == Some(1)));
}
