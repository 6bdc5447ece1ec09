//! The factual scorer through the test kit.

use udasa_plugin_sdk::test_kit::{chat_sample, no_questions, run_scorer, sample, try_run_scorer};
use udasa_plugin_sdk::{Answer, Prompt, Question};

use crate::Factual;

/// The settings in configs/mini.toml.
const MINI: &str = r#"{
    "methods": {"vote": 0.5, "p-true": 0.5}, "answer": "content-words", "form": "text",
    "template": "<user> {prompt} <bot> {response} <eot> <judge> true ? A {first} B {second} :",
    "options": [" A", " B"], "labels": ["yes", "no"]
}"#;

/// A judge that knows the Mirn, and leans to the first option by 0.1.
fn judge(question: &Question) -> Answer {
    let Question::Choose { prompt: Prompt::Text(text), options } = question else {
        return Answer::Complete(vec![]);
    };
    assert_eq!(options, &[" A", " B"]);
    let (good, yes_first) = (text.contains("mirn <eot>"), text.contains("A yes"));
    let a = if good == yes_first { 0.9 } else { 0.3 };
    Answer::Choose(vec![a, 1.0 - a])
}

#[test]
fn half_the_doubt_comes_from_the_others_and_half_from_the_judge() {
    let sample = sample("which river ?", &["the mirn", "mirn", "the sorne"]);
    let run = run_scorer::<Factual>(MINI, &sample, judge);
    assert_eq!(run.questions.len(), 1);
    assert_eq!(run.questions[0].len(), 6);
    let Question::Choose { prompt, .. } = &run.questions[0][1] else { panic!("not a choice") };
    let text = "<user> which river ? <bot> the mirn <eot> <judge> true ? A no B yes :";
    assert_eq!(prompt, &Prompt::Text(text.to_owned()));
    // P(True) = (0.9 + 0.7) / 2 for the Mirn, (0.3 + 0.1) / 2 for the Sorne; votes ½, ½, 1.
    let expected = [0.5 * 0.5 + 0.5 * 0.2, 0.5 * 0.5 + 0.5 * 0.2, 0.5 + 0.5 * 0.8];
    for (u, expected) in run.uncertainties().into_iter().zip(expected) {
        assert!((u - expected).abs() < 1e-6, "{u} {expected}");
    }
    assert!(run.note(0, "order-disagreement").is_some_and(|note| (note - 0.2).abs() < 1e-6));
    assert!(run.note(2, "p-true").is_some_and(|note| (note - 0.2).abs() < 1e-6));
    assert_eq!(run.note(2, "vote"), Some(1.0));
}

#[test]
fn votes_alone_ask_nothing() {
    let settings = r#"{"methods": {"vote": 1}, "answer": "last-number"}"#;
    let run = run_scorer::<Factual>(settings, &sample("1 + 1?", &["= 2", "2.0", "3"]), no_questions);
    assert_eq!(run.uncertainties(), [1.0 - 2.0 / 3.0, 1.0 - 2.0 / 3.0, 1.0 - 1.0 / 3.0]);
    assert_eq!(run.note(0, "p-true"), None);
}

#[test]
fn the_default_asks_a_chat_model_about_the_last_user_message() {
    let sample =
        chat_sample(&[("system", "s"), ("user", "Where?"), ("assistant", "Here."), ("user", "Sure?")], &["Yes."]);
    let run = run_scorer::<Factual>("{}", &sample, |_| Answer::Choose(vec![1.0, 0.0]));
    let Question::Choose { prompt: Prompt::Chat(messages), .. } = &run.questions[0][0] else { panic!("not a chat") };
    assert_eq!(messages.len(), 1);
    assert!(messages[0].content.starts_with("Question: Sure?\n\nPossible answer: Yes.\n"));
    assert!(messages[0].content.contains("(A) True\n(B) False"));
    assert_eq!(run.note(0, "order-disagreement"), Some(1.0));
}

#[test]
fn unusable_settings_are_refused_with_all_reasons() {
    let refused = |settings| try_run_scorer::<Factual>(settings, &sample("q", &["a"]), no_questions).unwrap_err();
    assert_eq!(
        refused(r#"{"methods": {}}"#),
        "the settings are refused: methods: every weight is 0; give `vote` or `p-true` a weight above 0"
    );
    let both = refused(r#"{"methods": {"votes": 1}, "options": ["A"]}"#);
    assert!(both.contains("methods.votes: unknown key; did you mean `vote`?"), "{both}");
    assert!(both.contains("options: has 1 items, allowed: exactly 2"), "{both}");
    assert!(refused(r#"{"template": "{first} or {second}"}"#).contains("`{response}` is missing"));
}

#[test]
fn a_missing_answer_is_a_fault() {
    let fault = try_run_scorer::<Factual>(MINI, &sample("q", &["a"]), |_| Answer::Choose(vec![1.0])).unwrap_err();
    assert_eq!(fault, "fault: answer 1 has 1 probabilities for 2 options");
}
