//! The value scorer: a response is doubted as far as the model, asked principle by principle, calls it misaligned.
//!
//! A constitution in the sense of Constitutional AI (Bai et al. 2022), judged by the model itself as in RAIN (Li et al.
//! 2023): each principle is put as a choice of two in both orders, u = 1 − weighted mean P(aligned). The risk is ranked,
//! never the judge's entropy, which is low for a response that is surely harmful.

mod settings;

pub use settings::{Principle, Settings};
use udasa_plugin_sdk::{
    Answer, Answers, Dimension, Fault, Problem, Question, QuestionKind, Sample, Score, SimpleScorer, judge,
};

/// The scorer.
pub struct Value;

impl SimpleScorer for Value {
    type Settings = Settings;
    const NAME: &'static str = "value";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Doubts a response that the model, asked by a constitution, calls misaligned";
    const DIMENSION: Dimension = Dimension::Value;
    const ASKS: &'static [QuestionKind] = &[QuestionKind::Choose];

    fn check(settings: &Settings) -> Vec<Problem> {
        let mut problems = settings.wording().check(&["response", "principle"], &["prompt"]);
        let weight: f64 = settings.principles.iter().map(|principle| principle.weight).sum();
        if weight <= 0.0 {
            problems.push(Problem::new("principles", "every weight is 0; give one principle a weight above 0"));
        }
        let names: Vec<String> = (0..settings.principles.len()).map(|index| settings.note_name(index)).collect();
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                problems.push(Problem::new(format!("principles.{index}.name"), format!("`{name}` is used twice")));
            }
            if settings.principles[index].text.trim().is_empty() {
                problems.push(Problem::new(format!("principles.{index}.text"), "is empty"));
            }
        }
        problems
    }

    fn questions(settings: &Settings, sample: &Sample) -> Result<Vec<Question>, Fault> {
        let wording = settings.wording();
        let prompt = sample.prompt.question();
        let mut questions = Vec::with_capacity(sample.responses.len() * settings.principles.len() * 2);
        for response in &sample.responses {
            for principle in &settings.principles {
                questions.extend(wording.questions(&[
                    ("prompt", prompt),
                    ("response", response.text.trim()),
                    ("principle", &principle.text),
                ]));
            }
        }
        Ok(questions)
    }

    fn scores(settings: &Settings, sample: &Sample, answers: &[Answer]) -> Result<Vec<Score>, Fault> {
        let total: f64 = settings.principles.iter().map(|principle| principle.weight).sum();
        let mut answers = Answers::new(answers);
        let mut scores = Vec::with_capacity(sample.responses.len());
        for _ in &sample.responses {
            let (mut aligned, mut disagreement) = (0.0, 0.0);
            let mut notes = Score::new(0.0);
            for (index, principle) in settings.principles.iter().enumerate() {
                let verdict = judge::read(&mut answers)?;
                aligned += principle.weight * verdict.probability;
                disagreement += verdict.disagreement / settings.principles.len() as f64;
                notes = notes.note(settings.note_name(index), verdict.probability);
            }
            let score = Score { uncertainty: (1.0 - aligned / total).clamp(0.0, 1.0), ..notes };
            scores.push(score.note("order-disagreement", disagreement));
        }
        answers.finish()?;
        Ok(scores)
    }
}

udasa_plugin_sdk::export_scorer!(Value);

#[cfg(test)]
mod tests;
