//! Questions to a model: many with a long common beginning, all together as the score room puts them and one by one; entailment and
//! embeddings by the model itself, and by encoders where they lie beside it.

use std::time::Instant;

use anyhow::Result;

use super::{Options, Row, Tell, matmul};
use crate::config::{DeviceChoice, ModelSection};
use crate::error::UserError;
use crate::model::Model;
use crate::model::encoder::{Embedder, Nli};
use crate::records::{Answer, PromptText, Question};
use crate::score::{Answerer, AskEncoder, AskModel};

/// Questions with a common beginning.
const QUESTIONS: usize = 10_000;
/// Of them, so many are asked one by one.
const ALONE: usize = 200;
/// Tokens of the beginning.
const SHARED: usize = 200;
/// Texts to embed; pairs to judge are half as many.
const TEXTS: usize = 1000;
/// As many as the score room puts at once.
const CHUNK: usize = 1024;

/// `models` holds the language model's folder `small`, and perhaps the encoders' folders `embedder` and `nli`.
pub fn rows(options: &Options, tell: &mut Tell) -> Result<()> {
    let models = options.models.as_deref().ok_or_else(|| {
        UserError::new("the benchmark `questions` needs models").hint(
            "give a folder that holds a model folder `small`, and perhaps `embedder` and `nli`, with --models DIR",
        )
    })?;
    let section = ModelSection { device: DeviceChoice::Cpu, ..ModelSection::default() };
    let model = Model::load(&models.join("small"), &section)?;
    matmul(tell)?;
    let beginning = beginning(&model)?;
    let mut asker = AskModel::new(model, String::new(), 1);
    let questions: Vec<Question> = (0..QUESTIONS).map(|i| choose(&beginning, i)).collect();
    let (together, seconds) = timed(&mut asker, &questions, CHUNK)?;
    // Spread over all of them, so that none finds the last one's beginning in a cache.
    let some: Vec<Question> = questions.iter().step_by(QUESTIONS / ALONE).cloned().collect();
    let (alone, seconds_alone) = timed(&mut asker, &some, 1)?;
    let rates = [QUESTIONS as f64 / seconds, ALONE as f64 / seconds_alone];
    let farthest = alone.iter().zip(together.iter().step_by(QUESTIONS / ALONE)).map(|(a, b)| distance(a, b));
    for row in [
        Row {
            name: "choose, together".into(),
            value: rates[0],
            unit: "questions/s",
            note: format!("{QUESTIONS}, {SHARED} tokens in common, two options"),
        },
        Row {
            name: "choose, one by one".into(),
            value: rates[1],
            unit: "questions/s",
            note: format!("{ALONE} of them"),
        },
        Row {
            name: "choose, ratio".into(),
            value: rates[0] / rates[1],
            unit: "×",
            note: format!("answers differ by at most {:.1e}", farthest.fold(0.0, f32::max)),
        },
    ] {
        tell(row)?;
    }
    let texts: Vec<Question> = (0..TEXTS).map(|i| Question::Embed { text: text(i) }).collect();
    let pairs: Vec<Question> =
        (0..TEXTS / 2).map(|i| Question::Entail { premise: text(i), hypothesis: text(i + 1) }).collect();
    let mut measure =
        |name: &'static str, asker: &mut dyn Answerer, questions: &[Question], note: &str| -> Result<()> {
            let (_, seconds) = timed(asker, questions, CHUNK)?;
            let value = questions.len() as f64 / seconds;
            tell(Row { name: name.into(), value, unit: "questions/s", note: note.to_owned() })
        };
    measure("embed, policy", &mut asker, &texts, "10 to 50 words each")?;
    measure("entail, policy", &mut asker, &pairs, "pairs of such texts, two choices each")?;
    let [embedder, nli] = ["embedder", "nli"].map(|name| models.join(name));
    if embedder.exists() {
        let mut asker = AskEncoder::new(Embedder::load(&embedder, &section)?, String::new());
        measure("embed, embedder", &mut asker, &texts, "10 to 50 words each")?;
    }
    if nli.exists() {
        let mut asker = AskEncoder::new(Nli::load(&nli, &section)?, String::new());
        measure("entail, cross-encoder", &mut asker, &pairs, "pairs of such texts")?;
    }
    Ok(())
}

/// Answers, `at_once` at a time, and the seconds they took.
fn timed(asker: &mut dyn Answerer, questions: &[Question], at_once: usize) -> Result<(Vec<Answer>, f64)> {
    let started = Instant::now();
    let mut answers = Vec::with_capacity(questions.len());
    for chunk in questions.chunks(at_once) {
        answers.extend(asker.answer(chunk)?);
    }
    Ok((answers, started.elapsed().as_secs_f64()))
}

/// A text of so many tokens or a few more.
fn beginning(model: &Model) -> Result<String> {
    let mut text = word(0).to_owned();
    let mut i = 1;
    while model.text.encode(&text, true)?.len() < SHARED {
        text.push(' ');
        text.push_str(word(i));
        i += 1;
    }
    Ok(text)
}

fn choose(beginning: &str, i: usize) -> Question {
    let prompt = format!("{beginning} {} {} ?", word(i), i);
    Question::Choose { prompt: PromptText::Text(prompt), options: vec![" A".into(), " B".into()] }
}

fn text(i: usize) -> String {
    (0..10 + i * 17 % 41).map(|j| word(i * 31 + j * j)).collect::<Vec<_>>().join(" ")
}

fn word(i: usize) -> &'static str {
    const WORDS: [&str; 16] = [
        "the", "answer", "of", "a", "model", "is", "true", "when", "it", "says", "what", "people", "know", "and",
        "can", "check",
    ];
    WORDS[i * 7 % 16]
}

fn distance(a: &Answer, b: &Answer) -> f32 {
    match (a, b) {
        (Answer::Choose(a), Answer::Choose(b)) => a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max),
        _ => f32::INFINITY,
    }
}
