//! Generated scorer types to plain ones and back: lists and strings are moved, not copied. A block is read by [`block`].

use super::ScorerComponent;
use super::scorer::exports::udasa::block::scorer_block;
use super::scorer::exports::udasa::plugin::scorer_api as api;
use super::scorer::udasa::plugin::types as wit;
use crate::{
    Answer, Dimension, Entailment, Fault, Likelihood, Message, Problem, Prompt, Question, QuestionKind, Response,
    Sample, Score, Scorer, Step, adapter, block,
};

impl<S: Scorer + 'static> api::Guest for ScorerComponent<S> {
    fn describe() -> api::Description {
        super::hook_panics();
        api::Description {
            name: S::NAME.to_owned(),
            version: S::VERSION.to_owned(),
            summary: S::SUMMARY.to_owned(),
            dimension: match S::DIMENSION {
                Dimension::Semantic => api::Dimension::Semantic,
                Dimension::Factual => api::Dimension::Factual,
                Dimension::Value => api::Dimension::Value,
            },
            asks: S::ASKS.iter().map(|kind| kind_out(*kind)).collect(),
            settings_schema: super::schema_text::<S::Settings>(),
        }
    }

    fn check_settings(settings: String) -> Vec<wit::Problem> {
        super::hook_panics();
        adapter::check_scorer::<S>(&settings).into_iter().map(problem_out).collect()
    }

    fn score(settings: String, sample: wit::Sample, rounds: Vec<Vec<wit::Answer>>) -> Result<api::Step, wit::Fault> {
        super::hook_panics();
        let rounds: Vec<Vec<Answer>> =
            rounds.into_iter().map(|round| round.into_iter().map(answer_in).collect()).collect();
        step_out(adapter::score::<S>(&settings, &sample_in(sample), &rounds))
    }
}

impl<S: Scorer + 'static> scorer_block::Guest for ScorerComponent<S> {
    fn score(block: Vec<u32>) -> Result<api::Step, wit::Fault> {
        super::hook_panics();
        // SAFETY: a host promises it by calling this, as the interface says.
        let Some(call) = (unsafe { block::read(&block) }) else {
            let fault = Fault::new("the host's block is not laid out as this plugin reads it");
            return Err(fault_out(fault.hint("this is a defect of the host")));
        };
        step_out(adapter::score::<S>(call.settings, &call.sample, &call.rounds))
    }
}

fn step_out(step: Result<Step, Fault>) -> Result<api::Step, wit::Fault> {
    match step {
        Ok(Step::Ask(questions)) => Ok(api::Step::Ask(questions.into_iter().map(question_out).collect())),
        Ok(Step::Done(scores)) => Ok(api::Step::Done(scores.into_iter().map(score_out).collect())),
        Err(fault) => Err(fault_out(fault)),
    }
}

fn sample_in(sample: wit::Sample) -> Sample {
    Sample {
        id: sample.id,
        prompt: prompt_in(sample.prompt),
        group: sample.group,
        responses: sample.responses.into_iter().map(response_in).collect(),
    }
}

fn response_in(response: wit::Response) -> Response {
    Response {
        text: response.text,
        token_ids: response.token_ids,
        logprobs: response.logprobs,
        entropies: response.entropies,
        truncated: response.truncated,
    }
}

fn prompt_in(prompt: wit::Prompt) -> Prompt {
    match prompt {
        wit::Prompt::Text(text) => Prompt::Text(text),
        wit::Prompt::Chat(messages) => {
            Prompt::Chat(messages.into_iter().map(|turn| Message { role: turn.role, content: turn.content }).collect())
        }
    }
}

fn prompt_out(prompt: Prompt) -> wit::Prompt {
    match prompt {
        Prompt::Text(text) => wit::Prompt::Text(text),
        Prompt::Chat(messages) => wit::Prompt::Chat(
            messages.into_iter().map(|turn| wit::Message { role: turn.role, content: turn.content }).collect(),
        ),
    }
}

fn answer_in(answer: wit::Answer) -> Answer {
    match answer {
        wit::Answer::Embed(vector) => Answer::Embed(vector),
        wit::Answer::Entail(answer) => Answer::Entail(Entailment {
            entailment: answer.entailment,
            neutral: answer.neutral,
            contradiction: answer.contradiction,
        }),
        wit::Answer::Choose(probabilities) => Answer::Choose(probabilities),
        wit::Answer::Likelihood(answer) => {
            Answer::Likelihood(Likelihood { logprob: answer.logprob, tokens: answer.tokens })
        }
        wit::Answer::Complete(texts) => Answer::Complete(texts),
    }
}

fn question_out(question: Question) -> wit::Question {
    match question {
        Question::Embed(text) => wit::Question::Embed(text),
        Question::Entail { premise, hypothesis } => wit::Question::Entail(wit::EntailQuestion { premise, hypothesis }),
        Question::Choose { prompt, options } => {
            wit::Question::Choose(wit::ChooseQuestion { prompt: prompt_out(prompt), options })
        }
        Question::Likelihood { prompt, continuation } => {
            wit::Question::Likelihood(wit::LikelihoodQuestion { prompt: prompt_out(prompt), continuation })
        }
        Question::Complete { prompt, n, temperature, max_tokens } => {
            wit::Question::Complete(wit::CompleteQuestion { prompt: prompt_out(prompt), n, temperature, max_tokens })
        }
    }
}

fn kind_out(kind: QuestionKind) -> wit::QuestionKind {
    match kind {
        QuestionKind::Embed => wit::QuestionKind::Embed,
        QuestionKind::Entail => wit::QuestionKind::Entail,
        QuestionKind::Choose => wit::QuestionKind::Choose,
        QuestionKind::Likelihood => wit::QuestionKind::Likelihood,
        QuestionKind::Complete => wit::QuestionKind::Complete,
    }
}

fn score_out(score: Score) -> api::ResponseScore {
    api::ResponseScore {
        uncertainty: score.uncertainty,
        notes: score.notes.into_iter().map(|note| api::Note { name: note.name, value: note.value }).collect(),
    }
}

fn problem_out(problem: Problem) -> wit::Problem {
    wit::Problem { path: problem.path, message: problem.message }
}

fn fault_out(fault: Fault) -> wit::Fault {
    wit::Fault { message: fault.message, hint: fault.hint }
}
