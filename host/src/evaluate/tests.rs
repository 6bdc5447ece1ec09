//! Measuring a scripted model.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Items, Subject, measure};
use crate::error::UserError;
use crate::records::{Answer, Finish, Prompt, PromptText, Question, Response, Sample};

/// Answers each prompt by its script, and every question by the same probabilities.
struct Scripted {
    texts: BTreeMap<&'static str, Vec<&'static str>>,
    answers: Vec<Vec<f32>>,
    asked: usize,
}

impl Subject for Scripted {
    fn sample(&mut self, prompts: &[Prompt], responses: usize) -> Result<Vec<Sample>> {
        self.asked += prompts.len();
        let of = |prompt: &Prompt| match &prompt.prompt {
            PromptText::Text(text) => self.texts.get(text.as_str()).cloned().unwrap_or_default(),
            PromptText::Chat(_) => Vec::new(),
        };
        Ok(prompts
            .iter()
            .map(|prompt| Sample {
                id: prompt.id.clone(),
                prompt: prompt.prompt.clone(),
                group: None,
                prompt_token_ids: Vec::new(),
                responses: of(prompt)
                    .into_iter()
                    .take(responses)
                    .map(|text| Response {
                        text: text.into(),
                        finish: if text.ends_with('.') { Finish::Eos } else { Finish::Length },
                        ..Response::default()
                    })
                    .collect(),
            })
            .collect())
    }

    fn answer(&mut self, questions: &[Question]) -> Result<Vec<Answer>> {
        Ok(self.answers.iter().take(questions.len()).cloned().map(Answer::Choose).collect())
    }

    fn kl(&mut self, samples: &[Sample]) -> Result<f64> {
        Ok(samples.len() as f64)
    }
}

fn scripted(texts: &[(&'static str, &[&'static str])], answers: &[&[f32]]) -> Scripted {
    Scripted {
        texts: texts.iter().map(|(prompt, texts)| (*prompt, texts.to_vec())).collect(),
        answers: answers.iter().map(|a| a.to_vec()).collect(),
        asked: 0,
    }
}

const TWO_PROMPTS: &str = r#"
{"headline": ["polite"], "averages": {"mean": ["polite", "short"]}}
{"prompt": "q1", "measures": ["polite"], "good": ["^please"], "labels": {"rude": ["^no"]}, "well_formed": ["^[a-z .]+$"]}
{"prompt": "q2", "measures": ["polite", "short"], "good": ["^please\\.$"]}
{"prompt": "q1", "measures": ["short"], "good": ["^.{1,3}$"]}
"#;

#[test]
fn each_item_counts_once_for_each_of_its_measures() -> Result<()> {
    let items = Items::parse(TWO_PROMPTS)?;
    let mut subject =
        scripted(&[("q1", &["please do.", "no.", "so be it.", "?!"]), ("q2", &["please.", "a", "b", "c"])], &[]);
    let point = measure("before", &items, &mut subject, 4)?;
    assert_eq!(subject.asked, 2, "a prompt of two items is sampled once");
    let value = |name: &str| point.measures.get(name).map(|m| m.value);
    // q1: 1 of 4 good, q2: 1 of 4 good.
    assert_eq!(value("polite"), Some(0.25));
    assert_eq!(value("polite/rude"), Some(0.25));
    assert_eq!(value("polite/garbled"), Some(0.25));
    assert_eq!(value("well-formed"), Some(0.75), "over the items that can tell");
    // q1: `no.` and `?!` are short; q2 1 of 4.
    assert_eq!(value("short"), Some(0.375));
    assert_eq!(value("mean"), Some((0.25 + 0.375) / 2.0));
    assert_eq!(value("kl"), Some(2.0));
    assert_eq!(value("unique"), Some(1.0));
    assert_eq!(value("words"), Some((7.0 / 4.0 + 1.0) / 2.0));
    assert_eq!(value("truncated"), Some((0.25 + 0.75) / 2.0));
    let polite = &point.measures["polite"];
    assert_eq!((polite.n, polite.headline, polite.higher_is_better), (2, true, Some(true)));
    assert!(!point.measures["short"].headline, "the header names the headline");
    Ok(())
}

