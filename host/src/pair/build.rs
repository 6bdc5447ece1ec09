//! Pairs and drops from samples. Pure.

use std::collections::{HashMap, HashSet};

use super::agree::all_agree;
use super::candidates::{chosen, rejected};
use crate::config::PairSection;
use crate::records::{Drop, Finish, Message, Pair, PromptText, Response, Sample, SampleUncertainty};

/// Pairs in the order of the samples, and why every other prompt or pair was dropped.
///
/// The first reason that holds is given. Of a prompt: `faulty`, `one-response`, `empty` (all of them), `all-agree`,
/// `vetoed`, `no-candidate`, `small-gap` (no `u` above the chosen one). Of a pair: `identical`, `empty`, `truncated`,
/// `small-gap`.
pub fn build(
    samples: &[Sample],
    uncertainties: &[SampleUncertainty],
    config: &PairSection,
    seed: u64,
) -> (Vec<Pair>, Vec<Drop>) {
    let of_id: HashMap<&str, &SampleUncertainty> =
        uncertainties.iter().map(|uncertainty| (uncertainty.id.as_str(), uncertainty)).collect();
    let (mut pairs, mut drops) = (Vec::new(), Vec::new());
    for sample in samples {
        let uncertainty = of_id.get(sample.id.as_str()).copied();
        match candidates_of(sample, uncertainty, config, seed) {
            Err(reason) => drops.push(reason.drop(&sample.id)),
            Ok((uncertainty, chosen, rejected)) => {
                for rejected in rejected {
                    match pair(sample, uncertainty, chosen, rejected, config) {
                        Ok(pair) => pairs.push(pair),
                        Err(reason) => drops.push(reason.drop(&sample.id)),
                    }
                }
            }
        }
    }
    (pairs, drops)
}

/// Why something is dropped.
struct Reason(&'static str, String);

impl Reason {
    fn drop(self, prompt_id: &str) -> Drop {
        Drop { prompt_id: prompt_id.to_owned(), reason: self.0.to_owned(), detail: self.1 }
    }
}

/// The chosen response and those to be rejected, at most `per_prompt` of different texts.
fn candidates_of<'a>(
    sample: &Sample,
    uncertainty: Option<&'a SampleUncertainty>,
    config: &PairSection,
    seed: u64,
) -> Result<(&'a SampleUncertainty, usize, Vec<usize>), Reason> {
    let n = sample.responses.len();
    let texts = || sample.responses.iter().map(|r| r.text.trim());
    let uncertainty = uncertainty.ok_or_else(|| Reason("faulty", "a scorer failed on this prompt".into()))?;
    if uncertainty.u.len() != n {
        let detail = format!("{n} responses, but {} uncertainties", uncertainty.u.len());
        return Err(Reason("faulty", detail));
    }
    if n < 2 {
        let detail = format!("a pair needs two responses, there is {n}");
        return Err(Reason("one-response", detail));
    }
    if texts().all(str::is_empty) {
        return Err(Reason("empty", format!("all {n} responses are empty")));
    }
    if all_agree(texts()) {
        let detail = format!("all {n} responses say the same, up to case and punctuation");
        return Err(Reason("all-agree", detail));
    }
    let u = &uncertainty.u;
    let Some(chosen) = chosen(u, &uncertainty.vetoed) else {
        let vetoed = uncertainty.vetoed.len();
        return Err(if vetoed == 0 {
            Reason("no-candidate", format!("none of {n} uncertainties is a number"))
        } else {
            Reason("vetoed", format!("{vetoed} of {n} responses are vetoed, no other can be chosen"))
        });
    };
    let order = rejected(u, chosen, config.rejected, seed, &sample.id);
    if order.is_empty() {
        let detail = format!("no response is above the chosen one's u = {:.4}", u[chosen]);
        return Err(Reason("small-gap", detail));
    }
    let mut seen = HashSet::new();
    let different = |index: &usize| {
        let text = sample.responses.get(*index).map(|r| r.text.trim());
        text.is_some_and(|text| seen.insert(text))
    };
    let rejected = order.into_iter().filter(different).take(config.per_prompt).collect();
    Ok((uncertainty, chosen, rejected))
}

/// One pair, unless something speaks against it.
fn pair(
    sample: &Sample,
    uncertainty: &SampleUncertainty,
    chosen: usize,
    rejected: usize,
    config: &PairSection,
) -> Result<Pair, Reason> {
    let (good, bad) = (&sample.responses[chosen], &sample.responses[rejected]);
    let which = format!("responses {chosen} and {rejected}");
    if good.text.trim() == bad.text.trim() {
        return Err(Reason("identical", format!("{which} have the same text")));
    }
    let sides = [("chosen", chosen, good), ("rejected", rejected, bad)];
    if let Some((side, index, _)) = sides.iter().find(|(.., r)| r.text.trim().is_empty()) {
        return Err(Reason("empty", format!("the {side} response {index} is empty")));
    }
    let cut = |response: &Response| response.finish == Finish::Length;
    if let Some((side, index, _)) = sides.iter().find(|(.., r)| config.drop_truncated && cut(r)) {
        let detail = format!("the {side} response {index} was cut by the token limit");
        return Err(Reason("truncated", detail));
    }
    let (u_chosen, u_rejected) = (uncertainty.u[chosen], uncertainty.u[rejected]);
    let gap = u_rejected - u_chosen;
    if gap < config.min_gap {
        let detail =
            format!("{which}: u {u_chosen:.4} and {u_rejected:.4}, a gap of {gap:.4} below {}", config.min_gap);
        return Err(Reason("small-gap", detail));
    }
    let dimensions = uncertainty
        .dimensions
        .iter()
        .filter_map(|(dimension, us)| Some((*dimension, [*us.get(chosen)?, *us.get(rejected)?])))
        .collect();
    Ok(Pair {
        id: format!("{}-{chosen}-{rejected}", sample.id),
        prompt_id: sample.id.clone(),
        group: sample.group.clone(),
        prompt: sample.prompt.clone(),
        chosen: reply(&sample.prompt, good),
        rejected: reply(&sample.prompt, bad),
        chosen_rating: 1.0 - u_chosen,
        rejected_rating: 1.0 - u_rejected,
        gap,
        dimensions,
        chosen_index: chosen,
        rejected_index: rejected,
        prompt_token_ids: sample.prompt_token_ids.clone(),
        chosen_token_ids: good.token_ids.clone(),
        rejected_token_ids: bad.token_ids.clone(),
    })
}

/// TRL's two forms: text continues text, a dialogue is continued by an assistant's message.
fn reply(prompt: &PromptText, response: &Response) -> PromptText {
    match prompt {
        PromptText::Text(_) => PromptText::Text(response.text.clone()),
        PromptText::Chat(_) => {
            PromptText::Chat(vec![Message { role: "assistant".into(), content: response.text.clone() }])
        }
    }
}
