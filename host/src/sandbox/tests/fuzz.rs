//! Arbitrary files, settings and answers: an error in the user's words or a working plugin, never a panic of either side.
//!
//! `PROPTEST_CASES=20000 cargo test --release -p udasa --lib sandbox::tests::fuzz` runs long; by default it takes seconds.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

use crate::config::{self, Limits};
use crate::error::UserError;
use crate::records::{Answer, Question, QuestionKind, Sample};
use crate::sandbox::directory::inspect_bytes;
use crate::sandbox::{Cause, PluginDirectory, PluginFile, PluginKind, Scorer, Step, answers_fit};

use super::{bad_plugins, config as bad, repository, sample};

/// The cases that the environment asks for, or so many. No file of failures is kept: each becomes a test with a name.
fn cases(brief: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(brief), failure_persistence: None, ..ProptestConfig::default() }
}

fn limits() -> Limits {
    Limits { fuel: 20_000_000, memory_mib: 64, ..Limits::default() }
}

fn good_bytes() -> &'static [Vec<u8>] {
    static BYTES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let read = |name| std::fs::read(bad_plugins().join(name)).expect("was built");
        ["bad.wasm", "bad-policy.wasm"].map(read).into()
    })
}

/// One change of a file.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index),
    Drop(Index, usize),
    Insert(Index, Vec<u8>),
    /// A section of this kind, so that the rest stays readable.
    Section(Index, u8, Vec<u8>),
    /// A part of the file again, at another place.
    Splice(Index, Index, usize),
    /// A part of the other fixture.
    Graft(Index, Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let byte = any::<u8>();
    // Lengths and counts at their edges are where parsers stumble.
    let edge = select(vec![0_u8, 1, 0x7f, 0x80, 0xff]);
    let bytes = || vec(any::<u8>(), 0..24);
    prop_oneof![
        4 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, 1 << bit)),
        2 => (any::<Index>(), byte).prop_map(|(at, to)| Change::Set(at, to)),
        2 => (any::<Index>(), edge).prop_map(|(at, to)| Change::Set(at, to)),
        1 => any::<Index>().prop_map(Change::Cut),
        1 => (any::<Index>(), 1..64_usize).prop_map(|(at, n)| Change::Drop(at, n)),
        1 => (any::<Index>(), bytes()).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (any::<Index>(), 0..14_u8, bytes()).prop_map(|(at, id, bytes)| Change::Section(at, id, bytes)),
        1 => (any::<Index>(), any::<Index>(), 1..256_usize).prop_map(|(at, from, n)| Change::Splice(at, from, n)),
        1 => (any::<Index>(), any::<Index>(), 1..256_usize).prop_map(|(at, from, n)| Change::Graft(at, from, n)),
    ]
}

/// Offsets between the outermost sections, where another one may stand.
fn borders(bytes: &[u8]) -> Vec<usize> {
    let mut borders = vec![8];
    let mut at = 8;
    while at < bytes.len() {
        let (mut size, mut shift, mut next) = (0_usize, 0_u32, at + 1);
        while let Some(&byte) = bytes.get(next) {
            size |= usize::from(byte & 0x7f) << shift.min(31);
            next += 1;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        at = next.saturating_add(size);
        borders.push(at.min(bytes.len()));
    }
    borders
}

fn changed(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.len() < 16 {
        return;
    }
    let part = |from: &[u8], at: &Index, n: usize| {
        let at = at.index(from.len());
        from[at..(at + n).min(from.len())].to_vec()
    };
    match change {
        Change::Flip(at, mask) => *at.get_mut(bytes) ^= mask,
        Change::Set(at, to) => *at.get_mut(bytes) = *to,
        Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Change::Drop(at, n) => {
            let at = at.index(bytes.len());
            bytes.drain(at..(at + n).min(bytes.len()));
        }
        Change::Insert(at, new) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, new.iter().copied());
        }
        Change::Section(at, id, content) => {
            let at = *at.get(&borders(bytes));
            let section = [&[*id, content.len() as u8][..], content].concat();
            bytes.splice(at..at, section);
        }
        Change::Splice(at, from, n) => {
            let part = part(bytes, from, *n);
            let at = at.index(bytes.len());
            bytes.splice(at..at, part);
        }
        Change::Graft(at, from, n) => {
            let part = part(&good_bytes()[1], from, *n);
            let at = at.index(bytes.len());
            let end = (at + part.len()).min(bytes.len());
            bytes.splice(at..end, part);
        }
    }
}

