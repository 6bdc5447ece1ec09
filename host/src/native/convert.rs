//! Records to the SDK's types and back.

use std::collections::BTreeMap;

use udasa_plugin_sdk as sdk;

use crate::records::{
    Answer, Dimension, Finish, Message, Overrides, Pair, PastStage, PromptText, Question, Sample, Score, Stage,
};

pub(crate) fn sample(sample: &Sample) -> sdk::Sample {
    let response = |response: &crate::records::Response| sdk::Response {
        text: response.text.clone(),
        token_ids: response.token_ids.clone(),
        logprobs: response.logprobs.clone(),
        entropies: response.entropies.clone(),
        truncated: response.finish == Finish::Length,
    };
    sdk::Sample {
        id: sample.id.clone(),
        prompt: match &sample.prompt {
            PromptText::Text(text) => sdk::Prompt::Text(text.clone()),
            PromptText::Chat(turns) => sdk::Prompt::Chat(turns.iter().map(turn).collect()),
        },
        group: sample.group.clone(),
        responses: sample.responses.iter().map(response).collect(),
    }
}

fn turn(message: &Message) -> sdk::Message {
    sdk::Message { role: message.role.clone(), content: message.content.clone() }
}

pub(crate) fn answer(answer: &Answer) -> sdk::Answer {
    match answer {
        Answer::Embed(vector) => sdk::Answer::Embed(vector.clone()),
        &Answer::Entail { entailment, neutral, contradiction } => {
            sdk::Answer::Entail(sdk::Entailment { entailment, neutral, contradiction })
        }
        Answer::Choose(probabilities) => sdk::Answer::Choose(probabilities.clone()),
        &Answer::Likelihood { logprob, tokens } => sdk::Answer::Likelihood(sdk::Likelihood { logprob, tokens }),
        Answer::Complete(texts) => sdk::Answer::Complete(texts.clone()),
    }
}

/// A round of questions as records.
pub fn questions(questions: Vec<sdk::Question>) -> Vec<Question> {
    questions.into_iter().map(question).collect()
}

/// A score as a record; the name of a note that comes twice is the error.
pub fn score(score: sdk::Score) -> Result<Score, String> {
    let mut notes = BTreeMap::new();
    for note in score.notes {
        if notes.insert(note.name.clone(), note.value).is_some() {
            return Err(note.name);
        }
    }
    Ok(Score { uncertainty: score.uncertainty, notes })
}

fn question(question: sdk::Question) -> Question {
    match question {
        sdk::Question::Embed(text) => Question::Embed { text },
        sdk::Question::Entail { premise, hypothesis } => Question::Entail { premise, hypothesis },
        sdk::Question::Choose { prompt, options } => Question::Choose { prompt: prompt_text(prompt), options },
        sdk::Question::Likelihood { prompt, continuation } => {
            Question::Likelihood { prompt: prompt_text(prompt), continuation }
        }
        sdk::Question::Complete { prompt, n, temperature, max_tokens } => {
            Question::Complete { prompt: prompt_text(prompt), n, temperature, max_tokens }
        }
    }
}

fn prompt_text(prompt: sdk::Prompt) -> PromptText {
    match prompt {
        sdk::Prompt::Text(text) => PromptText::Text(text),
        sdk::Prompt::Chat(turns) => {
            PromptText::Chat(turns.into_iter().map(|turn| Message { role: turn.role, content: turn.content }).collect())
        }
    }
}

pub(super) fn pair(pair: &Pair) -> sdk::Pair {
    let tokens = |ids: &[u32]| u32::try_from(ids.len()).unwrap_or(u32::MAX);
    sdk::Pair {
        id: pair.id.clone(),
        group: pair.group.clone(),
        gap: pair.gap,
        chosen_uncertainty: 1.0 - pair.chosen_rating,
        rejected_uncertainty: 1.0 - pair.rejected_rating,
        gap_semantic: pair.gap_in(Dimension::Semantic),
        gap_factual: pair.gap_in(Dimension::Factual),
        gap_value: pair.gap_in(Dimension::Value),
        chosen_tokens: tokens(&pair.chosen_token_ids),
        rejected_tokens: tokens(&pair.rejected_token_ids),
    }
}

pub(super) fn past_stage(past: &PastStage) -> sdk::PastStage {
    let measure = |(name, value): (&String, &f64)| sdk::Measure { name: name.clone(), value: *value };
    sdk::PastStage {
        name: past.name.clone(),
        pairs: past.pairs.clone(),
        outcome: past.outcome.as_ref().map(|outcome| sdk::Outcome {
            loss: outcome.loss,
            reward_accuracy: outcome.reward_accuracy,
            margin: outcome.margin,
            kl_to_initial: outcome.kl_to_initial,
            chosen_logprob_change: outcome.chosen_logprob_change,
            evaluation: outcome.evaluation.iter().map(measure).collect(),
        }),
    }
}

pub(super) fn stage(stage: sdk::Stage) -> Stage {
    let sdk::Overrides { epochs, beta, learning_rate_scale, label_smoothing, nll_weight, loss } = stage.overrides;
    Stage {
        name: stage.name,
        pairs: stage.pairs,
        overrides: Overrides { epochs, beta, learning_rate_scale, label_smoothing, nll_weight, loss },
        refresh_reference: stage.refresh_reference,
        resample: stage.resample,
        reason: stage.reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::sha256_hex;

    #[test]
    fn the_sdks_test_kit_finds_recorded_answers_by_the_keys_that_runs_keep_them_under() -> anyhow::Result<()> {
        let chat = || PromptText::Chat(vec![Message { role: "user".to_owned(), content: "naïve \"?\"\n".to_owned() }]);
        let text = || PromptText::Text("Q:".to_owned());
        let options = vec![" A".to_owned(), " B".to_owned()];
        let records = vec![
            Question::Embed { text: "\u{1F600}".to_owned() },
            Question::Entail { premise: "p".to_owned(), hypothesis: "h".to_owned() },
            Question::Choose { prompt: chat(), options },
            Question::Likelihood { prompt: text(), continuation: " c".to_owned() },
            Question::Complete { prompt: text(), n: 3, temperature: 0.7, max_tokens: 16 },
        ];
        for record in records {
            let asked = match record.clone() {
                Question::Embed { text } => sdk::Question::Embed(text),
                Question::Entail { premise, hypothesis } => sdk::Question::Entail { premise, hypothesis },
                Question::Choose { prompt, options } => sdk::Question::Choose { prompt: sent(prompt), options },
                Question::Likelihood { prompt, continuation } => {
                    sdk::Question::Likelihood { prompt: sent(prompt), continuation }
                }
                Question::Complete { prompt, n, temperature, max_tokens } => {
                    sdk::Question::Complete { prompt: sent(prompt), n, temperature, max_tokens }
                }
            };
            let key = sha256_hex(serde_json::to_string(&record)?.as_bytes());
            assert_eq!(sdk::test_kit::question_key(&asked), key, "{record:?}");
            assert_eq!(question(asked), record);
        }
        Ok(())
    }

    fn sent(prompt: PromptText) -> sdk::Prompt {
        match prompt {
            PromptText::Text(text) => sdk::Prompt::Text(text),
            PromptText::Chat(turns) => sdk::Prompt::Chat(turns.iter().map(turn).collect()),
        }
    }
}
