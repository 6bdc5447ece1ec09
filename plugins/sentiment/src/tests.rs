//! The sentiment scorer through the test kit.

use udasa_plugin_sdk::test_kit::{no_questions, run_scorer, sample, try_run_scorer};

use crate::Sentiment;

#[test]
fn praise_is_trusted_and_blame_is_doubted() {
    let responses = [
        "A moving, beautifully acted film.",
        "A dull and pointless mess.",
        "It is a film.",
    ];
    let run = run_scorer::<Sentiment>("{}", &sample("The film", &responses), no_questions);
    let u = run.uncertainties();
    assert!(u[0] < 0.1 && u[1] > 0.9, "{u:?}");
    assert_eq!(u[2], 0.5);
    assert_eq!(run.note(0, "sentiment-words"), Some(2.0));
    assert!(
        run.note(1, "positive")
            .is_some_and(|positive| (positive - (1.0 - u[1])).abs() < 1e-12)
    );

    let turned = run_scorer::<Sentiment>(
        r#"{"target": "negative"}"#,
        &sample("", &responses),
        no_questions,
    );
    assert!(turned.uncertainties()[0] > 0.9 && turned.uncertainties()[1] < 0.1);
}

#[test]
fn the_scale_and_extra_words_are_settings() {
    let settings = r#"{"scale": 0.0}"#;
    assert_eq!(
        run_scorer::<Sentiment>(settings, &sample("", &["superb"]), no_questions).uncertainties(),
        [0.5]
    );
    let settings = r#"{"extra": {"zorp": 5}}"#;
    assert!(
        run_scorer::<Sentiment>(settings, &sample("", &["Zorp!"]), no_questions).uncertainties()[0]
            < 0.05
    );
    let refused = try_run_scorer::<Sentiment>(
        r#"{"extra": {"Zorp": 5}}"#,
        &sample("", &["a"]),
        no_questions,
    );
    assert!(refused.is_err_and(|error| error.contains("`Zorp` can never match")));
}

#[test]
fn long_texts_saturate_without_leaving_the_range() {
    let long = "terrible ".repeat(5000);
    let run = run_scorer::<Sentiment>("{}", &sample("", &[&long, "", "…"]), no_questions);
    assert_eq!(run.uncertainties(), [1.0, 0.5, 0.5]);
}
