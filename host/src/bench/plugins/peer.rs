//! lm-polygraph's own classes on the same answers: `LexicalSimilarity("rougeL")`, `EigValLaplacian` and `DegMat` with
//! `"Jaccard_score"`, at one thread. Their times and values were recorded; with `--peers` they are timed now as well.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::super::{peers, shared};
use super::{Bench, Row, data, least};
use crate::error::UserError;
use crate::records::Sample;
use crate::sandbox::{Scorer, Step};

const RECORDED: &str = "oracles/bench/score_t1.json";
/// The largest difference that is rounding.
const TOLERANCE: f64 = 1e-6;
const BATCHES: usize = 40;
/// Questions in a batch.
const PIECE: usize = 20;

/// Its class, our note, and the sign that theirs has.
const MEASURES: [(&str, &str, f64); 3] = [
    ("LexicalSimilarity_rougeL", "lexical-similarity", -1.0),
    ("EigValLaplacian_Jaccard_score", "eigv", 1.0),
    ("DegMat_Jaccard_score", "degree", 1.0),
];

pub(super) fn rows(bench: &Bench, questions: &[Sample], python: Option<&Path>) -> Result<Vec<Row>> {
    let rouge = [
        ("similarity", json!("rouge-l")),
        ("split", json!("ascii-words")),
        ("stem", json!(true)),
        ("empty", json!("unlike")),
    ];
    let jaccard = [("similarity", json!("jaccard")), ("split", json!("whitespace")), ("empty", json!("unlike"))];
    let rouge = bench.scorer("semantic", &rouge)?;
    let jaccard = bench.scorer("semantic", &jaccard)?;

    let doubled: Vec<&Sample> = questions.iter().chain(questions).collect();
    // Piece by piece, because a batch of all is never over before something else wants the processor.
    let mut ours = Duration::ZERO;
    for piece in doubled.chunks(PIECE) {
        ours += least(BATCHES, || {
            for sample in piece {
                first_notes(&rouge, sample)?;
                first_notes(&jaccard, sample)?;
            }
            Ok(())
        })?;
    }
    let row = |what: &str, theirs: f64, difference: f64| Row {
        name: "lm-polygraph / us".into(),
        value: theirs / ours.as_secs_f64(),
        unit: "×",
        note: format!(
            "{} questions × 20 answers: {theirs:.2} s {what}, {:.1} ms; values within {difference:.0e}; target: at least 50",
            doubled.len(),
            ours.as_secs_f64() * 1e3
        ),
    };
    let mut rows = Vec::new();
    let mut compare = |what: &str, peer: &Value| -> Result<()> {
        let difference = difference(peer, questions, &rouge, &jaccard)?;
        ensure!(difference < TOLERANCE, "our values differ from lm-polygraph's by {difference}");
        rows.push(row(what, seconds(peer)?, difference));
        Ok(())
    };
    match shared(RECORDED) {
        Some(path) => compare("recorded", &peers::read(&path)?)?,
        None => anyhow::bail!(
            UserError::new(format!("lm-polygraph's recorded times ({RECORDED}) are not there"))
                .hint("put them beside the answers, or leave both away")
        ),
    }
    if let Some(python) = python {
        compare("now", &run(python, bench)?)?;
    }
    Ok(rows)
}

/// The notes of the first response, which hold what is true of the whole sample.
fn first_notes(scorer: &Scorer, sample: &Sample) -> Result<std::collections::BTreeMap<String, f64>> {
    match scorer.score(sample, &[]).map_err(UserError::from)? {
        Step::Done(scores) => Ok(scores.into_iter().next().map(|score| score.notes).unwrap_or_default()),
        Step::Ask(_) => anyhow::bail!("the semantic scorer asked something"),
    }
}

/// The largest difference between a value of ours and theirs.
fn difference(peer: &Value, questions: &[Sample], rouge: &Scorer, jaccard: &Scorer) -> Result<f64> {
    let mut largest = 0.0_f64;
    for (index, sample) in questions.iter().enumerate() {
        let mut notes = first_notes(jaccard, sample)?;
        let rouge = first_notes(rouge, sample)?;
        notes.insert("lexical-similarity".to_owned(), rouge["lexical-similarity"]);
        for (class, note, sign) in MEASURES {
            let theirs = peer[class]["values"][index].as_f64();
            let theirs = theirs.with_context(|| format!("no value {index} of {class}"))?;
            largest = largest.max((sign * notes[note] - theirs).abs());
        }
    }
    Ok(largest)
}

/// The least time of each class, summed.
fn seconds(peer: &Value) -> Result<f64> {
    let of = |class: &str| {
        let times = peer[class]["seconds"].as_array()?;
        times.iter().filter_map(Value::as_f64).reduce(f64::min)
    };
    MEASURES.iter().map(|(class, ..)| of(class).with_context(|| format!("no time of {class}"))).sum()
}

/// Runs the peer's script on the answers, doubled.
fn run(python: &Path, bench: &Bench) -> Result<Value> {
    let answers = shared(data::ANSWERS)
        .ok_or_else(|| UserError::new("lm-polygraph's answers are not there").hint("put them into ../shared"))?;
    let doubled = bench.directory.join("answers.jsonl");
    let once = std::fs::read_to_string(&answers).with_context(|| format!("reading {}", answers.display()))?;
    std::fs::write(&doubled, format!("{}\n{}", once.trim_end(), once))?;
    let [task, score, repeat, twice, data] = ["--task", "score", "--repeat", "2", "--data"].map(OsStr::new);
    peers::run(python, "lm-polygraph", &[task, score, repeat, twice, data, doubled.as_os_str()])
}
