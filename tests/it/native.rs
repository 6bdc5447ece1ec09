//! A native plugin through the real binary: built, refused without its pin, marked in the plan, and of the same scores.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{expect_success, expect_user_error, plugins, repository, scratch, udasa, write};

/// Scores that need no model, by the semantic scorer.
fn config(folder: &Path, scorer: &str) -> PathBuf {
    let responses = concat!(
        r#"{"prompt":"Where does the river end ?","responses":["in the sea","in the lake","In the sea."]}"#,
        "\n",
        r#"{"prompt":"Who sings ?","responses":["a bird","the bird","nobody"]}"#,
        "\n",
    );
    let responses = write(folder, "responses.jsonl", responses);
    let config = format!(
        "name = \"native\"\nseed = 1\n[generate]\nfrom = {responses:?}\n[[scorer]]\nplugin = \"semantic\"\n{scorer}\n"
    );
    write(folder, "config.toml", config)
}

/// What a command that must succeed prints to stdout.
fn printed(command: &mut Command) -> String {
    let output = command.output().expect("udasa starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The scores, as they were written.
fn scores(folder: &Path, directory: &Path, scorer: &str) -> String {
    let mut command = udasa();
    command.arg("score").arg(config(folder, scorer)).arg("--plugins").arg(directory);
    expect_success(command.arg("--out").arg(folder.join("run")));
    std::fs::read_to_string(folder.join("run/scores.jsonl")).expect("was written")
}

#[test]
fn a_native_scorer_is_pinned_marked_and_gives_the_same_bytes() {
    let folder = scratch();
    let directory = folder.path().join("plugins");
    for shipped in std::fs::read_dir(plugins()).expect("a folder") {
        let path = shipped.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
            write(&directory, name, std::fs::read(&path).expect("it was built"));
        }
    }
    let sandboxed = scores(folder.path(), &directory, "");

    let mut build = udasa();
    build.args(["plugin", "build", "--native"]).arg(repository().join("plugins/semantic")).arg("--out").arg(&directory);
    let built = printed(&mut build);
    let digest = built.trim().rsplit(' ').next().expect("the last word").to_owned();
    assert!(built.starts_with("semantic  scorer ") && digest.len() == 64, "{built}");
    // Not asked for, and so never opened: it could not be.
    write(&directory, "other.so", b"not a library");

    let mut unpinned = udasa();
    unpinned.arg("score").arg(config(folder.path(), "native = true")).arg("--plugins").arg(&directory);
    let line = format!("write: sha256 = \"{digest}\"");
    expect_user_error(&mut unpinned, &["semantic.so is not pinned", "without a sandbox", &line]);

    let pinned = format!("native = true\nsha256 = \"{digest}\"");
    let mut plan = udasa();
    plan.arg("plan").arg(repository().join("configs/mini.toml")).arg("--plugins").arg(&directory);
    plan.args(["--set", "scorer.semantic.native=true", "--set", &format!("scorer.semantic.sha256={digest}")]);
    let shown = printed(&mut plan);
    let marked =
        format!("semantic 0.1.0  scorer  contract 0.1.0  sha256 {}  native: no sandbox, no limits", &digest[..12]);
    assert!(shown.contains(&marked), "{shown}");

    assert_eq!(scores(folder.path(), &directory, &pinned), sandboxed);
    let record = std::fs::read_to_string(folder.path().join("run/run.toml")).expect("was written");
    assert!(record.contains("native = true") && record.contains(&digest), "{record}");
}