/// Loads what may be a plugin, and calls it as far as it goes. Gives how far that was.
fn try_all(bytes: Vec<u8>) -> Result<&'static str, TestCaseError> {
    let users = |error: anyhow::Error| -> Result<(), TestCaseError> {
        prop_assert!(error.is::<UserError>(), "a defect of ours: {error:#}");
        let text = error.to_string();
        prop_assert!(text.len() < 8192 && !text.contains('\u{1b}'), "not for a terminal: {text:?}");
        Ok(())
    };
    let file = match inspect_bytes(Path::new("changed.wasm"), bytes) {
        Ok(file) => file,
        Err(error) => return users(error).map(|()| "refused"),
    };
    if file.kind == PluginKind::StagingPolicy {
        return Ok("a policy");
    }
    let scorer = match Scorer::new(&file, &bad(""), "{}".to_owned(), &limits()) {
        Ok(scorer) => scorer,
        Err(error) => return users(error).map(|()| "described, no more"),
    };
    let _ = scorer.problems();
    for texts in [&["a", "bc"][..], &[], &["é".repeat(1000).as_str()]] {
        let sample = sample("p1", texts);
        if let Ok(Step::Done(scores)) = scorer.score(&sample, &[]) {
            prop_assert_eq!(scores.len(), texts.len());
        }
    }
    Ok("called")
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn a_changed_file_is_refused_or_works(policy in any::<bool>(), changes in vec(change(), 1..4)) {
        let mut bytes = good_bytes()[usize::from(policy)].clone();
        for change in &changes {
            changed(&mut bytes, change);
        }
        try_all(bytes)?;
    }

    #[test]
    fn any_bytes_behind_a_components_head_are_refused(bytes in vec(any::<u8>(), 0..200)) {
        let headed = [b"\0asm\x0d\0\x01\0", &bytes[..]].concat();
        prop_assert_eq!(try_all(headed)?, "refused");
    }
}

#[test]
fn a_sound_file_goes_through_all_of_what_is_tried() {
    let reached: Vec<_> = good_bytes().iter().map(|bytes| try_all(bytes.clone()).expect("it works")).collect();
    assert_eq!(reached, ["called", "a policy"]);
}

/// The shipped plugins, where they are built.
fn shipped() -> &'static [PluginFile] {
    static OPENED: OnceLock<Option<PluginDirectory>> = OnceLock::new();
    let opened = OPENED.get_or_init(|| {
        let named = std::env::var_os("UDASA_PLUGINS").map(PathBuf::from);
        let path = named.unwrap_or_else(|| repository().join("plugins-built"));
        path.is_dir().then(|| PluginDirectory::open(&path).expect("the shipped plugins load"))
    });
    match opened {
        Some(directory) => directory.list(),
        None => {
            println!("skipped: the shipped plugins are not built (cargo xtask test builds them)");
            &[]
        }
    }
}

fn scorers() -> impl Iterator<Item = &'static PluginFile> {
    shipped().iter().filter(|file| file.kind == PluginKind::Scorer)
}

/// All kinds are granted: what is asked is the scorer's own affair here.
fn granted(file: &PluginFile) -> config::Scorer {
    let all = [
        QuestionKind::Embed,
        QuestionKind::Entail,
        QuestionKind::Choose,
        QuestionKind::Likelihood,
        QuestionKind::Complete,
    ];
    config::Scorer { plugin: file.description.name.clone(), grant: all.into(), ..bad("") }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z{}]{0,12}", "\\PC{0,20}", any::<String>(), Just("{prompt} {response} {principle}".to_owned()),]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        select(vec![
            json!(0),
            json!(1),
            json!(-1),
            json!(0.5),
            json!(1e308),
            json!(-1e-320),
            json!(u64::MAX),
            json!(i64::MIN)
        ]),
        any::<i64>().prop_map(Value::from),
        (0.0..1.0_f64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number(), text().prop_map(Value::from)];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((text(), inner), 0..5).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A value near what a schema wants: `choices` decides, and now and then it is something else.
