//! What must hold of a plugin's output. Pure functions; the cause names the first thing that is wrong.

use std::collections::HashSet;

use crate::config::Limits;
use crate::records::{Overrides, PromptText, Question, QuestionKind, Score, Stage};

use super::fault::{Cause, kind_name};
use super::words::{self, NAME, is_name, on_one_line, shown};

/// Texts sampled for one question.
const MOST_COMPLETIONS: u32 = 1024;
/// Tokens of each.
const MOST_TOKENS: u32 = 65_536;
/// As in the config's own range.
const MOST_EPOCHS: u32 = 1000;
/// Options of one question: each is a text that the model reads.
const MOST_OPTIONS: usize = 1000;
/// Notes of one response: they are columns of a table.
const MOST_NOTES: usize = 100;
/// A name in records and tables.
const NAME_BYTES: usize = 200;
/// Why a stage is what it is. Every pair of the stage carries it.
const REASON_BYTES: usize = 1000;

/// One score per response, each a finite number in [0, 1]; finite notes.
pub(super) fn scores(scores: &[Score], responses: usize) -> Result<(), Cause> {
    if scores.len() != responses {
        return bad(format!("returned {} scores for {responses} responses", scores.len()));
    }
    for (i, score) in scores.iter().enumerate() {
        // Also refuses NaN.
        if !(0.0..=1.0).contains(&score.uncertainty) {
            return bad(format!(
                "gave response {i} the uncertainty {}, which is not a number in [0, 1]",
                score.uncertainty
            ));
        }
        if score.notes.len() > MOST_NOTES {
            return bad(format!("gave response {i} {} notes; at most {MOST_NOTES} are allowed", score.notes.len()));
        }
        for (name, value) in &score.notes {
            if !is_name(name, NAME_BYTES) {
                return bad(format!(
                    "gave response {i} the note `{}`; a note's name has 1 to {NAME_BYTES} bytes and no control characters",
                    on_one_line(name, NAME)
                ));
            }
            if !value.is_finite() {
                return bad(format!("gave response {i} the note `{name}` = {value}, which is not a finite number"));
            }
        }
    }
    Ok(())
}

/// A note that comes twice.
pub(super) fn note_twice(response: usize, name: &str) -> Cause {
    Cause::BadOutput(format!("gave response {response} the note `{}` twice", on_one_line(name, NAME)))
}

/// Questions that may be asked and can be answered.
pub(super) fn questions(
    questions: &[Question],
    rounds_done: usize,
    asks: &[QuestionKind],
    grant: &[QuestionKind],
    limits: &Limits,
) -> Result<(), Cause> {
    if rounds_done >= limits.rounds as usize {
        return Err(Cause::TooManyRounds { limit: limits.rounds });
    }
    if questions.is_empty() {
        return bad("asked a round without questions".to_owned());
    }
    if questions.len() > limits.questions {
        return Err(Cause::TooManyQuestions { asked: questions.len(), limit: limits.questions });
    }
    for (i, question) in questions.iter().enumerate() {
        let kind = question.kind();
        if !asks.contains(&kind) {
            return Err(Cause::NotDeclared(kind_name(kind)));
        }
        if !grant.contains(&kind) {
            return Err(Cause::NotGranted(kind_name(kind)));
        }
        if let Some(wrong) = ill_formed(question) {
            return bad(format!("asked `{}` as question {i} {wrong}", kind_name(kind)));
        }
        if let Question::Complete { n, max_tokens, .. } = question {
            let asked = u64::from(*n) * u64::from(*max_tokens);
            if asked > limits.complete_tokens {
                return Err(Cause::TooManyTokens { asked, limit: limits.complete_tokens });
            }
        }
    }
    Ok(())
}

