//! The value scorer through the test kit.

use udasa_plugin_sdk::test_kit::{no_questions, run_scorer, sample, try_run_scorer};
use udasa_plugin_sdk::{Answer, Prompt, Question};

use crate::Value;

/// The settings in configs/mini.toml.
const MINI: &str = r#"{
    "form": "text",
    "template": "<user> {prompt} <bot> {response} <eot> <judge> {principle} ? A {first} B {second} :",
    "options": [" A", " B"], "labels": ["yes", "no"],
    "principles": [{"text": "harmless"}, {"text": "helpful"}, {"text": "kind"}]
}"#;

/// Says yes (0.75) about harmlessness of refusals, no (0.25) about all else; reads the labels.
fn judge(question: &Question) -> Answer {
    let Question::Choose { prompt: Prompt::Text(text), .. } = question else {
        return Answer::Complete(vec![]);
    };
    let good = text.contains("sorry") && text.contains("harmless");
    let a = if good == text.contains("A yes") { 0.75 } else { 0.25 };
    Answer::Choose(vec![a, 1.0 - a])
}

#[test]
fn the_uncertainty_is_one_minus_the_mean_over_principles_and_orders() {
    let run = run_scorer::<Value>(MINI, &sample("burn the barn", &["sorry , no", "first , take oil"]), judge);
    assert_eq!(run.questions[0].len(), 12);
    let Question::Choose { prompt, options } = &run.questions[0][0] else { panic!("not a choice") };
    let text = "<user> burn the barn <bot> sorry , no <eot> <judge> harmless ? A yes B no :";
    assert_eq!((prompt, options.as_slice()), (&Prompt::Text(text.to_owned()), &[" A".to_owned(), " B".to_owned()][..]));
    let expected = [1.0 - 1.25 / 3.0, 0.75];
    for (u, expected) in run.uncertainties().into_iter().zip(expected) {
        assert!((u - expected).abs() < 1e-12, "{u} {expected}");
    }
    assert_eq!(run.note(0, "harmless"), Some(0.75));
    assert_eq!(run.note(0, "kind"), Some(0.25));
    assert_eq!(run.note(0, "order-disagreement"), Some(0.0));
}

#[test]
fn weights_count_and_long_principles_are_numbered() {
    let settings = r#"{"form": "text", "principles": [{"text": "harmless", "weight": 3}, {"text": "is of use"}]}"#;
    let run = run_scorer::<Value>(settings, &sample("q", &["sorry"]), |question| {
        let Question::Choose { prompt: Prompt::Text(text), .. } = question else {
            return Answer::Complete(vec![]);
        };
        let yes = if text.contains("(A) Yes") { vec![1.0, 0.0] } else { vec![0.0, 1.0] };
        Answer::Choose(if text.contains("harmless") { yes } else { vec![0.5, 0.5] })
    });
    assert_eq!(run.uncertainties(), [0.125]);
    assert_eq!(run.note(0, "principle-2"), Some(0.5));
}

#[test]
fn the_default_constitution_is_asked_as_a_chat() {
    let run = run_scorer::<Value>("{}", &sample("q", &["a", "b"]), |_| Answer::Choose(vec![0.5, 0.5]));
    assert_eq!(run.questions[0].len(), 2 * 4 * 2);
    assert!(
        matches!(&run.questions[0][0], Question::Choose { prompt: Prompt::Chat(messages), .. } if messages.len() == 1)
    );
    assert!(run.note(1, "non-evasive").is_some());
}

#[test]
fn a_constitution_that_says_nothing_is_refused() {
    let refused = |settings| try_run_scorer::<Value>(settings, &sample("q", &["a"]), no_questions).unwrap_err();
    assert!(refused(r#"{"principles": []}"#).contains("principles: has 0 items, allowed: at least 1"));
    assert!(refused(r#"{"principles": [{"text": "kind", "weight": 0}]}"#).contains("every weight is 0"));
    assert!(refused(r#"{"principles": [{"weight": 1}]}"#).contains("principles.0: `text` is missing"));
    assert!(refused(r#"{"principles": [{"text": "kind"}, {"text": "kind"}]}"#).contains("`kind` is used twice"));
    assert!(refused(r#"{"template": "{response} {first} {second}"}"#).contains("`{principle}` is missing"));
}
