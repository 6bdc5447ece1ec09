//! The border without a library: a table of this very program, called as a host would.

use super::*;
use crate::log;
use crate::{
    Answer, Dimension, Entailment, Fault, Prompt, Question, QuestionKind, Response, Sample, Score, Scorer, Step,
};

/// Gives back what it was given, and misbehaves on request.
struct Echo;

#[derive(serde::Deserialize, schemars::JsonSchema, Default)]
#[serde(default)]
struct Settings {
    /// What to do.
    sin: String,
}

impl Scorer for Echo {
    type Settings = Settings;
    const NAME: &'static str = "echo";
    const VERSION: &'static str = "1.2.3";
    const SUMMARY: &'static str = "Gives back what it was given";
    const DIMENSION: Dimension = Dimension::Factual;
    const ASKS: &'static [QuestionKind] = &[QuestionKind::Complete];

    fn score(settings: &Settings, sample: &Sample, rounds: &[Vec<Answer>]) -> Result<Step, Fault> {
        match settings.sin.as_str() {
            "panic" => panic!("no such token: {}", sample.id),
            "silent" => std::panic::panic_any(7_u8),
            "fault" => return Err(Fault::new("nothing to say").hint("say something")),
            "log" => log::warn("odd"),
            _ => {}
        }
        let Some(answers) = rounds.first() else {
            let prompt = sample.prompt.clone();
            return Ok(Step::Ask(vec![Question::Complete { prompt, n: 2, temperature: 0.1, max_tokens: 3 }]));
        };
        let [Answer::Embed(vector), Answer::Entail(entailment), Answer::Complete(texts)] = answers.as_slice() else {
            return Err(Fault::new("other answers"));
        };
        let response = &sample.responses[0];
        let numbers = vector.iter().chain(&response.logprobs).chain(&response.entropies);
        let numbers = numbers.chain([&entailment.entailment, &entailment.neutral, &entailment.contradiction]);
        let score = numbers.fold(Score::new(f64::NAN), |score, number| score.note(&texts[0], f64::from(*number)));
        Ok(Step::Done(vec![score.note("truncated", f64::from(u8::from(response.truncated)))]))
    }
}

static TABLE: Table = Table::of_scorer::<Echo>();

fn plugin() -> Plugin {
    // SAFETY: the table is a static of this program.
    unsafe { Plugin::new(&raw const TABLE) }.expect("it is ours")
}

fn sample() -> Sample {
    let odd = [f32::NAN, f32::NEG_INFINITY, -0.0, f32::MIN_POSITIVE / 8.0, 0.1];
    let response = Response {
        text: "naïve \u{0} text".to_owned(),
        token_ids: vec![0, u32::MAX],
        logprobs: odd.to_vec(),
        entropies: odd.to_vec(),
        truncated: true,
    };
    Sample { id: "p1".to_owned(), prompt: Prompt::user("why?"), group: None, responses: vec![response] }
}

#[test]
fn every_float_crosses_both_ways_by_its_bits() {
    let answers = vec![
        Answer::Embed(vec![1.0, -0.0]),
        Answer::Entail(Entailment { entailment: 0.1, neutral: f32::NAN, contradiction: f32::INFINITY }),
        Answer::Complete(vec!["name".to_owned()]),
    ];
    let rounds = [answers];
    let native = plugin().score("{}", &sample(), &rounds).result.expect("no panic").expect("no fault");
    let direct = crate::adapter::score::<Echo>("{}", &sample(), &rounds).expect("no fault");
    let bits = |step: &Step| -> Vec<(String, u64)> {
        let Step::Done(scores) = step else { panic!("it asks again") };
        let notes = scores.iter().flat_map(|s| s.notes.iter().map(|n| (n.name.clone(), n.value.to_bits())));
        notes.chain(scores.iter().map(|s| ("u".to_owned(), s.uncertainty.to_bits()))).collect()
    };
    assert_eq!(bits(&native).len(), 17);
    assert_eq!(bits(&native), bits(&direct));
}

