//! `udasa score` on responses made elsewhere: no model, and published numbers on real samples.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::small::{json as read_json, lines};
use crate::support::{expect_success, expect_user_error, plugins, scratch, shared, udasa, write};

/// Lin et al.'s two conventions, side by side: ROUGE-L on [a-z0-9]+ without pairs of the same text, and Jaccard on sets
/// of lower-cased tokens between white space.
const SCORERS: &str = r#"
[[scorer]]
plugin = "semantic"
name = "lexical"
settings = { similarity = "rouge-l", split = "ascii-words", identical = "leave-out" }

[[scorer]]
plugin = "semantic"
name = "degree"
settings = { similarity = "jaccard", split = "whitespace" }
"#;

/// `udasa <subcommand>` of a config over responses in a file.
fn on(subcommand: &str, folder: &Path, responses: &Path, rest: &str) -> Command {
    let config = format!("name = \"outside\"\n[generate]\nfrom = '{}'\n{rest}", responses.display());
    let config = write(folder, "config.toml", config);
    let mut command = udasa();
    command.arg(subcommand).arg(config).arg("--plugins").arg(plugins()).arg("--out").arg(folder.join("run"));
    command
}

/// A note of a prompt's, which each of its responses carries.
fn notes(run: &Path, scorer: &str, note: &str) -> Vec<f64> {
    let all = lines(run, "scores.jsonl");
    let own = all.iter().filter(|line| line["scorer"] == scorer);
    own.map(|line| line["scores"][0]["notes"][note].as_f64().expect("a number")).collect()
}

/// Area under the accuracy–rejection curve: sorted by uncertainty, running mean of the accuracy, trapezoid over [0, 1].
fn auarc(uncertainty: &[f64], accuracy: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..uncertainty.len()).collect();
    order.sort_by(|a, b| uncertainty[*a].total_cmp(&uncertainty[*b]));
    let mut sum = 0.0;
    let mut means = Vec::new();
    for index in order {
        sum += accuracy[index];
        means.push(sum / (means.len() + 1) as f64);
    }
    means.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).sum::<f64>() / (means.len() - 1) as f64
}

#[test]
fn ready_made_responses_are_scored_and_paired_without_a_model() {
    let folder = scratch();
    let rows = [
        json!({"id": "colour", "question": "Which colour?", "task": "quiz", "answers": ["Red", "red", "deep blue sea"]}),
        json!({"id": "all-agree", "question": "Which day?", "task": "quiz", "answers": ["Monday", "monday", "MONDAY"]}),
    ];
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let file = write(folder.path(), "made.jsonl", rows);
    let fields = "prompt_field = \"question\"\nresponses_field = \"answers\"\n";
    let stderr = expect_success(&mut on("score", folder.path(), &file, &format!("{fields}{SCORERS}")));
    assert!(stderr.contains("6 responses to 2 prompts read from"), "{stderr}");
    let run = folder.path().join("run");
    // Two of three agree wholly, the third shares no word with them.
    let scores = &lines(&run, "scores.jsonl")[2];
    assert_eq!((&scores["id"], &scores["scorer"]), (&json!("colour"), &json!("degree")));
    let u: Vec<&Value> =
        scores["scores"].as_array().expect("a list").iter().map(|score| &score["uncertainty"]).collect();
    assert_eq!(u, [0.5, 0.5, 1.0]);
    assert_eq!(notes(&run, "degree", "degree"), [4.0 / 9.0, 0.0]);
    assert_eq!(notes(&run, "lexical", "lexical-similarity"), [1.0 / 3.0, 1.0], "`Red` and `red` are different texts");
    let summary = read_json(&run, "score-summary.json");
    assert!(summary["scorers"].as_array().expect("a list").iter().all(|one| one["questions"] == 0), "{summary}");

    let stderr = expect_success(&mut on("pair", folder.path(), &file, &format!("{fields}{SCORERS}")));
    assert!(stderr.contains("score  unchanged, kept"), "{stderr}");
    let pairs = lines(&run, "pairs.jsonl");
    assert_eq!(pairs.len(), 1);
    assert_eq!((&pairs[0]["prompt"], &pairs[0]["rejected"]), (&json!("Which colour?"), &json!("deep blue sea")));
    assert_eq!(lines(&run, "drops.jsonl")[0]["prompt_id"], "all-agree");
}

