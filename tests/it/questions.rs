//! Every kind of question through the real binary: answered by the policy model, by an embedder and by a cross-encoder; kept, and replayed
//! without any of them; and what is said of folders that cannot answer.

pub mod encoder;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::small::{self, json, lines};
use crate::support::{expect_success, expect_user_error, plugins, repository, scratch, udasa, write};
use crate::tensors::Tensors;
use encoder::Encoder;

const GRANT: &str = r#"grant = ["embed", "entail", "choose", "likelihood", "complete"]"#;

/// The fixture as a user would build it, once per run of the tests.
pub fn asker() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let out = repository().join("target/test-plugins/asker");
        let fixture = repository().join("tests/fixtures/asker");
        let built = udasa().args(["plugin", "build"]).arg(fixture).arg("--out").arg(&out).output();
        let built = built.expect("udasa starts");
        assert!(built.status.success(), "{built:?}");
        fs::copy(plugins().join("terciles.wasm"), out.join("terciles.wasm")).expect("it can be copied");
        out
    })
}

/// Responses made elsewhere, and the small run's model to answer questions about them.
struct Asked {
    folder: TempDir,
}

impl Asked {
    fn new() -> Self {
        let folder = scratch();
        let responses = concat!(
            r#"{"id":"a","prompt":"who is in talmor ?","responses":["the king is in talmor","a very long answer which says nothing at all"]}"#,
            "\n",
            r#"{"id":"b","prompt":"who is in talmor ?","responses":["the king is in talmor","nobody"]}"#,
            "\n",
        );
        write(folder.path(), "responses.jsonl", responses);
        Self { folder }
    }

    /// A command over a config with these lines beside the model's and the scorer's.
    fn command(&self, name: &str, models: &str, scorer: &str) -> Command {
        let model = small::finished().join("model");
        let config = format!(
            "name = \"asked\"\nseed = 1\n[generate]\nfrom = \"responses.jsonl\"\n[model]\npath = {model:?}\ndevice = \"cpu\"\n\
             [models]\n{models}\n[stage]\npolicy = \"terciles\"\n[[scorer]]\nplugin = \"asker\"\n{scorer}\n"
        );
        write(self.folder.path(), "config.toml", config);
        let mut command = udasa();
        command.current_dir(self.folder.path()).args([name, "config.toml", "--out", "run", "--plugins"]).arg(asker());
        command
    }

    fn score(&self, models: &str) -> Command {
        self.command("score", models, GRANT)
    }

    fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// The notes of a sample's response.
    #[track_caller]
    fn note(&self, sample: usize, response: usize, name: &str) -> f64 {
        let line = &lines(&self.run(), "scores.jsonl")[sample];
        line["scores"][response]["notes"][name].as_f64().unwrap_or_else(|| panic!("{name} in {line}"))
    }

    /// Scores anew from the answers that are there; gives how many a model had to give.
    fn again(&self, models: &str) -> u64 {
        for file in ["scores.jsonl", "scores.keys.json"] {
            fs::remove_file(self.run().join(file)).expect("it is there");
        }
        expect_success(self.score(models).args(["--from", "score"]));
        let scorer = &json(&self.run(), "score-summary.json")["scorers"][0];
        assert_eq!(scorer["questions"], 20, "{scorer}");
        scorer["asked_model"].as_u64().expect("a number")
    }

    fn files(&self) -> usize {
        fs::read_dir(self.run().join("answers")).expect("a folder").count()
    }
}

#[test]
fn the_policy_model_answers_all_five_kinds_once_each_and_is_not_asked_again() {
    let asked = Asked::new();
    expect_success(&mut asked.score(""));
    for (sample, response) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let note = |name: &str| asked.note(sample, response, name);
        assert_eq!(note("size"), 32.0, "the model's width");
        assert!((note("norm") - 1.0).abs() < 1e-5);
        assert!((note("entailment") + note("neutral") + note("contradiction") - 1.0).abs() < 1e-5);
        assert!((note("a") + note("b") - 1.0).abs() < 1e-5);
        assert!(note("logprob") < 0.0 && note("tokens") >= 1.0);
        assert_eq!(note("texts"), 2.0);
    }
    // Two prompts and three texts are distinct: 3 embed, 3 entail, 1 choose, 3 likelihood, 1 complete.
    let scorer = &json(&asked.run(), "score-summary.json")["scorers"][0];
    assert_eq!((&scorer["questions"], &scorer["asked_model"]), (&20.into(), &11.into()));
    assert_eq!(asked.files(), 2, "sampled texts are kept by seed");
    let first = fs::read_to_string(asked.run().join("scores.jsonl")).expect("it is there");
    assert_eq!(asked.again(""), 0);
    assert_eq!(fs::read_to_string(asked.run().join("scores.jsonl")).expect("it is there"), first);

    let other = Asked::new();
    expect_success(other.score("").args(["--set", "seed=2"]));
    assert_ne!(other.note(0, 0, "mixed"), asked.note(0, 0, "mixed"), "another seed, other texts");
    assert_eq!(other.note(0, 0, "logprob"), asked.note(0, 0, "logprob"));
}

