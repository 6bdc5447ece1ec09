//! A good scorer and a bad one over the same two prompts: what must hold of every sin.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use super::bad_plugins;
use crate::small::json;
use crate::support::{expect_success, expect_user_error, plugins, scratch, udasa, write};

const RESPONSES: &str = concat!(
    r#"{"id":"river","prompt":"Where does the river end ?","responses":["in the sea","in the lake"]}"#,
    "\n",
    r#"{"id":"song","prompt":"Who sings ?","responses":["a bird","the bird"]}"#,
    "\n",
);

/// Fuel and memory small enough that a sin is stopped in a fraction of a second.
const LIMITS: &str = "fuel = 50_000_000\nmemory_mib = 64\n";

/// A folder with a plugin directory, responses and a run.
pub struct Trial {
    folder: TempDir,
    plugin: String,
    sin: String,
    limits: String,
    /// Whether one thread scores all samples.
    pub in_turn: bool,
}

impl Trial {
    /// The good scorer and the fixture, which commits `sin`. `limits` replaces the trial's own where it is not empty.
    pub fn bad(sin: &str, limits: &str) -> Self {
        let trial = Self::of("bad", limits);
        fs::copy(bad_plugins().join("bad.wasm"), trial.directory().join("bad.wasm")).expect("was built");
        Self { sin: sin.to_owned(), ..trial }
    }

    /// The good scorer and a plugin made for the test.
    pub fn made(name: &str, wasm: &[u8]) -> Self {
        let trial = Self::of(name, "");
        write(&trial.directory(), &format!("{name}.wasm"), wasm);
        trial
    }

    fn of(plugin: &str, limits: &str) -> Self {
        let folder = scratch();
        write(folder.path(), "responses.jsonl", RESPONSES);
        fs::create_dir(folder.path().join("plugins")).expect("it can be made");
        let trial =
            Self { folder, plugin: plugin.to_owned(), sin: String::new(), limits: limits.to_owned(), in_turn: false };
        fs::copy(plugins().join("semantic.wasm"), trial.directory().join("semantic.wasm")).expect("was built");
        trial
    }

