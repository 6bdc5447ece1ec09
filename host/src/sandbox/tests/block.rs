//! A scorer of the SDK is called with one block; by an older host it is called through the contract's own `score`.

use std::sync::OnceLock;

use super::super::{Cause, PluginDirectory, Scorer, Step};
use super::repository;
use crate::config::{self, Limits, OnFault};
use crate::plugin::build_quietly;
use crate::records::{Answer, Finish, Message, PromptText, Question, QuestionKind, Response, Sample};

fn scorer(plugin: &str, settings: &str) -> Scorer {
    static OPENED: OnceLock<PluginDirectory> = OnceLock::new();
    let directory = OPENED.get_or_init(|| {
        let out = repository().join("target/test-plugins/block");
        let crates = ["asker", "sdk-scorer"].map(|name| repository().join("tests/fixtures").join(name));
        build_quietly(&crates, &out).expect("the fixtures build");
        PluginDirectory::open(&out).expect("they load")
    });
    let config = config::Scorer {
        plugin: plugin.to_owned(),
        name: None,
        weight: 1.0,
        grant: QuestionKind::ALL.to_vec(),
        settings: serde_json::from_str(settings).expect("JSON"),
        on_fault: OnFault::Stop,
        sha256: None,
        native: false,
    };
    directory.scorer(&config, &Limits::default()).expect("its settings are in order")
}

fn samples() -> [Sample; 2] {
    let odd = [f32::NAN, f32::NEG_INFINITY, f32::INFINITY, -0.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, -0.7];
    let response = |(i, text): (usize, &str)| Response {
        text: text.to_owned(),
        token_ids: (0..i as u32).collect(),
        logprobs: odd[..2 * i].to_vec(),
        entropies: odd[i..].to_vec(),
        finish: if i == 2 { Finish::Length } else { Finish::default() },
    };
    let texts = ["", "naïve İstanbul", "\u{0}\u{1F600}", "In the sea"];
    let turn = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    let sample = |id: &str, prompt, group: Option<&str>| Sample {
        id: id.to_owned(),
        prompt,
        group: group.map(str::to_owned),
        prompt_token_ids: vec![1],
        responses: texts.into_iter().enumerate().map(response).collect(),
    };
    [
        sample("chat", PromptText::Chat(vec![turn("system", "Be brief."), turn("user", "Where?")]), Some("rivers")),
        sample("text", PromptText::Text("Where?".to_owned()), None),
    ]
}

fn answer(question: &Question) -> Answer {
    match question {
        Question::Embed { .. } => Answer::Embed(vec![0.6, -0.8, 0.0]),
        Question::Entail { .. } => Answer::Entail { entailment: 0.5, neutral: 0.3, contradiction: 0.2 },
        Question::Choose { .. } => Answer::Choose(vec![0.75, 0.25]),
        Question::Likelihood { .. } => Answer::Likelihood { logprob: -7.25, tokens: 3 },
        Question::Complete { .. } => Answer::Complete(vec!["naïve".to_owned(), String::new()]),
    }
}

#[test]
fn a_scorer_asks_and_scores_the_same_both_ways() {
    for (plugin, rounds_expected) in [("sdk-scorer", 0), ("asker", 1)] {
        let scorer = scorer(plugin, "{}");
        for sample in samples() {
            let mut rounds = Vec::new();
            loop {
                let [block, contract] = scorer.score_both_ways(&sample, &rounds);
                let step = block.expect("no fault");
                // As text, in which a zero has its sign.
                let both = [&step, &contract.expect("no fault")].map(|step| format!("{step:?}"));
                assert_eq!(both[0], both[1], "{plugin} on {}", sample.id);
                match step {
                    Step::Ask(questions) => rounds.push(questions.iter().map(answer).collect()),
                    Step::Done(scores) => {
                        assert_eq!(scores.len(), sample.responses.len());
                        break;
                    }
                }
            }
            assert_eq!(rounds.len(), rounds_expected);
        }
    }
}

#[test]
fn a_fault_and_a_panic_are_the_same_both_ways() {
    let [sample, _] = samples();
    for (sin, expected) in [("fault", "nothing to say"), ("message", "no such token: chat")] {
        let scorer = scorer("sdk-scorer", &format!(r#"{{"sin": "{sin}"}}"#));
        let [block, contract] = scorer.score_both_ways(&sample, &[]).map(|result| {
            let cause: Cause = result.expect_err("it fails");
            cause.to_string()
        });
        assert_eq!(block, contract);
        assert!(block.contains(expected), "{block}");
    }
}
