//! A scorer under test: one sample.

use crate::{Answer, Fault, Question, Sample, Score, Scorer, Step, adapter};

/// Rounds after which a scorer is taken to ask for ever.
const MOST_ROUNDS: usize = 16;

/// A fault is read in a terminal, beside the plugin's name and the prompt's id.
const FAULT_CHARACTERS: usize = 400;

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
    let ended = run::<S>(settings, sample, |question| Ok(answer(question)))?;
    ended.map_err(|fault| format!("fault: {}", told(&fault)))
}

/// The fault with which a scorer refuses a sample. It must be fit to be shown: one line of some length.
///
/// # Panics
/// Where it does not refuse, breaks the contract, or gives a fault that nobody can read.
///
/// ```
/// use udasa_plugin_sdk::{Answer, Dimension, Fault, Sample, Score, SimpleScorer, test_kit};
///
/// struct Strict;
///
/// impl SimpleScorer for Strict {
///     type Settings = std::collections::BTreeMap<String, f64>;
///     const NAME: &'static str = "strict";
///     const VERSION: &'static str = "0.1.0";
///     const SUMMARY: &'static str = "Wants log-probabilities";
///     const DIMENSION: Dimension = Dimension::Semantic;
///
///     fn scores(_: &Self::Settings, _: &Sample, _: &[Answer]) -> Result<Vec<Score>, Fault> {
///         Err(Fault::new("response 0 has no log-probabilities").hint("sample the responses here"))
///     }
/// }
///
/// let sample = test_kit::sample("Why?", &["Because"]);
/// let fault = test_kit::fault_of::<Strict>("{}", &sample, test_kit::no_questions);
/// assert_eq!(fault.message, "response 0 has no log-probabilities");
/// ```
pub fn fault_of<S: Scorer>(settings: &str, sample: &Sample, mut answer: impl FnMut(&Question) -> Answer) -> Fault {
    match run::<S>(settings, sample, |question| Ok(answer(question))) {
        Ok(Ok(run)) => panic!("{}: no fault, but {:?}", S::NAME, run.scores),
        Ok(Err(fault)) => match unreadable(&fault) {
            Some(why) => panic!("{}: the fault {fault:?} {why}", S::NAME),
            None => fault,
        },
        Err(breach) => panic!("{}: {breach}", S::NAME),
    }
}

/// Runs a scorer to its end; every call is made twice. The outer error is a breach of the contract.
pub(super) fn run<S: Scorer>(
    settings: &str,
    sample: &Sample,
    mut answer: impl FnMut(&Question) -> Result<Answer, String>,
) -> Result<Result<ScorerRun, Fault>, String> {
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
        // As text, NaN is equal to itself, and −0 is not 0.
        if format!("{step:?}") != format!("{:?}", call()) {
            return Err(format!("not pure: the same input twice gave two outputs in round {}", rounds.len() + 1));
        }
        match step {
            Err(fault) => return Ok(Err(fault)),
            Ok(Step::Ask(asked)) => {
                check_questions::<S>(&asked)?;
                rounds.push(asked.iter().map(&mut answer).collect::<Result<_, _>>()?);
                questions.push(asked);
            }
            Ok(Step::Done(scores)) => {
                check_scores(&scores, sample)?;
                return Ok(Ok(ScorerRun { scores, questions }));
            }
        }
    }
    Err(format!("still asking after {MOST_ROUNDS} rounds"))
}

/// A fault in one line.
pub(super) fn told(fault: &Fault) -> String {
    let hint = fault.hint.as_ref().map_or(String::new(), |hint| format!("; hint: {hint}"));
    format!("{fault}{hint}")
}

/// Why a fault is not fit to be shown.
pub(super) fn unreadable(fault: &Fault) -> Option<&'static str> {
    let texts = || std::iter::once(&fault.message).chain(&fault.hint);
    if texts().any(|text| text.trim().is_empty()) {
        Some("says nothing")
    } else if texts().any(|text| text.chars().any(char::is_control)) {
        Some("is not one line of plain text")
    } else if texts().any(|text| text.chars().count() > FAULT_CHARACTERS) {
        Some("is too long to be read")
    } else {
        None
    }
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
        for (place, note) in score.notes.iter().enumerate() {
            if !note.value.is_finite() {
                return Err(format!("note `{}` of response {index} is {}", note.name, note.value));
            }
            if score.notes[..place].iter().any(|earlier| earlier.name == note.name) {
                return Err(format!("response {index} has the note `{}` twice", note.name));
            }
        }
    }
    Ok(())
}