#[test]
fn questions_faults_problems_and_the_description_cross() {
    let question = Question::Complete { prompt: Prompt::user("why?"), n: 2, temperature: 0.1, max_tokens: 3 };
    assert_eq!(plugin().score("{}", &sample(), &[]).result, Ok(Ok(Step::Ask(vec![question]))));
    let fault = Fault::new("nothing to say").hint("say something");
    assert_eq!(plugin().score(r#"{"sin": "fault"}"#, &sample(), &[]).result, Ok(Err(fault)));
    let problems = plugin().check_settings(r#"{"sine": 1}"#).result.expect("no panic");
    assert_eq!(problems[0].path, "sine", "{problems:?}");
    let description = plugin().describe().result.expect("no panic");
    assert_eq!((description.name.as_str(), description.dimension), ("echo", Some(Dimension::Factual)));
    assert!(description.settings_schema.contains("What to do"));
}

#[test]
fn a_panic_comes_back_as_its_words_and_the_next_call_works() {
    let plugin = plugin();
    let panicked = plugin.score(r#"{"sin": "panic"}"#, &sample(), &[]).result;
    let Err(Failure::Panic(words)) = panicked else { panic!("it did not panic: {panicked:?}") };
    assert!(words.starts_with("no such token: p1 (") && words.contains("tests.rs:"), "{words}");
    let silent = plugin.score(r#"{"sin": "silent"}"#, &sample(), &[]).result;
    assert!(matches!(&silent, Err(Failure::Panic(words)) if words.starts_with("no message (")), "{silent:?}");
    assert!(plugin.score("{}", &sample(), &[]).result.is_ok());
}

#[test]
fn log_lines_come_with_the_reply_of_their_own_call() {
    let plugin = plugin();
    let line = LogLine { level: log::Level::Warn, text: "odd".to_owned() };
    assert_eq!(plugin.score(r#"{"sin": "log"}"#, &sample(), &[]).log, [line]);
    assert_eq!(plugin.score("{}", &sample(), &[]).log, []);
}

#[test]
fn a_table_of_another_version_is_refused_before_anything_is_called() {
    let refused = |table: Table| {
        // SAFETY: leaked, it is as good as a static.
        unsafe { Plugin::new(Box::leak(Box::new(table))) }.map(|plugin| plugin.kind()).expect_err("refused")
    };
    let ours = Table::of_scorer::<Echo>;
    assert_eq!(refused(Table { abi: 2, ..ours() }), Refusal::Abi { found: 2 });
    let mut later = [0; 16];
    later[..5].copy_from_slice(b"0.2.0");
    assert_eq!(refused(Table { contract: later, ..ours() }), Refusal::Contract { found: "0.2.0".to_owned() });
    assert_eq!(refused(Table { kind: 2, ..ours() }), Refusal::Kind);
    let mut patched = [0; 16];
    patched[..6].copy_from_slice(b"0.1.12");
    // SAFETY: as above.
    assert!(unsafe { Plugin::new(Box::leak(Box::new(Table { contract: patched, ..ours() }))) }.is_ok());
}

#[test]
fn the_other_kind_of_call_and_a_cut_message_are_errors_not_crashes() {
    let staged = plugin().next_stage("{}", 1, &[], &[]).result;
    assert!(matches!(staged, Err(Failure::Unreadable(_))), "{staged:?}");
    // SAFETY: two readable bytes.
    let reply = plugin().received::<Result<Step, Fault>>(unsafe { (TABLE.call)([7, 7].as_ptr(), 2) });
    assert!(matches!(reply.result, Err(Failure::Unreadable(_))), "{reply:?}");
}

#[test]
fn this_border_speaks_the_frozen_contract() {
    let wit = include_str!("../../wit/v0.1/udasa-plugin.wit");
    assert!(wit.contains(&format!("package udasa:plugin@{CONTRACT};")));
}
