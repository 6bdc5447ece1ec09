//! What a plugin is tried with: samples and pairs that are awkward, and in shapes that a run really has.

use std::path::Path;

use crate::config::Generate;
use crate::data;
use crate::plugin::input::PairView;
use crate::records::{Finish, Message, Outcome, Pair, PromptText, Response, Sample};
use crate::sandbox::PluginKind;

/// One thing to try.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub name: String,
    pub what: Given,
}

#[derive(Debug, Clone)]
pub(super) enum Given {
    Sample(Sample),
    /// The pairs, and whether every stage comes back with what training did.
    Pairs(Vec<Pair>, Option<Outcome>),
}

/// The user's own samples, in the form of responses.jsonl.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Case>> {
    let samples = data::read_responses(path, &Generate::default())?;
    Ok(samples.into_iter().map(|sample| Case { name: sample.id.clone(), what: Given::Sample(sample) }).collect())
}

pub(super) fn built_in(kind: PluginKind) -> Vec<Case> {
    match kind {
        PluginKind::Scorer => samples(),
        PluginKind::StagingPolicy => pair_sets(),
    }
}

fn samples() -> Vec<Case> {
    let long = "The river rises in the hills and ends in the sea, after many days. ".repeat(100);
    let texts: [(&str, &str, &[&str]); 8] = [
        ("ordinary", "Who wrote Emma?", &["Jane Austen.", "It was Jane Austen", "Mary Shelley, I think"]),
        ("one-response", "Who wrote Emma?", &["Jane Austen."]),
        ("identical", "Who wrote Emma?", &["Jane Austen."; 4]),
        ("empty-texts", "Say nothing.", &["", " ", "\n\t"]),
        ("unicode", "Ω👩‍🚀?", &["e\u{301}é ﬁ ß", "שלום مرحبا", "👩‍🚀🏳️‍🌈", "日本語。", "\u{0}\u{feff}\u{202e}x"]),
        ("punctuation", "…", &["…", "!!!", "\"{}[]\\", "<|end|> {response}"]),
        ("long", "Tell me about the river.", &[&long, "It is long.", &long[..5000]]),
        ("many", "Pick a number.", &["1", "2", "3", "four", "5", "six", "7", "8", "9", "10", "eleven", "1"]),
    ];
    let mut cases: Vec<Case> = texts
        .iter()
        .map(|(name, prompt, texts)| {
            case(name, PromptText::Text((*prompt).to_owned()), texts.iter().map(|t| plain(t)).collect())
        })
        .collect();
    let turn = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    let chat = PromptText::Chat(vec![
        turn("system", "Answer briefly."),
        turn("user", "Who wrote Emma?"),
        turn("assistant", "Jane Austen."),
        turn("user", "When?"),
    ]);
    cases.push(case(
        "chat",
        chat,
        vec![with_tokens("In 1815.", 4, Finish::Eos), with_tokens("In 1816", 3, Finish::Length)],
    ));
    let tokens = vec![
        with_tokens("Jane Austen.", 3, Finish::Eos),
        with_tokens("", 1, Finish::Eos),
        with_tokens("Jane Austen wrote it, as far as", 64, Finish::Length),
    ];
    cases.push(case("log-probabilities", PromptText::Text("Who wrote Emma?".to_owned()), tokens));
    cases
}

fn case(name: &str, prompt: PromptText, responses: Vec<Response>) -> Case {
    let group = (name == "chat").then(|| "history".to_owned());
    let sample = Sample { id: name.to_owned(), prompt, group, prompt_token_ids: Vec::new(), responses };
    Case { name: name.to_owned(), what: Given::Sample(sample) }
}

fn plain(text: &str) -> Response {
    Response { text: text.to_owned(), ..Response::default() }
}

/// Tokens as a model leaves them: certain ones, and one that is all but impossible.
fn with_tokens(text: &str, n: u32, finish: Finish) -> Response {
    let logprob = |i: u32| match i % 4 {
        0 => 0.0,
        1 => -0.125,
        2 => -30.0,
        _ => -1.5,
    };
    let entropy = |i: u32| if i.is_multiple_of(4) { 0.0 } else { 0.75 };
    Response {
        text: text.to_owned(),
        token_ids: (0..n).collect(),
        logprobs: (0..n).map(logprob).collect(),
        entropies: (0..n).map(entropy).collect(),
        finish,
    }
}

fn pair_sets() -> Vec<Case> {
    let groups = ["facts", "safety", "style"];
    let mixed: Vec<Pair> = (0..50_u32)
        .map(|i| {
            let gap = f64::from(i * 37 % 50) / 50.0;
            view(i, gap, groups.get(i as usize % 4).copied())
        })
        .collect();
    let grouped: Vec<Pair> =
        (0..12_u32).map(|i| view(i, f64::from(i / 3) / 4.0, Some(groups[i as usize % 3]))).collect();
    let ties: Vec<Pair> = (0..9).map(|i| view(i, 0.5, None)).collect();
    let outcome = Outcome {
        loss: 0.5,
        reward_accuracy: 0.75,
        margin: 0.25,
        kl_to_initial: 0.01,
        chosen_logprob_change: -1.0,
        evaluation: Default::default(),
    };
    [
        ("mixed", mixed, None),
        ("groups", grouped.clone(), None),
        ("trained", grouped, Some(outcome)),
        ("ties", ties, None),
        ("two-pairs", vec![view(0, 0.5, None), view(1, 0.0, Some("facts"))], None),
        ("one-pair", vec![view(0, 0.25, None)], None),
    ]
    .into_iter()
    .map(|(name, pairs, outcome)| Case { name: name.to_owned(), what: Given::Pairs(pairs, outcome) })
    .collect()
}

fn view(i: u32, gap: f64, group: Option<&str>) -> Pair {
    let semantic = i.is_multiple_of(2).then_some(gap);
    let view = PairView {
        gap,
        group: group.map(str::to_owned),
        gap_semantic: semantic,
        gap_value: Some(gap / 2.0),
        chosen_tokens: Some(i + 1),
        rejected_tokens: Some(60 - i.min(59)),
        ..PairView::default()
    };
    view.pair(i as usize)
}
