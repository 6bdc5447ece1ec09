//! The factual scorer: a response is doubted as far as the other responses do not confirm it (`vote`), and as far as
//! the model itself, asked, calls it false (`p-true`).
//!
//! `vote` is self-consistency (Wang et al. 2022), `p-true` is Kadavath et al. 2022. Each covers the other's blind side:
//! consistency misses the falsehoods a model is sure of, and P(True) is weak in small models.

mod p_true;
mod settings;
mod vote;

pub use settings::{Extract, Methods, Settings};
use udasa_plugin_sdk::{
    Answer, Answers, Dimension, Fault, Problem, Question, QuestionKind, Sample, Score, SimpleScorer, judge,
};

/// The scorer.
pub struct Factual;

impl SimpleScorer for Factual {
    type Settings = Settings;
    const NAME: &'static str = "factual";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Doubts a response that the others do not confirm, or that the model calls false";
    const DIMENSION: Dimension = Dimension::Factual;
    const ASKS: &'static [QuestionKind] = &[QuestionKind::Choose];

    fn check(settings: &Settings) -> Vec<Problem> {
        let mut problems = Vec::new();
        if settings.methods.total() <= 0.0 {
            problems.push(Problem::new("methods", "every weight is 0; give `vote` or `p-true` a weight above 0"));
        }
        if settings.methods.p_true > 0.0 {
            problems.extend(settings.wording().check(&["response"], &["prompt"]));
        }
        problems
    }

    fn questions(settings: &Settings, sample: &Sample) -> Result<Vec<Question>, Fault> {
        Ok(if settings.methods.p_true > 0.0 { p_true::questions(settings, sample) } else { Vec::new() })
    }

    fn scores(settings: &Settings, sample: &Sample, answers: &[Answer]) -> Result<Vec<Score>, Fault> {
        let methods = settings.methods;
        let votes = if methods.vote > 0.0 { vote::doubts(settings, sample) } else { Vec::new() };
        let mut answers = Answers::new(answers);
        let mut scores = Vec::with_capacity(sample.responses.len());
        for index in 0..sample.responses.len() {
            let mut doubt = 0.0;
            let mut notes = Score::new(0.0);
            if let Some(vote) = votes.get(index) {
                doubt += methods.vote * vote;
                notes = notes.note("vote", *vote);
            }
            if methods.p_true > 0.0 {
                let verdict = judge::read(&mut answers)?;
                doubt += methods.p_true * (1.0 - verdict.probability);
                notes = notes.note("p-true", verdict.probability).note("order-disagreement", verdict.disagreement);
            }
            scores.push(Score { uncertainty: (doubt / methods.total()).clamp(0.0, 1.0), ..notes });
        }
        answers.finish()?;
        Ok(scores)
    }
}

udasa_plugin_sdk::export_scorer!(Factual);

#[cfg(test)]
mod tests;
