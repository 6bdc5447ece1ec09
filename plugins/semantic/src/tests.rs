//! The semantic scorer through the test kit.

mod published;

use udasa_plugin_sdk::test_kit::{ScorerRun, no_questions, run_scorer, sample, try_run_scorer};

use crate::Semantic;

fn run(settings: &str, prompt: &str, responses: &[&str]) -> ScorerRun {
    run_scorer::<Semantic>(settings, &sample(prompt, responses), no_questions)
}

#[test]
fn the_response_that_differs_is_doubted_most() {
    let run = run(
        "{}",
        "Who wrote Emma?",
        &["Jane Austen", "jane austen.", "George Eliot"],
    );
    assert_eq!(run.uncertainties(), [0.5, 0.5, 1.0]);
    assert_eq!(run.note(0, "mean-similarity"), Some(0.5));
    assert_eq!(run.note(0, "clusters"), Some(2.0));
    assert_eq!(run.note(2, "lexical-similarity"), Some(1.0 / 3.0));
    assert_eq!(run.note(2, "degree"), Some(4.0 / 9.0));
}

#[test]
fn content_words_leave_the_prompt_and_the_grammar_out() {
    // {mirn} and {mirn}, where all words would share little.
    let texts = [
        "The river is the Mirn",
        "it runs by Alda and is called mirn",
    ];
    let settings = r#"{"similarity": "jaccard", "words": "content"}"#;
    assert_eq!(
        run(settings, "river runs by Alda called ?", &texts).uncertainties(),
        [0.0, 0.0]
    );
    let all = run(
        r#"{"similarity": "jaccard"}"#,
        "river runs by Alda called ?",
        &texts,
    )
    .uncertainties();
    assert!(all[0] > 0.5, "{all:?}");
}

#[test]
fn empty_identical_and_single_responses_have_defined_scores() {
    assert_eq!(run("{}", "q", &["", ""]).uncertainties(), [0.0, 0.0]);
    assert_eq!(run("{}", "q", &["", "a"]).uncertainties(), [1.0, 1.0]);
    assert_eq!(run("{}", "q", &["a"]).uncertainties(), [0.0]);
    assert!(run("{}", "q", &[]).scores.is_empty());
    let left_out = run(r#"{"identical": "leave-out"}"#, "q", &["a b", "a b", "a"]);
    assert!(
        left_out
            .note(0, "lexical-similarity")
            .is_some_and(|mean| (mean - 2.0 / 3.0).abs() < 1e-12)
    );
    assert_eq!(
        run(r#"{"identical": "leave-out"}"#, "q", &["a", "a"]).note(0, "lexical-similarity"),
        Some(1.0)
    );
}

#[test]
fn unknown_settings_are_refused_with_a_suggestion() {
    let settings = r#"{"similarity": "rouge", "word": "all"}"#;
    let refused =
        try_run_scorer::<Semantic>(settings, &sample("q", &["a"]), no_questions).unwrap_err();
    assert!(
        refused.contains("similarity: unknown value `rouge`, expected one of `rouge-l`, `jaccard`"),
        "{refused}"
    );
    assert!(
        refused.contains("word: unknown key; did you mean `words`?"),
        "{refused}"
    );
}

#[test]
fn the_degree_agrees_with_lm_polygraph() {
    // lm-polygraph 0.7.0, DegMat(Jaccard_score), on made-up answers; made by its own code, tolerance 1e-12 (f64).
    let golden: [(&[&str], f64); 3] = [
        (
            &[
                "Mars",
                "Mars",
                "Mars",
                "Mars",
                "Mars",
                "The planet Mars.",
                "mars",
                "Venus",
                "It is Mars",
                "Venus, I think",
            ],
            0.56,
        ),
        (
            &[
                "Michelangelo",
                "Michelangelo painted the ceiling of the chapel",
                "Raphael",
                "It was Michelangelo",
                "",
                "Michelangelo",
                "Raphael did",
                "Leonardo da Vinci",
                "michelangelo.",
                "Leonardo",
            ],
            0.840_833_333_333_333_3,
        ),
        (
            &[
                "Yellow",
                "yellow",
                "A ripe banana is yellow.",
                "It is yellow",
                "Yellow, with brown spots",
                "yellow",
                "Green",
                "Bright yellow",
                "Yellow",
                "yellow in colour",
            ],
            0.669_809_523_809_523_7,
        ),
    ];
    for (responses, expected) in golden {
        let run = run(
            r#"{"similarity": "jaccard", "split": "whitespace"}"#,
            "q",
            responses,
        );
        let degree = run.note(0, "degree").unwrap_or(f64::NAN);
        assert!((degree - expected).abs() < 1e-12, "{degree} {expected}");
    }
}