fn near(schema: &Value, choices: &mut impl Iterator<Item = u32>, other: &Value) -> Value {
    let choice = choices.next().unwrap_or(0) as usize;
    if choice % 17 == 16 {
        return other.clone();
    }
    let Some(schema) = schema.as_object() else { return other.clone() };
    for key in ["enum", "oneOf", "anyOf"] {
        if let Some(branches) = schema.get(key).and_then(Value::as_array).filter(|all| !all.is_empty()) {
            let branch = &branches[choice % branches.len()];
            return if key == "enum" { branch.clone() } else { near(branch, choices, other) };
        }
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    let of_type = match schema.get("type") {
        Some(Value::Array(types)) => types[choice % types.len()].as_str(),
        Some(Value::String(name)) => Some(name.as_str()),
        _ => None,
    };
    match of_type {
        Some("object") => {
            let known = schema.get("properties").and_then(Value::as_object);
            let mut fields = Map::new();
            for (key, schema) in known.into_iter().flatten() {
                if !choices.next().unwrap_or(0).is_multiple_of(3) {
                    fields.insert(key.clone(), near(schema, choices, other));
                }
            }
            Value::Object(fields)
        }
        Some("array") => {
            let items = schema.get("items").unwrap_or(other);
            (0..choice % 4).map(|_| near(items, choices, other)).collect()
        }
        Some("string") => ["", "x", "{prompt} {response} {principle}", "é\n\u{0}"][choice % 4].into(),
        Some("integer") => json!([0_u64, 1, 2, 7, 1 << 40][choice % 5]),
        Some("number") => [json!(0.0), json!(1.0), json!(0.3), json!(-2.5), json!(1e300)][choice % 5].clone(),
        Some("boolean") => json!(choice.is_multiple_of(2)),
        _ => Value::Null,
    }
}

fn samples() -> Vec<Sample> {
    let mut whole = sample("whole", &["The Nile.", "the nile", "It is the Amazon: 42", ""]);
    for response in &mut whole.responses {
        response.token_ids = vec![1, 2];
        response.logprobs = vec![-0.5, f32::MIN];
        response.entropies = vec![0.0, f32::MAX];
    }
    vec![whole, sample("empty", &[]), sample("one", &["alone \u{202e}é"])]
}

/// A shipped scorer on every sample: scores, questions or a fault of its own, and nothing else.
fn never_breaks(
    scorer: &Scorer,
    sample: &Sample,
    rounds: &[Vec<Answer>],
) -> Result<Option<Vec<Question>>, TestCaseError> {
    match scorer.score(sample, rounds) {
        Ok(Step::Ask(questions)) => Ok(Some(questions)),
        Ok(Step::Done(_)) => Ok(None),
        Err(fault) => {
            prop_assert!(matches!(fault.cause, Cause::Fault { .. }), "{fault}");
            Ok(None)
        }
    }
}

fn check_settings(settings: &str) -> Result<(), TestCaseError> {
    for file in scorers() {
        let scorer = Scorer::new(file, &granted(file), settings.to_owned(), &Limits::default()).expect("links");
        let problems = scorer.problems();
        prop_assert!(problems.is_ok(), "{problems:?}");
        if problems.is_ok_and(|problems| problems.is_empty()) {
            for sample in samples() {
                never_breaks(&scorer, &sample, &[])?;
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn settings_that_are_any_text_are_problems(settings in prop_oneof![any::<String>(), text()]) {
        check_settings(&settings)?;
    }

    #[test]
    fn settings_that_are_any_json_are_problems_or_usable(settings in any_json()) {
        check_settings(&settings.to_string())?;
    }

    #[test]
    fn settings_near_their_schema_are_problems_or_usable(choices in vec(any::<u32>(), 60), other in any_json()) {
        for file in scorers() {
            let settings = near(&file.description.settings_schema, &mut choices.iter().copied(), &other).to_string();
            let scorer = Scorer::new(file, &granted(file), settings.clone(), &Limits::default()).expect("links");
            let problems = scorer.problems();
            prop_assert!(problems.is_ok(), "{settings}: {problems:?}");
            if problems.is_ok_and(|problems| problems.is_empty()) {
                for sample in samples() {
                    never_breaks(&scorer, &sample, &[])?;
                }
            }
        }
    }
}

fn probability() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => 0.0..=1.0_f32,
        1 => select(vec![0.0, 1.0, -0.0, f32::MIN_POSITIVE, 1.0001, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX]),
    ]
}

fn any_answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        vec(probability(), 0..5).prop_map(Answer::Embed),
        (probability(), probability(), probability()).prop_map(|(entailment, neutral, contradiction)| Answer::Entail {
            entailment,
            neutral,
            contradiction
        }),
        vec(probability(), 0..4).prop_map(Answer::Choose),
        (probability(), any::<u32>()).prop_map(|(p, tokens)| Answer::Likelihood { logprob: -p, tokens }),
        vec(text(), 0..3).prop_map(Answer::Complete),
    ]
}