#[test]
fn an_embedder_and_a_cross_encoder_answer_for_themselves_and_the_plan_says_so() {
    let asked = Asked::new();
    let at = asked.folder.path();
    Encoder::embedder().write(&at.join("embedder"));
    Encoder::nli(["contradiction", "entailment", "neutral"]).write(&at.join("nli"));
    let models = "embed = \"embedder\"\nentail = \"nli\"";
    let plan = asked.command("plan", models, GRANT).output().expect("udasa starts");
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    for line in [
        "  embed       embedder",
        "  entail      nli",
        "  choose      the policy model",
        "  complete    the policy model",
    ] {
        assert!(plan.lines().any(|l| l == line), "`{line}` in:\n{plan}");
    }
    expect_success(&mut asked.score(models));
    let note = |name: &str| asked.note(0, 1, name);
    assert_eq!((note("size"), asked.files()), (8.0, 4));
    assert!((note("norm") - 1.0).abs() < 1e-5);
    let [entailment, neutral, contradiction] = ["entailment", "neutral", "contradiction"].map(note);
    assert!((entailment + neutral + contradiction - 1.0).abs() < 1e-5);
    assert_eq!(asked.again(models), 0);

    // The same weights with other labels are another model, which says the same under other names.
    Encoder::nli(["Entailment", "Contradiction", "Neutral"]).write(&at.join("nli"));
    assert_eq!(asked.again(models), 3, "the cross-encoder alone is asked again");
    let note = |name: &str| asked.note(0, 1, name);
    assert_eq!([note("contradiction"), note("neutral"), note("entailment")], [entailment, neutral, contradiction]);

    let unasked = asked.command("plan", models, "grant = [\"choose\"]").output().expect("udasa starts");
    let unasked = String::from_utf8_lossy(&unasked.stdout).into_owned();
    assert!(unasked.contains("  embed       embedder, but no scorer is granted it"), "{unasked}");
}

#[test]
fn a_folder_that_cannot_answer_is_refused_before_anything_runs() {
    let asked = Asked::new();
    let at = asked.folder.path();
    let decoder = small::finished().join("model");
    let refused = |models: &str, needles: &[&str]| {
        expect_user_error(&mut asked.score(models), needles);
        assert!(!asked.run().exists());
    };
    refused("embed = \"nowhere\"", &["models.embed = \"nowhere\"", "nowhere does not exist"]);
    refused(&format!("embed = {decoder:?}"), &["models.embed", "`granite` is no encoder", "bert, roberta, deberta-v2"]);
    Encoder::nli(["LABEL_0", "LABEL_1", "LABEL_2"]).write(&at.join("unnamed"));
    refused("entail = \"unnamed\"", &["models.entail", "LABEL_0", "entailment, neutral and contradiction"]);
    Encoder::embedder().write(&at.join("embedder"));
    refused("entail = \"embedder\"", &["models.entail", "has no classification head"]);

    let path = at.join("embedder/model.safetensors");
    let mut tensors = Tensors::read(&path);
    tensors.remove("bert.encoder.layer.0.output.dense.bias");
    tensors.write(&path);
    refused("embed = \"embedder\"", &["lack the tensor `bert.encoder.layer.0.output.dense.bias`"]);
    Encoder::embedder().write(&at.join("embedder"));
    let modules = |last: &str| {
        format!(
            r#"[{{"type": "x.Transformer", "path": ""}}, {{"type": "x.Pooling", "path": "1_Pooling"}}, {{"type": "x.{last}", "path": "2"}}]"#
        )
    };
    write(at, "embedder/modules.json", modules("Dense"));
    write(
        at,
        "embedder/1_Pooling/config.json",
        r#"{"pooling_mode_cls_token": false, "pooling_mode_max_tokens": true}"#,
    );
    refused("embed = \"embedder\"", &["pooling [\"max_tokens\"] is not supported"]);
    write(
        at,
        "embedder/1_Pooling/config.json",
        r#"{"pooling_mode_cls_token": true, "pooling_mode_max_tokens": false}"#,
    );
    refused("embed = \"embedder\"", &["modules.json", "module `Dense` is not supported"]);
    write(at, "embedder/modules.json", modules("Normalize"));
    fs::remove_file(at.join("embedder/tokenizer.json")).expect("it is there");
    refused("embed = \"embedder\"", &["tokenizer.json does not exist"]);
}

#[test]
fn a_question_for_more_text_than_the_limit_is_the_plugins_fault() {
    let asked = Asked::new();
    let settings = format!("{GRANT}\nsettings = {{ kinds = [\"complete\"], max_tokens = 200 }}");
    let mut command = asked.command("score", "", &settings);
    command.args(["--set", "limits.complete_tokens=300"]);
    let needles = ["asked for texts of 400 tokens", "at most 300 are allowed", "raise `limits.complete_tokens`"];
    expect_user_error(&mut command, &needles);
    let settings = settings.replace("200", "260");
    expect_user_error(&mut asked.command("score", "", &settings), &["asks for 260 more", "256 positions"]);
}

#[test]
fn inspect_shows_an_encoder() {
    let folder = scratch();
    let shown = |arguments: &[&str]| {
        let output = udasa().args(["model", "inspect"]).arg(folder.path()).args(arguments).output();
        String::from_utf8(output.expect("udasa starts").stdout).expect("UTF-8")
    };
    Encoder::nli(["contradiction", "entailment", "neutral"]).write(folder.path());
    let text = shown(&[]);
    for line in [
        "encoder        bert",
        "blocks         1 of width 8, feed-forward 16",
        "heads          2 of 4",
        "text           up to 64 tokens",
        "outputs        contradiction, entailment, neutral",
    ] {
        assert!(text.lines().any(|l| l == line), "`{line}` in:\n{text}");
    }
    let facts: Value = serde_json::from_str(&shown(&["--json"])).expect("JSON");
    let file = Tensors::read(&folder.path().join("model.safetensors"));
    let parameters: u64 = file.names().iter().map(|name| file.shape(name).iter().product::<u64>()).sum();
    assert_eq!(facts["parameters"], parameters);
}