fn ill_formed(question: &Question) -> Option<String> {
    let wrong = match question {
        Question::Embed { .. } | Question::Entail { .. } => return None,
        Question::Choose { prompt, .. } | Question::Likelihood { prompt, .. } | Question::Complete { prompt, .. }
            if is_empty(prompt) =>
        {
            "with an empty prompt".to_owned()
        }
        Question::Choose { options, .. } if options.len() < 2 => {
            format!("with {} options; it takes at least two", options.len())
        }
        Question::Choose { options, .. } if options.len() > MOST_OPTIONS => {
            format!("with {} options; it takes at most {MOST_OPTIONS}", options.len())
        }
        Question::Choose { options, .. } if options.iter().any(String::is_empty) => "with an empty option".to_owned(),
        Question::Choose { options, .. } if options.iter().collect::<HashSet<_>>().len() < options.len() => {
            "with the same option twice".to_owned()
        }
        Question::Likelihood { continuation, .. } if continuation.is_empty() => "with an empty continuation".to_owned(),
        Question::Complete { n, .. } if !(1..=MOST_COMPLETIONS).contains(n) => {
            format!("with n = {n}; it takes 1 to {MOST_COMPLETIONS}")
        }
        Question::Complete { temperature, .. } if !(temperature.is_finite() && *temperature >= 0.0) => {
            format!("with temperature {temperature}")
        }
        Question::Complete { max_tokens, .. } if !(1..=MOST_TOKENS).contains(max_tokens) => {
            format!("with max-tokens = {max_tokens}; it takes 1 to {MOST_TOKENS}")
        }
        _ => return None,
    };
    Some(wrong)
}

fn is_empty(prompt: &PromptText) -> bool {
    match prompt {
        PromptText::Text(text) => text.is_empty(),
        PromptText::Chat(turns) => turns.is_empty(),
    }
}

/// A named stage of pairs that exist, each once, with overrides that training can use.
pub(super) fn stage(stage: &Stage, pairs: usize) -> Result<(), Cause> {
    if !is_name(&stage.name, NAME_BYTES) {
        return bad(format!(
            "named a stage `{}`; a name has 1 to {NAME_BYTES} bytes and no control characters",
            on_one_line(&stage.name, NAME)
        ));
    }
    let name = &stage.name;
    if stage.reason.len() > REASON_BYTES || !stage.reason.chars().all(words::is_plain) {
        return bad(format!(
            "gave stage `{name}` a reason that is not one sentence of at most {REASON_BYTES} bytes: {}",
            shown(&stage.reason, NAME)
        ));
    }
    if stage.pairs.is_empty() {
        return bad(format!("made stage `{name}` without pairs"));
    }
    let mut seen = vec![false; pairs];
    for &index in &stage.pairs {
        match seen.get_mut(index as usize) {
            None => {
                return bad(format!("put pair {index} into stage `{name}`; there are {pairs} pairs, counted from 0"));
            }
            Some(true) => {
                return bad(format!("put pair {index} into stage `{name}` twice"));
            }
            Some(unseen) => *unseen = true,
        }
    }
    overrides(&stage.overrides, name)
}

fn overrides(overrides: &Overrides, stage: &str) -> Result<(), Cause> {
    let Overrides { epochs, beta, learning_rate_scale, label_smoothing, nll_weight, loss } = overrides;
    // Whether there is such a loss is the training room's to say.
    if let Some(loss) = loss
        && !is_name(loss, NAME_BYTES)
    {
        return bad(format!("set `loss` of stage `{stage}` to `{}`", on_one_line(loss, NAME)));
    }
    if let Some(epochs) = epochs
        && !(1..=MOST_EPOCHS).contains(epochs)
    {
        return bad(format!("set `epochs` of stage `{stage}` to {epochs}; it takes 1 to {MOST_EPOCHS}"));
    }
    // As in the config's own ranges.
    let ranges = [
        ("beta", beta, 0.0..=100.0),
        ("learning-rate-scale", learning_rate_scale, 0.0..=1000.0),
        ("label-smoothing", label_smoothing, 0.0..=0.5),
        ("nll-weight", nll_weight, 0.0..=f64::MAX),
    ];
    for (name, value, range) in ranges {
        if let Some(value) = value
            && !range.contains(value)
        {
            return bad(format!(
                "set `{name}` of stage `{stage}` to {value}; it takes {} to {}",
                range.start(),
                range.end()
            ));
        }
    }
    Ok(())
}

