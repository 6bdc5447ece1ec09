//! A scorer under test.

use crate::{Answer, Question, Sample, Score, Scorer, Step, adapter};

/// Rounds after which a scorer is taken to ask for ever.
const MOST_ROUNDS: usize = 16;

/// What a scorer did with a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct ScorerRun {
    /// One per response.
    pub scores: Vec<Score>,
    /// The questions of each round.
    pub questions: Vec<Vec<Question>>,
}

impl ScorerRun {
    /// The uncertainties, in the order of the responses.
    pub fn uncertainties(&self) -> Vec<f64> {
        self.scores.iter().map(|score| score.uncertainty).collect()
    }

    /// A note of a response.
    pub fn note(&self, response: usize, name: &str) -> Option<f64> {
        let note = self.scores.get(response)?.notes.iter().find(|note| note.name == name)?;
        Some(note.value)
    }
}

/// The answerer of a scorer that asks nothing.
///
/// # Panics
/// When it is asked.
pub fn no_questions(question: &Question) -> Answer {
    panic!("this scorer should ask nothing, but asked {question:?}")
}

/// Runs a scorer on a sample; `answer` stands in for the model.
///
/// # Panics
/// With what the scorer did wrong.
pub fn run_scorer<S: Scorer>(settings: &str, sample: &Sample, answer: impl FnMut(&Question) -> Answer) -> ScorerRun {
    try_run_scorer::<S>(settings, sample, answer).unwrap_or_else(|breach| panic!("{}: {breach}", S::NAME))
}

/// As [`run_scorer`], with the breach of contract, or the fault, as an error.
pub fn try_run_scorer<S: Scorer>(
    settings: &str,
    sample: &Sample,
    mut answer: impl FnMut(&Question) -> Answer,
) -> Result<ScorerRun, String> {
    let problems = adapter::check_scorer::<S>(settings);
    if !problems.is_empty() {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return Err(format!("the settings are refused: {}", lines.join("; ")));
    }
    let mut rounds: Vec<Vec<Answer>> = Vec::new();
    let mut questions: Vec<Vec<Question>> = Vec::new();
    while rounds.len() <= MOST_ROUNDS {
        let call = || adapter::score::<S>(settings, sample, &rounds);
        let step = call();
        if step != call() {
            return Err(format!("not pure: the same input twice gave two outputs in round {}", rounds.len() + 1));
        }
        match step.map_err(|fault| {
            format!("fault: {fault}{}", fault.hint.as_ref().map_or(String::new(), |hint| format!("; hint: {hint}")))
        })? {
            Step::Ask(asked) => {
                check_questions::<S>(&asked)?;
                rounds.push(asked.iter().map(&mut answer).collect());
                questions.push(asked);
            }
            Step::Done(scores) => {
                check_scores(&scores, sample)?;
                return Ok(ScorerRun { scores, questions });
            }
        }
    }
    Err(format!("still asking after {MOST_ROUNDS} rounds"))
}

fn check_questions<S: Scorer>(asked: &[Question]) -> Result<(), String> {
    if asked.is_empty() {
        return Err("asks, but no question".to_owned());
    }
    for question in asked {
        let kind = question.kind();
        if !S::ASKS.contains(&kind) {
            return Err(format!("asks {kind:?}, which it does not declare (it declares {:?})", S::ASKS));
        }
        if let Question::Choose { options, .. } = question {
            if options.len() < 2 {
                return Err(format!("asks to choose among {} options", options.len()));
            }
        }
    }
    Ok(())
}

fn check_scores(scores: &[Score], sample: &Sample) -> Result<(), String> {
    if scores.len() != sample.responses.len() {
        return Err(format!("{} scores for {} responses", scores.len(), sample.responses.len()));
    }
    for (index, score) in scores.iter().enumerate() {
        if !(0.0..=1.0).contains(&score.uncertainty) {
            return Err(format!("uncertainty {} of response {index} is not in [0, 1]", score.uncertainty));
        }
        for note in &score.notes {
            if !note.value.is_finite() {
                return Err(format!("note `{}` of response {index} is {}", note.name, note.value));
            }
        }
    }
    Ok(())
}