    /// The plugin directory.
    pub fn directory(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// The run folder.
    pub fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// The good scorer alone.
    pub fn score_good(&self) -> Command {
        self.command("score", &self.run(), GOOD, "")
    }

    /// Both scorers into the run folder: the good one first where a fault stops the run, last where it is skipped.
    pub fn score(&self, on_fault: &str) -> Command {
        self.score_with(on_fault, "")
    }

    /// The same, with another key for the bad scorer.
    pub fn score_with(&self, on_fault: &str, key: &str) -> Command {
        let sin = match self.sin.as_str() {
            "" => String::new(),
            sin => format!("settings = {{ sin = \"{sin}\" }}\n"),
        };
        let bad = format!("[[scorer]]\nplugin = \"{}\"\non_fault = \"{on_fault}\"\n{key}\n{sin}", self.plugin);
        let scorers = match on_fault {
            "skip" => format!("{bad}{GOOD}"),
            _ => format!("{GOOD}{bad}"),
        };
        self.command(
            "score",
            &self.folder.path().join(format!("run{}", on_fault.trim_start_matches("stop"))),
            &scorers,
            "",
        )
    }

    /// Any command of a config with these scorers and sections, into a run folder.
    pub fn command(&self, subcommand: &str, run: &Path, scorers: &str, sections: &str) -> Command {
        let limits = if self.limits.is_empty() { LIMITS } else { &self.limits };
        let config = format!(
            "name = \"trial\"\nseed = 1\n[generate]\nfrom = \"{}\"\n[limits]\n{limits}\n{sections}\n{scorers}",
            self.folder.path().join("responses.jsonl").display()
        );
        let mut command = udasa();
        command.arg(subcommand).arg(write(self.folder.path(), "config.toml", config));
        command.arg("--plugins").arg(self.directory()).arg("--out").arg(run);
        if self.in_turn {
            command.env("RAYON_NUM_THREADS", "1");
        }
        command
    }

    /// Hex SHA-256 of the bad plugin, as the host tells it.
    pub fn digest(&self) -> String {
        digest(&self.directory().join(format!("{}.wasm", self.plugin)))
    }

    /// Everything that must hold of a sin in `score`: the fault stops the run with one sentence and one hint, or is skipped
    /// with the sentence in the record; the good scorer's lines are what they are without the bad one; and once the sin is
    /// gone (by `mend`), the run goes on from there.
    #[track_caller]
    pub fn sins(&mut self, on: &str, cause: &str, cure: &str, mend: impl FnOnce(&mut Self)) -> String {
        let digest = &self.digest()[..12];
        let sentence = format!("plugin `{}` 0.1.0 ({digest}): `score` failed on prompt `{on}`: {cause}", self.plugin);
        let stderr = expect_user_error(&mut self.score("stop"), &[&format!("error: {sentence}")]);
        let hints: Vec<&str> = stderr.lines().filter(|line| line.starts_with("hint:")).collect();
        assert_eq!(hints.len(), 1, "hints in\n{stderr}");
        assert!(hints[0].contains(cure), "`{cure}` is missing:\n{stderr}");
        assert!(stderr.len() < 8192 && !stderr.contains('\u{1b}'), "not for a terminal:\n{stderr}");
        assert_eq!(of_good(&self.run()), alone(), "with the fault stopping the run");

        expect_success(&mut self.score("skip"));
        let skipping = self.folder.path().join("runskip");
        assert_eq!(of_good(&skipping), alone(), "with the fault skipped");
        let faults: Vec<String> = of(&self.plugin, &skipping).iter().filter_map(|line| fault(line)).collect();
        assert!(!faults.is_empty() && faults.iter().all(|fault| fault.contains(cause)), "{faults:?}");

        mend(self);
        expect_success(&mut self.score("stop"));
        assert_eq!(of_good(&self.run()), alone(), "after mending");
        assert!(of(&self.plugin, &self.run()).iter().all(|line| fault(line).is_none()), "after mending");
        assert_eq!(of(&self.plugin, &self.run()).len(), 2, "after mending");
        let kept = &json(&self.run(), "score-summary.json")["scorers"][0]["kept"];
        assert_eq!(kept, 2, "the good scorer was not called again");
        stderr
    }

    /// The fixture without a sin.
    pub fn repent(&mut self) {
        self.sin.clear();
    }
}

/// The scorer that does no wrong.
pub const GOOD: &str = "[[scorer]]\nplugin = \"semantic\"\n";

/// What the good scorer says where there is no other.
pub fn alone() -> Vec<String> {
    static LINES: OnceLock<Vec<String>> = OnceLock::new();
    LINES
        .get_or_init(|| {
            let trial = Trial::of("none", "");
            expect_success(&mut trial.score_good());
            let lines = of_good(&trial.run());
            assert_eq!(lines.len(), 2);
            lines
        })
        .clone()
}

/// The good scorer's lines, byte for byte.
pub fn of_good(run: &Path) -> Vec<String> {
    of("semantic", run)
}

/// A scorer's lines in `scores.jsonl`, byte for byte.
pub fn of(scorer: &str, run: &Path) -> Vec<String> {
    let text = fs::read_to_string(run.join("scores.jsonl")).expect("scores were written");
    let own = format!("\"scorer\":\"{scorer}\"");
    text.lines().filter(|line| line.contains(&own)).map(str::to_owned).collect()
}

fn fault(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).expect("a record");
    line["fault"].as_str().map(str::to_owned)
}

/// Hex SHA-256 of a plugin, as the host tells it.
pub fn digest(file: &Path) -> String {
    let output = udasa().args(["plugin", "inspect", "--json"]).arg(file).output().expect("udasa starts");
    assert!(output.status.success(), "{output:?}");
    let card: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    card["sha256"].as_str().expect("a digest").to_owned()
}
