//! Records to the contract's types and back. Towards the plugin everything is borrowed; only the lists of views are made. (What
//! crosses as a block is `block`'s.)

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::records::{Answer, Finish, Message, PromptText, Question, QuestionKind, Sample};

use super::bindings::scorer::exports::udasa::plugin::scorer_api as api;
use super::bindings::scorer::udasa::plugin::types as wit;

/// Calls `with` with a view of `sample`.
pub(super) fn sample<T>(sample: &Sample, with: impl FnOnce(wit::Sample<'_>) -> T) -> T {
    let messages = match &sample.prompt {
        PromptText::Text(_) => Vec::new(),
        PromptText::Chat(turns) => turns.iter().map(message).collect(),
    };
    let prompt = match &sample.prompt {
        PromptText::Text(text) => wit::PromptParam::Text(text),
        PromptText::Chat(_) => wit::PromptParam::Chat(&messages),
    };
    let responses: Vec<_> = sample
        .responses
        .iter()
        .map(|response| wit::Response {
            text: &response.text,
            token_ids: &response.token_ids,
            logprobs: &response.logprobs,
            entropies: &response.entropies,
            truncated: response.finish == Finish::Length,
        })
        .collect();
    with(wit::Sample { id: &sample.id, prompt, group: sample.group.as_deref(), responses: &responses })
}

/// Calls `with` with a view of the answers so far.
pub(super) fn rounds<T>(rounds: &[Vec<Answer>], with: impl FnOnce(&[&[wit::Answer<'_>]]) -> T) -> T {
    let texts: Vec<Vec<Vec<&str>>> = rounds.iter().map(|answers| answers.iter().map(texts).collect()).collect();
    let answers: Vec<Vec<wit::Answer<'_>>> = rounds
        .iter()
        .zip(&texts)
        .map(|(answers, texts)| {
            let answers = answers.iter().zip(texts);
            answers.map(|(a, texts)| answer(a, texts)).collect()
        })
        .collect();
    let views: Vec<&[wit::Answer<'_>]> = answers.iter().map(Vec::as_slice).collect();
    with(&views)
}

fn message(message: &Message) -> wit::MessageParam<'_> {
    wit::MessageParam { role: &message.role, content: &message.content }
}

fn texts(answer: &Answer) -> Vec<&str> {
    match answer {
        Answer::Complete(texts) => texts.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

fn answer<'a>(answer: &'a Answer, texts: &'a [&'a str]) -> wit::Answer<'a> {
    match answer {
        Answer::Embed(vector) => wit::Answer::Embed(vector),
        Answer::Entail { entailment, neutral, contradiction } => wit::Answer::Entail(wit::EntailAnswer {
            entailment: *entailment,
            neutral: *neutral,
            contradiction: *contradiction,
        }),
        Answer::Choose(probabilities) => wit::Answer::Choose(probabilities),
        Answer::Likelihood { logprob, tokens } => {
            wit::Answer::Likelihood(wit::LikelihoodAnswer { logprob: *logprob, tokens: *tokens })
        }
        Answer::Complete(_) => wit::Answer::Complete(texts),
    }
}

/// A question as a record.
pub(super) fn question(question: wit::Question) -> Question {
    match question {
        wit::Question::Embed(text) => Question::Embed { text },
        wit::Question::Entail(q) => Question::Entail { premise: q.premise, hypothesis: q.hypothesis },
        wit::Question::Choose(q) => Question::Choose { prompt: prompt(q.prompt), options: q.options },
        wit::Question::Likelihood(q) => Question::Likelihood { prompt: prompt(q.prompt), continuation: q.continuation },
        wit::Question::Complete(q) => Question::Complete {
            prompt: prompt(q.prompt),
            n: q.n,
            temperature: q.temperature,
            max_tokens: q.max_tokens,
        },
    }
}

fn prompt(prompt: wit::PromptResult) -> PromptText {
    match prompt {
        wit::PromptResult::Text(text) => PromptText::Text(text),
        wit::PromptResult::Chat(turns) => {
            PromptText::Chat(turns.into_iter().map(|turn| Message { role: turn.role, content: turn.content }).collect())
        }
    }
}

/// Notes by name; the name of one that comes twice is the error.
pub(super) fn notes(notes: Vec<api::Note>) -> Result<BTreeMap<String, f64>, String> {
    let mut by_name = BTreeMap::new();
    for note in notes {
        match by_name.entry(note.name) {
            Entry::Vacant(free) => _ = free.insert(note.value),
            Entry::Occupied(taken) => return Err(taken.key().clone()),
        }
    }
    Ok(by_name)
}

pub(super) fn question_kind(kind: wit::QuestionKind) -> QuestionKind {
    match kind {
        wit::QuestionKind::Embed => QuestionKind::Embed,
        wit::QuestionKind::Entail => QuestionKind::Entail,
        wit::QuestionKind::Choose => QuestionKind::Choose,
        wit::QuestionKind::Likelihood => QuestionKind::Likelihood,
        wit::QuestionKind::Complete => QuestionKind::Complete,
    }
}

pub(super) fn dimension(dimension: api::Dimension) -> crate::records::Dimension {
    match dimension {
        api::Dimension::Semantic => crate::records::Dimension::Semantic,
        api::Dimension::Factual => crate::records::Dimension::Factual,
        api::Dimension::Value => crate::records::Dimension::Value,
    }
}
