//! What the command line says: help, the config reference, and every way a config can be wrong.

use std::path::{Path, PathBuf};

use crate::support::{expect_user_error, plugins, repository, scratch, udasa, write};

/// Small, sound, and needs no file, model or plugin up to `generate`.
const SMALL: &str = r#"name = "small"

[world]
kind = "mini"
documents = 10
prompts = 10

[sft]
steps = 1
learning_rate = 1e-3
max_tokens = 8

[sft.model]
hidden = 8
heads = 2
layers = 1
feed_forward = 8

[[scorer]]
plugin = "semantic"

[stage]
policy = "terciles"
"#;

/// `udasa plan` of a config with this text, up to `generate`.
fn plan(text: &str, folder: &Path, arguments: &[&str]) -> std::process::Command {
    let config = write(folder, "config.toml", text);
    let mut command = udasa();
    command.current_dir(folder).arg("plan").arg(config);
    command.args(["--until", "generate"]).args(arguments);
    command
}

fn stdout(command: &mut std::process::Command) -> String {
    let output = command.output().expect("udasa starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_help_is_the_one_that_was_reviewed() {
    let reviewed = include_str!("snapshots/help.txt");
    let now = stdout(udasa().arg("--help"));
    assert_eq!(now, reviewed, "renew with: udasa --help > tests/it/snapshots/help.txt");
}

#[test]
fn the_config_reference_is_up_to_date() {
    let file = repository().join("docs/config-reference.md");
    let committed = std::fs::read_to_string(&file).expect("docs/config-reference.md is there");
    let now = stdout(udasa().arg("config-reference"));
    assert!(
        now == committed,
        "docs/config-reference.md is stale; renew with: udasa config-reference > docs/config-reference.md"
    );
}

#[test]
fn the_page_of_the_shipped_plugins_is_up_to_date() {
    let file = repository().join("docs/plugins.md");
    let committed = std::fs::read_to_string(&file).expect("docs/plugins.md is there");
    let now = stdout(udasa().args(["plugin", "list", "--markdown", "--plugins"]).arg(plugins()));
    assert!(
        now == committed,
        "docs/plugins.md is stale; renew with: udasa plugin list --plugins plugins-built --markdown > docs/plugins.md"
    );
}

#[test]
fn every_shipped_config_is_sound() {
    let mut configs: Vec<PathBuf> = std::fs::read_dir(repository().join("configs"))
        .expect("configs/ is there")
        .map(|entry| entry.expect("configs/ can be read").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    configs.sort();
    assert!(!configs.is_empty());
    for config in configs {
        let mut command = udasa();
        command.current_dir(repository()).arg("plan").arg(&config);
        let output = command.args(["--until", "generate"]).output().expect("udasa starts");
        if output.status.success() {
            continue;
        }
        // Data that its header tells the user to fetch may be missing; nothing else may be wrong.
        let stderr = String::from_utf8_lossy(&output.stderr);
        let mut problems: Vec<&str> =
            stderr.lines().filter(|line| line.starts_with("  ") && !line.starts_with("    ")).collect();
        if problems.is_empty() {
            problems = stderr.lines().take(1).collect();
        }
        for problem in problems {
            assert!(problem.ends_with("does not exist"), "{config:?}: {stderr}");
        }
    }
}

#[test]
fn a_plan_shows_the_rooms_and_touches_nothing() {
    let folder = scratch();
    let shown = stdout(&mut plan(SMALL, folder.path(), &[]));
    for line in [
        "run folder  runs/small",
        "prompts     10, 8 responses each",
        "  world     runs",
        "  sft       runs",
        "  generate  runs",
    ] {
        assert!(shown.lines().any(|l| l == line), "`{line}` in:\n{shown}");
    }
    assert!(!folder.path().join("runs").exists());
}

#[test]
fn an_unknown_key_gets_a_suggestion() {
    let folder = scratch();
    let stderr = expect_user_error(
        &mut plan(&format!("{SMALL}[train]\nbta = 0.2\n"), folder.path(), &[]),
        &["line 25: train.bta is not a key of the config"],
    );
    assert!(stderr.contains("hint: did you mean `beta`?"), "{stderr}");
}

#[test]
fn several_problems_come_at_once_with_path_value_and_range() {
    let folder = scratch();
    let text = SMALL.replace("heads = 2", "heads = 3").replace("documents = 10", "documents = 0");
    expect_user_error(
        &mut plan(&text, folder.path(), &["--set", "train.loss=\"dop\"", "--set", "data.paths=[\"no.jsonl\"]"]),
        &[
            "has 5 problems",
            "line 5: world.documents = 0: must be between 1 and 10000000",
            "line 15: sft.model.heads = 3: must divide sft.model.hidden = 8",
            "--set train.loss=\"dop\": train.loss = \"dop\": must be \"dpo\", \"cdpo\", \"robust\", ",
            "data and [world] are both there",
            "no.jsonl does not exist",
        ],
    );
}

#[test]
fn a_missing_config_is_named() {
    let folder = scratch();
    let mut command = udasa();
    command.current_dir(folder.path()).args(["run", "nowhere.toml"]);
    expect_user_error(&mut command, &["nowhere.toml: cannot be read: No such file"]);
}

#[test]
fn a_missing_data_file_is_named_with_the_path_that_was_looked_up() {
    let folder = scratch();
    let looked_up = folder.path().join("absent.jsonl");
    expect_user_error(
        &mut plan("name = \"x\"\n[data]\npaths = [\"absent.jsonl\"]\n[model]\npath = \"/\"\n", folder.path(), &[]),
        &[
            "data.paths.0 = \"absent.jsonl\"",
            &format!("{} does not exist", looked_up.display()),
            "relative paths start from the folder in which udasa is started",
        ],
    );
}

#[test]
fn a_syntax_error_is_shown_in_its_line() {
    let folder = scratch();
    let text = SMALL.replace("steps = 1", "steps = = 1");
    expect_user_error(
        &mut plan(&text, folder.path(), &[]),
        &["line 9: TOML syntax, column 9", "    steps = = 1\n            ^"],
    );
}

#[test]
fn an_override_that_cannot_be_applied_is_named() {
    let folder = scratch();
    expect_user_error(
        &mut plan(SMALL, folder.path(), &["--set", "train.beta"]),
        &["--set train.beta: is not of the form key=value"],
    );
    expect_user_error(
        &mut plan(SMALL, folder.path(), &["--set", "scorer.valu.weight=2"]),
        &["`scorer` has no element `valu`", "`0` or `semantic`"],
    );
}

#[test]
fn a_usage_error_is_the_users() {
    let output = udasa().arg("rnu").output().expect("udasa starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
}

#[test]
fn scoring_without_a_plugin_directory_says_how_to_give_one() {
    let folder = scratch();
    let config = write(folder.path(), "config.toml", SMALL);
    let mut command = udasa();
    command.current_dir(folder.path()).env_remove("UDASA_PLUGINS").arg("run").arg(config);
    expect_user_error(&mut command, &["no plugin directory", "--plugins DIR"]);
    assert!(!folder.path().join("runs").exists(), "nothing was started");
}

#[test]
fn a_second_process_in_the_same_run_folder_is_refused() {
    let folder = scratch();
    let config = write(folder.path(), "config.toml", SMALL);
    let run = folder.path().join("runs/small");
    let held = write(&run, "lock", "4711");
    let held = std::fs::File::open(held).expect("the lock file is there");
    held.lock().expect("nobody else holds it");
    let mut command = udasa();
    command.current_dir(folder.path()).arg("run").arg(config);
    expect_user_error(command.args(["--until", "world"]), &["in use by another udasa (process 4711)", "--out"]);
}

#[test]
fn an_unchanged_room_is_kept_and_a_changed_one_runs_again() {
    let folder = scratch();
    let config = write(folder.path(), "config.toml", SMALL);
    let world = |arguments: &[&str]| {
        let mut command = udasa();
        command.current_dir(folder.path()).arg("run").arg(&config);
        let output = command.args(["--until", "world"]).args(arguments).output().expect("udasa starts");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(world(&[]).contains("10 prompts"));
    assert!(world(&[]).contains("world  unchanged, kept"));
    assert!(world(&["--set", "train.beta=0.5"]).contains("unchanged, kept"));
    assert!(world(&["--from", "world"]).contains("10 prompts"));
    assert!(world(&["--set", "world.prompts=20"]).contains("20 prompts"));
    let record = std::fs::read_to_string(folder.path().join("runs/small/run.toml")).expect("run.toml is there");
    assert!(record.contains("set = [\"world.prompts=20\"]"), "{record}");
    assert!(record.contains("[config.train]"), "{record}");
}

#[test]
fn a_benchmark_that_is_not_there_or_lacks_its_models_is_an_error_before_anything_is_measured() {
    let names = stdout(udasa().args(["bench", "list"]));
    assert!(names.lines().any(|line| line.starts_with("train ")), "{names}");
    expect_user_error(udasa().args(["bench", "trian"]), &["there is no benchmark `trian`", "train"]);
    let folder = scratch();
    let on = |name: &str, flag: &str| {
        let mut command = udasa();
        command.args(["bench", name, flag]).arg(folder.path());
        command
    };
    expect_user_error(&mut on("mini", "--models"), &["the benchmark `mini` takes no --models"]);
    expect_user_error(&mut on("questions", "--peers"), &["the benchmark `questions` takes no --peers"]);
    expect_user_error(&mut on("list", "--models"), &["the benchmark `list` takes no --models"]);
    expect_user_error(&mut on("matmul", "--only"), &["the benchmark `matmul` takes no --only"]);
    let output = on("train", "--models").output().expect("udasa starts");
    assert!(output.stdout.is_empty(), "{output:?}");
    let missing = format!("the models to be trained are not in {}", folder.path().display());
    expect_user_error(&mut on("train", "--models"), &[&missing, "--peers"]);
}