/// An answer that fits, made of two numbers.
fn fitting(question: &Question, p: f32, index: usize) -> Answer {
    match question {
        Question::Embed { .. } => Answer::Embed(vec![p, 1.0 - p]),
        Question::Entail { .. } => Answer::Entail { entailment: p, neutral: 1.0 - p, contradiction: 0.0 },
        Question::Choose { options, .. } => {
            let mut all = vec![0.0; options.len()];
            all[index % options.len()] += p;
            all[(index + 1) % options.len()] += 1.0 - p;
            Answer::Choose(all)
        }
        Question::Likelihood { .. } => Answer::Likelihood { logprob: -p * 1e30, tokens: 1 + index as u32 },
        Question::Complete { n, .. } => Answer::Complete(vec!["the nile".to_owned(); *n as usize]),
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn no_answer_makes_a_shipped_scorer_panic(
        wrong in vec(any_answer(), 0..6),
        right in vec((select(vec![0.0_f32, 1.0, 0.5, 1e-30, 0.999]), any::<usize>()), 32),
        at in any::<Index>(),
        missing in 0..3_usize,
        more_rounds in 0..3_usize,
    ) {
        for file in scorers() {
            let scorer = Scorer::new(file, &granted(file), "{}".to_owned(), &Limits::default()).expect("links");
            for sample in samples() {
                let Some(questions) = never_breaks(&scorer, &sample, &[])? else { continue };
                let fit: Vec<Answer> = questions
                    .iter()
                    .zip(right.iter().cycle())
                    .map(|(question, (p, index))| fitting(question, *p, *index % 1000))
                    .collect();
                prop_assert_eq!(answers_fit(&questions, &fit), Ok(()));
                match scorer.score(&sample, std::slice::from_ref(&fit)) {
                    Ok(Step::Done(_)) => {}
                    other => prop_assert!(false, "answers that fit gave {other:?}"),
                }
                // What the host would not let through does no harm either.
                let mut unfit = fit.clone();
                unfit.truncate(unfit.len().saturating_sub(missing));
                for answer in &wrong {
                    if !unfit.is_empty() {
                        *at.get_mut(&mut unfit) = answer.clone();
                    }
                    never_breaks_on_anything(&scorer, &sample, &[unfit.clone()])?;
                }
                let rounds = vec![unfit; more_rounds];
                never_breaks_on_anything(&scorer, &sample, &rounds)?;
            }
        }
    }
}

/// Answers that are no numbers may give scores that are none, which the host refuses; they may not trap.
fn never_breaks_on_anything(scorer: &Scorer, sample: &Sample, rounds: &[Vec<Answer>]) -> Result<(), TestCaseError> {
    if let Err(fault) = scorer.score(sample, rounds) {
        prop_assert!(matches!(fault.cause, Cause::Fault { .. } | Cause::BadOutput(_)), "{fault}");
    }
    Ok(())
}

#[test]
fn settings_that_are_not_json_are_one_problem_of_every_shipped_scorer() {
    for file in scorers() {
        let scorer = Scorer::new(file, &granted(file), "sin = 1".to_owned(), &Limits::default()).expect("links");
        let problems = scorer.problems().expect("no fault");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].message.starts_with("the settings are not JSON: "), "{problems:?}");
        let fault = scorer.score(&sample("p1", &["a"]), &[]).expect_err("they were not checked");
        assert!(fault.to_string().contains("the settings are refused: the settings are not JSON"), "{fault}");
    }
}