const JUDGE: &str = r#"
{"choose": {"prompt": "good? A yes B no :", "options": [" A", " B"]}, "correct": 0, "positive": true, "measures": ["judge"], "id": "g"}
{"choose": {"prompt": "good? A no B yes :", "options": [" A", " B"]}, "correct": 1, "positive": true, "measures": ["judge"], "id": "g"}
{"choose": {"prompt": "bad? A yes B no :", "options": [" A", " B"]}, "correct": 1, "positive": false, "measures": ["judge"], "id": "b"}
{"choose": {"prompt": "bad? A no B yes :", "options": [" A", " B"]}, "correct": 0, "positive": false, "measures": ["judge"], "id": "b"}
"#;

#[test]
fn option_orders_of_one_id_are_averaged_so_that_a_habit_of_saying_a_is_no_skill() -> Result<()> {
    let items = Items::parse(JUDGE)?;
    let always_a: &[&[f32]] = &[&[0.75, 0.25], &[0.75, 0.25], &[0.75, 0.25], &[0.75, 0.25]];
    let point = measure("before", &items, &mut scripted(&[], always_a), 1)?;
    assert_eq!(point.measures["judge"].value, 0.5, "ties count half");
    assert_eq!(point.measures["judge"].n, 2, "two questions, not four");
    assert_eq!(point.measures["judge/auc"].value, 0.5);
    assert!(!point.measures.contains_key("kl"), "nothing was sampled");

    // P(yes) of the good one: (.7 + .6) / 2, of the bad one (.6 + .4) / 2 - both judged good, but in the right order.
    let lenient: &[&[f32]] = &[&[0.7, 0.3], &[0.4, 0.6], &[0.6, 0.4], &[0.6, 0.4]];
    let point = measure("before", &items, &mut scripted(&[], lenient), 1)?;
    assert_eq!(point.measures["judge"].value, 0.75);
    assert_eq!(point.measures["judge/auc"].value, 1.0);
    Ok(())
}

#[test]
fn all_bad_lines_are_named_at_once() {
    let text = r#"{"prompt": "q", "measures": ["m"], "good": ["("]}
not json
{"prompt": "q", "measures": [], "good": ["a"]}
{"prompt": "q", "measures": ["m"], "good": ["a"], "lables": {}}
{"choose": {"prompt": "q", "options": ["a", "b"]}, "correct": 2, "measures": ["m"]}
{"measures": ["m"]}
{"prompt": "q", "measures": ["m"], "good": ["a"]}"#;
    let error = Items::parse(text).err().expect("six bad lines");
    let error = error.downcast_ref::<UserError>().expect("the user's");
    assert!(error.message.starts_with("the evaluation set has 6 bad line(s)"), "{error}");
    for (line, what) in [
        (1, "regex"),
        (2, "expected"),
        (3, "`measures` is empty"),
        (4, "lables"),
        (5, "`correct` is 2"),
        (6, "none of"),
    ] {
        let found = error.message.lines().find(|l| l.starts_with(&format!("line {line}: ")));
        assert!(error.message.contains(what) && found.is_some(), "line {line}: {what} in\n{error}");
    }
}

#[test]
fn an_empty_set_and_a_header_that_names_nothing_measured_are_the_users_errors() -> Result<()> {
    assert!(Items::parse("\n\n").err().is_some_and(|e| e.is::<UserError>()));
    let items = Items::parse(
        "{\"headline\": [\"polite\", \"nice\"]}\n{\"prompt\": \"q\", \"measures\": [\"polite\"], \"good\": [\"a\"]}",
    )?;
    let error = measure("before", &items, &mut scripted(&[("q", &["a"])], &[]), 1).err();
    assert!(error.is_some_and(|e| { e.downcast_ref::<UserError>().is_some_and(|e| e.message.contains("`nice`")) }));
    Ok(())
}

#[test]
fn a_missing_file_is_the_users_error() {
    let error = Items::load(std::path::Path::new("/nowhere/evaluation.jsonl")).err().expect("missing");
    assert!(error.is::<UserError>());
}
