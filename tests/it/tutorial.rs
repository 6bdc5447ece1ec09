//! `docs/write-a-plugin.md`, word for word: its commands and its code, in an empty folder outside the repository.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{repository, scratch, udasa};

/// The numbered sections as one script. Code goes where the page says it goes, `src/lib.rs`. The first block names the
/// reader's checkout, which here is this one; what watches for ever has tests of its own.
fn script(page: &str) -> String {
    let walk = page.split("\n## The rules").next().expect("a page has a beginning");
    let mut script = String::new();
    for (place, fenced) in walk.split("```").skip(1).step_by(2).enumerate() {
        let (language, block) = fenced.split_once('\n').expect("a fence names its language");
        match language {
            "sh" if place == 0 => assert!(block.contains("export UDASA="), "{block}"),
            "sh" => script.extend(block.lines().filter(|line| !line.contains(" --watch ")).flat_map(|l| [l, "\n"])),
            "rust" => script.push_str(&format!("cat > src/lib.rs <<'END OF CODE'\n{block}END OF CODE\n")),
            other => panic!("what is a reader to do with a block of `{other}`?"),
        }
    }
    script
}

#[test]
fn the_tutorial_works_word_for_word_in_an_empty_folder() {
    let page = fs::read_to_string(repository().join("docs/write-a-plugin.md")).expect("the page is there");
    let script = script(&page);
    for command in ["plugin new", "cargo test", "plugin build", "plugin check", "plugin call", "udasa score"] {
        assert!(script.contains(command), "the page no longer says `{command}`:\n{script}");
    }
    let program = udasa().get_program().to_owned();
    let program = Path::new(&program).parent().expect("the program lies in a folder").to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([program].into_iter().chain(env::split_paths(&path))).expect("the PATH can be made");
    let folder = scratch();
    let mut shell = Command::new("bash");
    // Cargo's own variables are this test's, not the reader's.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_")) {
        shell.env_remove(name);
    }
    let output = shell
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("UDASA", repository())
        .env("OMP_NUM_THREADS", "1")
        // The dependencies are compiled once, not once a run.
        .env("CARGO_TARGET_DIR", repository().join("target/test-authors"))
        .output()
        .expect("bash starts");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    for part in [
        "test result: ok. 2 passed",
        "test result: ok. 1 passed",
        "hedging  scorer ",
        "purity    ok ",
        "udasa:plugin/log@0.1.0",
        r#""uncertainty":0.5,"notes":{"hedges":2.0}"#,
        r#""hedges": 1.0"#,
    ] {
        assert!(stdout.contains(part), "`{part}` is missing:\n{stdout}\n{stderr}");
    }
    assert!(folder.path().join("hedging/runs/try/scores.jsonl").is_file());
}
