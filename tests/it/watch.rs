//! `udasa score --watch`: the author's loop, as an author lives in it: edit, save, look.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support::{expect_user_error, repository, scratch, udasa, write};

/// A scorer by the length of a response; `WORTH` of a character is what the test edits.
const SCORER: &str = r#"
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use udasa_plugin_sdk::{Answer, Dimension, Fault, Sample, Score, SimpleScorer};

pub struct Long;

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Divides.
    pub of: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { of: 10.0 }
    }
}

const WORTH: f64 = 1.0;

impl SimpleScorer for Long {
    type Settings = Settings;
    const NAME: &'static str = "long";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Doubts long responses";
    const DIMENSION: Dimension = Dimension::Factual;

    fn scores(settings: &Settings, sample: &Sample, _: &[Answer]) -> Result<Vec<Score>, Fault> {
        let score = |text: &str| {
            let n = text.chars().count() as f64;
            Score::new((n * WORTH / settings.of).min(1.0)).note("characters", n)
        };
        Ok(sample.texts().into_iter().map(score).collect())
    }
}

udasa_plugin_sdk::export_scorer!(Long);
"#;

/// A crate outside the workspace, of the versions that the repository has.
fn make_crate(folder: &Path) -> PathBuf {
    let manifest = format!(
        "[package]\nname = \"long\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[lib]\n\
         crate-type = [\"cdylib\", \"rlib\"]\n[dependencies]\nschemars = \"1.2\"\n\
         serde = {{ version = \"1\", features = [\"derive\"] }}\nudasa-plugin-sdk = {{ path = {:?} }}\n",
        repository().join("plugin-sdk")
    );
    write(folder, "long/Cargo.toml", manifest);
    let lock = std::fs::read(repository().join("Cargo.lock")).expect("Cargo.lock is there");
    write(folder, "long/Cargo.lock", lock);
    write(folder, "long/src/lib.rs", SCORER)
}