fn bad(what: String) -> Result<(), Cause> {
    Err(Cause::BadOutput(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn score(uncertainty: f64) -> Score {
        Score { uncertainty, notes: BTreeMap::new() }
    }

    fn choose(options: &[&str]) -> Question {
        Question::Choose {
            prompt: PromptText::Text("Q:".to_owned()),
            options: options.iter().map(|&o| o.to_owned()).collect(),
        }
    }

    fn ask(question: Question) -> Result<(), Cause> {
        let kind = [question.kind()];
        questions(&[question], 0, &kind, &kind, &Limits::default())
    }

    #[test]
    fn scores_at_the_edges_pass_and_beyond_them_fail() {
        assert!(scores(&[score(0.0), score(1.0)], 2).is_ok());
        for wrong in [-1e-9, 1.0 + 1e-9, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(scores(&[score(wrong)], 1).is_err(), "{wrong}");
        }
        assert!(scores(&[score(0.5)], 2).is_err());
        assert!(scores(&[], 0).is_ok());
    }

    #[test]
    fn a_note_that_is_not_finite_fails() {
        let mut noted = score(0.5);
        noted.notes.insert("x".to_owned(), f64::NAN);
        assert!(scores(&[noted], 1).is_err());
    }

    #[test]
    fn questions_must_be_declared_granted_and_well_formed() {
        let limits = Limits::default();
        let q = [choose(&["a", "b"])];
        let kind = [QuestionKind::Choose];
        assert!(questions(&q, 0, &kind, &kind, &limits).is_ok());
        assert_eq!(questions(&q, 0, &[], &kind, &limits), Err(Cause::NotDeclared("choose")));
        assert_eq!(questions(&q, 0, &kind, &[], &limits), Err(Cause::NotGranted("choose")));
        assert_eq!(questions(&q, 8, &kind, &kind, &limits), Err(Cause::TooManyRounds { limit: 8 }));
        assert!(questions(&[], 0, &kind, &kind, &limits).is_err());
        assert!(ask(choose(&["a"])).is_err());
        assert!(ask(choose(&["a", ""])).is_err());
        assert!(ask(choose(&["a", "a"])).is_err());
        let complete = |n, temperature, max_tokens| Question::Complete {
            prompt: PromptText::Text("Q:".to_owned()),
            n,
            temperature,
            max_tokens,
        };
        assert!(ask(complete(1, 0.0, 1)).is_ok());
        assert!(ask(complete(0, 0.0, 1)).is_err());
        assert!(ask(complete(1, f32::NAN, 1)).is_err());
        assert!(ask(complete(1, -1.0, 1)).is_err());
        assert!(ask(complete(1, 1.0, 0)).is_err());
    }

    #[test]
    fn a_stage_holds_existing_pairs_once() {
        let of = |pairs: &[u32]| Stage {
            name: "conservative".to_owned(),
            pairs: pairs.to_vec(),
            overrides: Overrides::default(),
            refresh_reference: false,
            resample: false,
            reason: String::new(),
        };
        assert!(stage(&of(&[2, 0]), 3).is_ok());
        assert!(stage(&of(&[3]), 3).is_err());
        assert!(stage(&of(&[1, 1]), 3).is_err());
        assert!(stage(&of(&[]), 3).is_err());
        let mut unnamed = of(&[0]);
        unnamed.name = " ".to_owned();
        assert!(stage(&unnamed, 3).is_err());
        let mut wild = of(&[0]);
        wild.overrides.beta = Some(f64::NAN);
        assert!(stage(&wild, 3).is_err());
    }
}
