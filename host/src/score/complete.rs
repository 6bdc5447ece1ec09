//! `complete` by the sampler: texts that depend on the run's seed and the question's content alone, never on what else is asked.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::answers::key_of;
use crate::error::UserError;
use crate::model::{Model, Request, Sampling};
use crate::records::{Answer, Question};

/// One answer per question, in order; those of like temperature and token limit are sampled together.
pub(super) fn answer(model: &Model, questions: &[&Question], seed: u64) -> Result<Vec<Answer>> {
    let mut alike: BTreeMap<(u32, u32), Vec<(usize, Request)>> = BTreeMap::new();
    for (at, question) in questions.iter().enumerate() {
        let Question::Complete { prompt, n, temperature, max_tokens } = question else { continue };
        let ids = model.text.prompt_ids(prompt).context("a `complete` question to the model")?;
        check_length(model, ids.len(), *max_tokens)?;
        let key = key_of(question)?;
        let seeds = (0..*n).map(|i| text_seed(seed, &key, i)).collect();
        alike.entry((temperature.to_bits(), *max_tokens)).or_default().push((at, Request { prompt: ids, seeds }));
    }
    let mut answers: Vec<Option<Answer>> = vec![None; questions.len()];
    for ((temperature, max_tokens), requests) in alike {
        let sampling = Sampling {
            temperature: f64::from(f32::from_bits(temperature)),
            max_tokens: max_tokens as usize,
            ..Sampling::default()
        };
        let (places, requests): (Vec<usize>, Vec<Request>) = requests.into_iter().unzip();
        let sampled = model.sample(&requests, &sampling).context("a `complete` question to the model")?;
        for (at, texts) in places.into_iter().zip(sampled) {
            let texts = texts.iter().map(|text| model.text.decode(&text.ids)).collect::<Result<_>>()?;
            answers[at] = Some(Answer::Complete(texts));
        }
    }
    let answers: Vec<Answer> = answers.into_iter().flatten().collect();
    ensure!(answers.len() == questions.len(), "{} questions got {} answers", questions.len(), answers.len());
    Ok(answers)
}

fn check_length(model: &Model, prompt: usize, max_tokens: u32) -> Result<()> {
    let positions = model.decoder.spec.positions;
    if prompt as i64 + i64::from(max_tokens) <= positions {
        return Ok(());
    }
    Err(UserError::new(format!(
        "a `complete` question of {prompt} tokens asks for {max_tokens} more, which exceeds the model's {positions} positions"
    ))
    .hint("have the plugin ask for fewer tokens: its settings may say how many")
    .into())
}

/// SHA-256 of (seed, the question's key, index): the start of the text's own random stream.
fn text_seed(seed: u64, key: &str, index: u32) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"complete");
    hash.update(seed.to_le_bytes());
    hash.update(key.as_bytes());
    hash.update(u64::from(index).to_le_bytes());
    hash.finalize().into()
}