/// The program at its loop; killed when the test ends, however it ends.
struct Watching {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

impl Watching {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = udasa();
        command.current_dir(folder).args(["score", "try.toml", "--plugins", "plugins", "--watch"]).args(arguments);
        // Dependencies are compiled once for all tests that build plugins.
        command.env("CARGO_TARGET_DIR", repository().join("target"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("udasa starts");
        let lines = read(child.stdout.take().expect("it is piped"));
        let errors = read(child.stderr.take().expect("it is piped"));
        Self { child, lines, errors }
    }

    /// The lines of the next pass, up to the one that says how long it took.
    fn pass(&self) -> Vec<String> {
        self.until(|line| line.contains("scored in") || line.starts_with("  not "))
    }

    fn until(&self, last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        while !seen.last().is_some_and(|line| last(line)) {
            match self.lines.recv_timeout(Duration::from_secs(300)) {
                Ok(line) => seen.push(line),
                Err(why) => {
                    let errors: Vec<String> = self.errors.try_iter().collect();
                    panic!("{why}; lines so far: {seen:#?}; stderr: {errors:#?}");
                }
            }
        }
        seen
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[track_caller]
fn has(lines: &[String], needle: &str) {
    assert!(lines.iter().any(|line| line.contains(needle)), "`{needle}` is missing in {lines:#?}");
}

const RESPONSES: &str = concat!(
    r#"{"id":"sea","prompt":"Where does the river end ?","responses":["a","abcd"]}"#,
    "\n",
    r#"{"id":"bird","prompt":"Who sings ?","responses":["b","abcdef"]}"#,
    "\n",
);

fn config(of: u32) -> String {
    format!(
        "name = \"try\"\n[generate]\nfrom = \"made.jsonl\"\n[score]\nscale = \"none\"\n\
         [[scorer]]\nplugin = \"long\"\nsettings = {{ of = {of} }}\n"
    )
}

#[test]
fn an_edit_of_source_settings_or_samples_shows_what_changed_and_nothing_broken_ends_the_loop() {
    let folder = scratch();
    let folder = folder.path();
    let source = make_crate(folder);
    let edit = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&source).expect("it is there");
        assert!(text.contains(from), "{from}");
        std::fs::write(&source, text.replace(from, to)).expect("it can be written");
    };
    write(folder, "made.jsonl", RESPONSES);
    write(folder, "try.toml", config(10));
    let watching = Watching::start(folder, &["long"]);

    let first = watching.pass();
    has(&first, "watching long, try.toml, plugins/*.wasm; Ctrl-C ends");
    // Lengths 1, 4, 1 and 6 in tenths.
    has(&first, "  long   mean 0.300  4 responses");
    has(&first, "  pairs  2");
    has(&watching.until(|line| line.contains("in full")), "in full: plugins/long.wasm  sha256 ");

    // A setting: the source is not built again.
    write(folder, "try.toml", config(20));
    let settings = watching.pass();
    has(&settings, "try.toml changed");
    has(&settings, "mean 0.300 → 0.150  4 of 4 responses changed");
    has(&settings, "0.600 → 0.300  \"abcdef\" to \"Who sings ?\" (bird, response 1)");
    assert!(!settings.iter().any(|line| line.contains("built in")), "{settings:#?}");

    // The source: the order is turned around, and with it the pairs.
    edit("n * WORTH / settings.of", "1.0 - n * WORTH / settings.of");
    let turned = watching.pass();
    has(&turned, "long/src/lib.rs changed");
    has(&turned, "mean 0.150 → 0.850");
    has(&turned, "  pairs  2 → 2: 2 flipped, 0 new, 0 gone");
    has(&turned, "built in");
    has(&turned, "after the save");

    // A note alone.
    edit("\"characters\", n)", "\"characters\", n + 1.0)");
    let note = watching.pass();
    has(&note, "0 of 4 responses changed, 4 in notes only");
    has(&note, "characters 1.000 → 2.000");

    // What does not compile is said, and the next save is tried.
    edit("let n = ", "let n == ");
    let broken = watching.pass();
    has(&broken, "not built");
    edit("let n == ", "let n = ");
    has(&watching.pass(), "mean 0.850 → 0.850");
    let errors: Vec<String> = watching.errors.try_iter().collect();
    assert!(errors.iter().any(|line| line.starts_with("error: cargo could not build `long`")), "{errors:#?}");

    // A panic is a fault of the samples it happens on.
    edit("let n = ", "assert_ne!(text, \"abcdef\", \"too long\");\n            let n = ");
    let panics = watching.pass();
    has(&panics, "1 fault (1 new, 0 gone)");
    has(&panics, "new fault of long on bird: plugin `long` 0.1.0");
    has(&panics, "too long");
    edit("assert_ne!(text, \"abcdef\", \"too long\");", "");
    has(&watching.pass(), "no faults, 1 gone");

    // A broken config, too, and settings that the plugin refuses.
    write(folder, "try.toml", "nonsense");
    has(&watching.pass(), "not scored");
    write(folder, "try.toml", config(20).replace("of =", "off ="));
    has(&watching.pass(), "not scored");
    write(folder, "try.toml", config(20));
    has(&watching.pass(), "mean 0.850 → 0.850");

    // Other samples.
    write(folder, "made.jsonl", RESPONSES.replace("abcdef", "abcdefgh"));
    has(&watching.pass(), "made.jsonl changed");

    assert!(!folder.join("runs").exists(), "nothing but the plugin is written");
}

#[test]
fn what_cannot_be_watched_is_refused_at_once() {
    let folder = scratch();
    let score = |arguments: &[&str]| {
        let mut command = udasa();
        command.current_dir(folder.path()).env_remove("UDASA_PLUGINS").args(["score", "try.toml"]).args(arguments);
        command
    };
    write(folder.path(), "try.toml", config(10));
    expect_user_error(&mut score(&["--watch"]), &["there is no plugin directory"]);
    let no_crate = ["--plugins", "plugins", "--watch", "nowhere"];
    expect_user_error(&mut score(&no_crate), &["nowhere is not the folder of a crate"]);
}
