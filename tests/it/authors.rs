//! What a plugin's author types: a new crate from nothing to a call, and every way to get it wrong.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::sandbox::bad_plugins;
use crate::support::{expect_success, expect_user_error, plugins, repository, scratch, udasa, write};

/// `udasa plugin …`, as from a shell of the author's: cargo's own variables are ours, not theirs.
fn plugin(arguments: &[&str]) -> Command {
    let mut command = udasa();
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_")) {
        command.env_remove(name);
    }
    command.env("CARGO_TARGET_DIR", repository().join("target/test-authors")).arg("plugin").args(arguments);
    command
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The JSON on stdout of a call that succeeds, and what was said on stderr.
#[track_caller]
fn called(arguments: &[&str]) -> (Value, String) {
    let output = plugin(arguments).output().expect("udasa starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    (serde_json::from_slice(&output.stdout).expect("JSON"), stderr)
}

/// The lines of `udasa plugin check`, as (check, status, detail), and the exit code.
fn checked(arguments: &[&str]) -> (Vec<[String; 3]>, Option<i32>) {
    let output = plugin(&[&["check", "--json"], arguments].concat()).output().expect("udasa starts");
    let reports: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let lines =
        reports.as_array().expect("a list").iter().flat_map(|report| report["checks"].as_array().expect("a list"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let lines = lines.map(|line| ["check", "status", "detail"].map(|key| text(&line[key]))).collect();
    (lines, output.status.code())
}

/// The plugin of this name among the shipped ones.
fn shipped(name: &str) -> String {
    path(&plugins().join(format!("{name}.wasm"))).to_owned()
}

fn bad() -> String {
    path(&bad_plugins().join("bad.wasm")).to_owned()
}

#[test]
fn a_new_plugin_of_either_kind_is_tested_built_checked_and_called_outside_the_repository() {
    let folder = scratch();
    // A workspace above must not take the crates in.
    write(folder.path(), "Cargo.toml", "[workspace]\nmembers = []\n");
    let functions = [
        ("scorer", "score", r#"{"prompt": "q", "responses": ["one two"]}"#),
        ("staging-policy", "next-stage", r#"{"pairs": [{"gap": 0.1}, {"gap": 0.9}]}"#),
    ];
    for (kind, function, input) in functions {
        let name = format!("my-{kind}");
        let mut new = plugin(&["new", &name, "--kind", kind]);
        let output = new.current_dir(folder.path()).output().expect("udasa starts");
        assert!(output.status.success(), "{output:?}");
        assert!(stdout(&output).contains("cargo test"), "{output:?}");
        let dir = folder.path().join(&name);
        let page = fs::read_to_string(dir.join("README.md")).expect("it was written");
        assert!(page.contains(&format!("udasa plugin call plugins/{name}.wasm {function}")), "{page}");
        // The versions that this repository was built with: the test needs no network.
        fs::copy(repository().join("Cargo.lock"), dir.join("Cargo.lock")).expect("copied");

        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let target = repository().join("target/test-authors");
        let tested =
            cargo.current_dir(&dir).env("CARGO_TARGET_DIR", target).arg("test").output().expect("cargo starts");
        assert!(stdout(&tested).contains("test result: ok. 2 passed"), "{tested:?}");

        let built = plugin(&["build"]).current_dir(&dir).output().expect("udasa starts");
        assert!(built.status.success(), "{built:?}");
        assert!(stdout(&built).starts_with(&format!("{name}  {} ", kind.replace('-', " "))), "{built:?}");
        let file = dir.join(format!("plugins/{name}.wasm"));
        let (lines, code) = checked(&[path(&dir.join("plugins"))]);
        assert_eq!(code, Some(0), "{lines:?}");
        assert_eq!(lines.len(), 10, "{lines:?}");
        assert!(lines.iter().all(|[_, status, _]| status == "ok"), "{lines:?}");

        let (result, said) = called(&["call", path(&file), function, "--input", input]);
        match function {
            "score" => assert_eq!(result, json!({"done": [{"uncertainty": 0.02, "notes": {"words": 2.0}}]})),
            _ => assert_eq!((&result["name"], &result["pairs"]), (&json!("part-1"), &json!([1]))),
        }
        assert!(said.contains("fuel ") && said.contains(" memory ") && said.contains(" time "), "{said}");
    }
}

#[test]
fn a_plugin_is_not_started_where_or_as_it_cannot_live() {
    let folder = scratch();
    let new = |arguments: &[&str]| {
        let mut command = plugin(&[&["new"], arguments].concat());
        command.current_dir(folder.path());
        command
    };
    write(folder.path(), "taken/notes.txt", "mine");
    write(folder.path(), "file", "mine");
    expect_user_error(&mut new(&["taken"]), &["the folder taken exists already and is not empty", "--path DIR"]);
    expect_user_error(&mut new(&["file"]), &["file exists already and is a file"]);
    expect_user_error(&mut new(&["My_Scorer"]), &["`My_Scorer` cannot be a plugin's name", "`my-scorer` would do"]);
    expect_user_error(&mut new(&["serde"]), &["`serde` cannot be a plugin's name", "`my-serde`"]);
    expect_user_error(&mut new(&["fine", "--sdk", "taken"]), &["taken is not the plugin SDK", "--sdk PATH"]);
    assert!(!folder.path().join("fine").exists(), "nothing was begun");
    let kinds = new(&["fine", "--kind", "polcy"]).output().expect("udasa starts");
    assert_eq!(kinds.status.code(), Some(1), "{kinds:?}");
    // An empty folder is as good as none.
    fs::create_dir(folder.path().join("empty")).expect("made");
    expect_success(&mut new(&["fine", "--path", "empty"]));
    assert!(folder.path().join("empty/src/lib.rs").is_file());
}

#[test]
fn the_shipped_plugins_pass_every_check() {
    let (lines, code) = checked(&[path(&plugins())]);
    assert_eq!(code, Some(0), "{lines:#?}");
    let crates = fs::read_dir(repository().join("plugins")).expect("listed").flatten();
    let shipped = crates.filter(|entry| entry.path().join("Cargo.toml").is_file()).count();
    assert_eq!(lines.iter().filter(|[check, ..]| check == "fuel").count(), shipped, "{lines:#?}");
    let asked = lines.iter().filter(|[check, _, detail]| check == "outputs" && detail.contains("made-up answers"));
    assert!(asked.count() >= 2, "the judges were asked nothing: {lines:#?}");
}

#[test]
fn each_sin_fails_the_check_it_is_against() {
    let sins = [
        ("two-problems", "settings", "sin: is a sin"),
        ("nan", "outputs", "the uncertainty NaN"),
        ("panic", "outputs", "panicked: no such token"),
        ("wrong-count", "outputs", "scores for"),
        ("undeclared", "outputs", "does not declare"),
        ("fault", "outputs", "refused every sample"),
        ("memory", "limits", "ran out of memory"),
        ("endless-rounds", "limits", "rounds"),
        ("remember", "purity", "another result"),
    ];
    for (sin, check, detail) in sins {
        let settings = format!(r#"{{"sin": "{sin}"}}"#);
        let (lines, code) = checked(&[&bad(), "--settings", &settings]);
        assert_eq!(code, Some(1), "{sin}: {lines:#?}");
        let failed = lines.iter().find(|[name, status, _]| name == check && status == "failed");
        let found = failed.unwrap_or_else(|| panic!("{sin}: `{check}` did not fail: {lines:#?}"));
        assert!(found[2].contains(detail), "{sin}: {found:?}");
        let unjudged = lines.iter().filter(|[name, ..]| ["contract", "imports", "describe"].contains(&name.as_str()));
        assert!(unjudged.clone().count() == 3 && unjudged.clone().all(|[_, status, _]| status == "ok"), "{lines:#?}");
    }
    let (lines, code) = checked(&[&bad()]);
    assert_eq!(code, Some(0), "without a sin it is a good scorer: {lines:#?}");
}

#[test]
fn a_check_says_on_stdout_what_failed_and_on_stderr_that_it_did() {
    let folder = scratch();
    write(folder.path(), "text.wasm", "hello");
    write(folder.path(), "core.wasm", b"\0asm\x01\0\0\0");
    let whole = fs::read(bad()).expect("was built");
    write(folder.path(), "cut.wasm", &whole[..whole.len() / 2]);
    write(folder.path(), "one.wasm", &whole);
    write(folder.path(), "two.wasm", &whole);
    let output = plugin(&["check", path(folder.path())]).output().expect("udasa starts");
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    for part in [
        "contract  FAILED   ",
        "text.wasm is not WebAssembly",
        "is a core WebAssembly module",
        "is damaged or cut off",
        "describe  skipped  it cannot be called",
        "purity    ok ",
        "name      FAILED   ",
        "one.wasm is named `bad` too",
    ] {
        assert!(text.contains(part), "`{part}` is missing:\n{text}");
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("error: 4 of 5 plugins failed checks\nhint: "), "{stderr}");
}

#[test]
fn the_authors_own_samples_are_tried_too() {
    let folder = scratch();
    let samples =
        write(folder.path(), "s.jsonl", "{\"id\": \"mine\", \"prompt\": \"q\", \"responses\": [\"a\", \"b\"]}\n");
    let count = |arguments: &[&str]| {
        let (lines, code) = checked(arguments);
        assert_eq!(code, Some(0), "{lines:#?}");
        let outputs = lines.into_iter().find(|[check, ..]| check == "outputs").expect("checked");
        outputs[2].split(' ').next().and_then(|n| n.parse::<usize>().ok()).expect("a number")
    };
    let scorer = shipped("sentiment");
    assert_eq!(count(&[&scorer, "--sample", path(&samples)]), count(&[&scorer]) + 1);
    let policy = shipped("terciles");
    expect_user_error(&mut plugin(&["check", &policy, "--sample", path(&samples)]), &["--sample is for scorers"]);
    let broken = write(folder.path(), "b.jsonl", "{\"prompt\": \"q\"}\n");
    expect_user_error(
        &mut plugin(&["check", &scorer, "--sample", path(&broken)]),
        &["b.jsonl:1: no field `responses`"],
    );
    expect_user_error(&mut plugin(&["check", &scorer, "--sample", "no.jsonl"]), &["no.jsonl"]);
}

#[test]
fn what_cannot_be_checked_is_the_users_error() {
    let folder = scratch();
    let missing = folder.path().join("missing.wasm");
    expect_user_error(&mut plugin(&["check", path(&missing)]), &["cannot read the plugin file", "missing.wasm"]);
    expect_user_error(&mut plugin(&["check", path(folder.path())]), &["holds no plugins", "udasa plugin build"]);
    expect_user_error(&mut plugin(&["check", &bad(), "--settings", "{"]), &["the settings are not JSON"]);
    expect_user_error(&mut plugin(&["check", &bad(), "--settings", "[1]"]), &["the settings are not a JSON object"]);
    let both = ["check", path(&plugins()), "--settings", "{}"].map(str::to_owned);
    let both: Vec<&str> = both.iter().map(String::as_str).collect();
    expect_user_error(&mut plugin(&both), &["--settings goes with one plugin"]);
}

#[test]
fn every_function_of_the_contract_can_be_called() {
    let sentiment = shipped("sentiment");
    let (described, said) = called(&["call", &sentiment, "describe"]);
    assert_eq!(described["name"], "sentiment");
    assert!(!said.contains("fuel 0,") && said.starts_with("fuel "), "{said}");
    let (problems, _) = called(&["call", &sentiment, "check-settings", "--input", r#"{"scal": 1}"#]);
    assert_eq!(problems[0]["path"], "scal");
    assert_eq!(called(&["call", &sentiment, "check-settings"]).0, json!([]));

    // A judge asks, and is called again with the answers.
    let value = shipped("value");
    let settings = r#"{"principles": [{"text": "kind"}], "form": "text"}"#;
    let ask = ["call", &value, "score", "--settings", settings, "--input"];
    let sample = json!({"prompt": "q", "responses": ["a"]});
    let (step, _) = called(&[&ask[..], &[&sample.to_string()]].concat());
    let questions = step["ask"].as_array().expect("questions");
    let answers: Vec<Value> = questions.iter().map(|_| json!({"choose": [0.5, 0.5]})).collect();
    let folder = scratch();
    let answered = json!({"prompt": "q", "responses": ["a"], "rounds": [answers]});
    let file = write(folder.path(), "answered.json", answered.to_string());
    let (step, _) = called(&[&ask[..], &[&format!("@{}", path(&file))]].concat());
    assert_eq!(step["done"][0]["uncertainty"], 0.5);

    let input = r#"{"seed": 3, "pairs": [{"gap": 0.5, "group": "a"}], "history": []}"#;
    let terciles = shipped("terciles");
    let mut command = plugin(&["call", &terciles, "next-stage", "--input", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let stage: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    assert_eq!((&stage["name"], &stage["pairs"]), (&json!("conservative"), &json!([0])));
    // The stage as it came out is a history; what the policy has no more to say to is null.
    let after = json!({"pairs": [{"gap": 0.5}], "history": [{"name": "conservative", "pairs": [0]}]}).to_string();
    assert_eq!(called(&["call", &terciles, "next-stage", "--input", &after]).0, Value::Null);
}

#[test]
fn a_call_that_cannot_be_made_says_why() {
    let scorer = shipped("sentiment");
    let policy = shipped("terciles");
    let sample = r#"{"prompt": "q", "responses": ["a"]}"#;
    let cases: [(&[&str], &[&str]); 12] = [
        (&[&scorer, "scor"], &["a scorer has no function `scor`", "`describe`, `check-settings`, `score`"]),
        (&[&scorer, "next-stage", "--input", "{}"], &["a scorer has no function `next-stage`"]),
        (&[&policy, "score", "--input", sample], &["a staging policy has no function `score`", "`next-stage`"]),
        (&[&scorer, "score"], &["`score` needs an input", "--input JSON"]),
        (&[&scorer, "score", "--input", "{"], &["no sample: not JSON"]),
        (&[&scorer, "score", "--input", "[]"], &["no sample: not a JSON object"]),
        (&[&scorer, "score", "--input", r#"{"prompt": "q"}"#], &["no field `responses`"]),
        (&[&scorer, "score", "--input", "@no.json"], &["cannot read the input from no.json"]),
        (&[&scorer, "score", "--input", r#"{"prompt": "q", "responses": ["a"], "rounds": [1]}"#], &["`rounds`"]),
        (&[&scorer, "describe", "--input", "{}"], &["`describe` takes no input"]),
        (&[&scorer, "score", "--input", sample, "--settings", "7"], &["the settings are not a JSON object"]),
        (&[&policy, "next-stage", "--input", r#"{"pairs": [{"gpa": 1}]}"#], &["pair 0: unknown field `gpa`"]),
    ];
    for (arguments, needles) in cases {
        expect_user_error(&mut plugin(&[&["call"], arguments].concat()), needles);
    }
    let folder = scratch();
    expect_user_error(&mut plugin(&["call", path(folder.path()), "describe"]), &["is not a file"]);
    let text = write(folder.path(), "a.wasm", "hello");
    expect_user_error(&mut plugin(&["call", path(&text), "describe"]), &["a.wasm is not WebAssembly"]);
    // A trap tells its story, and what the plugin logged before it stands above.
    let panic = ["call", &bad(), "score", "--settings", r#"{"sin": "panic"}"#, "--input", sample].map(str::to_owned);
    let panic: Vec<&str> = panic.iter().map(String::as_str).collect();
    let output = plugin(&panic).output().expect("udasa starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.starts_with("log error: "), "{said}");
    assert!(said.contains("`score` failed on prompt `") && said.contains("panicked: no such token"), "{said}");
}

#[test]
fn a_reader_that_stops_reading_is_no_error() {
    let mut child = plugin(&["call", &shipped("value"), "describe"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("udasa starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn list_and_inspect_show_name_kind_questions_digest_imports_and_limits() {
    let listed = plugin(&["list", "--plugins", path(&plugins())]).output().expect("udasa starts");
    let text = stdout(&listed);
    for part in
        ["NAME ", "KIND ", "DIMENSION ", "ASKS ", "IMPORTS ", "SIZE ", "SHA-256 ", "limits of each: by default "]
    {
        assert!(text.contains(part), "`{part}` is missing:\n{text}");
    }
    let (rows, _) = called(&["list", "--json", "--plugins", path(&plugins())]);
    let (one, _) = called(&["inspect", "--json", &shipped("value")]);
    let row = rows.as_array().expect("a list").iter().find(|row| row["name"] == "value").expect("listed");
    for key in ["name", "version", "kind", "dimension", "asks", "sha256", "bytes", "contract", "imports", "limits"] {
        assert!(!row[key].is_null(), "{key}: {row}");
        assert_eq!(row[key], one[key], "{key}");
    }
    assert_eq!(one["settings_schema"]["type"], "object");
}