#[test]
fn a_scorer_that_asks_wants_a_model_and_says_so_before_anything_is_read() {
    let folder = scratch();
    let file = write(folder.path(), "made.jsonl", "{\"prompt\": \"q\", \"responses\": [\"a\", \"b\"]}\n");
    let asks = "[[scorer]]\nplugin = \"factual\"\ngrant = [\"choose\"]\n";
    expect_user_error(&mut on("score", folder.path(), &file, asks), &["model.path is missing"]);
    assert!(!folder.path().join("run").exists());
}

#[test]
fn the_published_figures_of_ten_real_questions_come_out_of_the_binary() {
    let Some(samples) = shared("data/triviaqa-llama13b/generations.jsonl") else { return };
    let Some(published) = shared("data/triviaqa-llama13b/reference_outputs_first10.json") else { return };
    let published: Value = serde_json::from_slice(&fs::read(published).expect("it can be read")).expect("JSON");
    let of_ten = published["num_gens_in_tables"].as_u64().expect("a number");
    // The tables are about the first ten answers to the first ten questions.
    let text = fs::read_to_string(samples).expect("it can be read");
    let mut rows: Vec<Value> = text.lines().take(10).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for row in &mut rows {
        let answers = row["generations"]["text_cleaned"].as_array_mut().expect("a list");
        answers.truncate(usize::try_from(of_ten).expect("it fits"));
    }
    let folder = scratch();
    let file = write(folder.path(), "ten.jsonl", rows.iter().map(|row| format!("{row}\n")).collect::<String>());
    let fields = "prompt_field = \"question\"\nresponses_field = \"generations.text_cleaned\"\n";
    expect_success(&mut on("score", folder.path(), &file, &format!("{fields}{SCORERS}")));

    let run = folder.path().join("run");
    // A question's expected accuracy is over all twenty answers.
    let accuracy: Vec<f64> = rows
        .iter()
        .map(|row| {
            let right = published["correct_first10x20"][row["id"].as_str().expect("an id")].as_array().expect("a list");
            right.iter().filter_map(Value::as_f64).sum::<f64>() / right.len() as f64
        })
        .collect();
    let doubt: Vec<f64> = notes(&run, "lexical", "lexical-similarity").iter().map(|similarity| -similarity).collect();
    let table = &published["auarc_uncertainty_vs_expected_accuracy"];
    for (name, ours) in [("lexical_sim", doubt), ("deg_jaccard", notes(&run, "degree", "degree"))] {
        let ours = auarc(&ours, &accuracy);
        let theirs = table[name].as_f64().expect("a number");
        // Printed with six digits.
        assert!((ours - theirs).abs() < 1e-6, "{name}: {ours}, published {theirs}");
    }
}

#[test]
fn the_degree_of_250_real_questions_is_lm_polygraphs() {
    let Some(samples) = shared("data/triviaqa-llama13b/generations.jsonl") else { return };
    let Some(peer) = shared("oracles/bench/score_t1.json") else { return };
    let folder = scratch();
    let fields = "prompt_field = \"question\"\nresponses_field = \"generations.text_cleaned\"\n";
    expect_success(&mut on("score", folder.path(), &samples, &format!("{fields}{SCORERS}")));
    let run = folder.path().join("run");
    let peer: Value = serde_json::from_slice(&fs::read(peer).expect("it can be read")).expect("JSON");
    let theirs = peer["DegMat_Jaccard_score"]["values"].as_array().expect("a list");
    let ours = notes(&run, "degree", "degree");
    assert_eq!((ours.len(), theirs.len()), (250, 250));
    for (ours, theirs) in ours.iter().zip(theirs) {
        // Both are sums of at most 400 quotients in double precision.
        assert!((ours - theirs.as_f64().expect("a number")).abs() < 1e-9, "{ours}, lm-polygraph {theirs}");
    }
    assert_eq!(read_json(&run, "score-summary.json")["scored"], 250);
}
