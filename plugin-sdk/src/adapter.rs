//! The plugin as the host calls it: settings as JSON text, everything else as plain types.
//!
//! This layer knows nothing of WebAssembly, so that the component bindings, the test kit and a native build call a
//! plugin through the same door. Parsed settings are kept per thread and reused while the text stays the same: a
//! cache only, no answer depends on it.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use crate::settings::{self, Settings};
use crate::{Answer, Fault, Pair, PastStage, Problem, Sample, Scorer, Stage, StagingPolicy, Step};

/// All that is wrong with a scorer's settings.
pub fn check_scorer<S: Scorer>(json: &str) -> Vec<Problem> {
    settings::parse(json).map_or_else(|problems| problems, |settings| S::check(&settings))
}

/// All that is wrong with a staging policy's settings.
pub fn check_policy<P: StagingPolicy>(json: &str) -> Vec<Problem> {
    settings::parse(json).map_or_else(|problems| problems, |settings| P::check(&settings))
}

/// One call of a scorer.
pub fn score<S: Scorer>(json: &str, sample: &Sample, rounds: &[Vec<Answer>]) -> Result<Step, Fault> {
    let settings = cached::<S::Settings>(json, S::check)?;
    S::score(&settings, sample, rounds)
}

/// One call of a staging policy.
pub fn next_stage<P: StagingPolicy>(
    json: &str,
    seed: u64,
    pairs: &[Pair],
    history: &[PastStage],
) -> Result<Option<Stage>, Fault> {
    let settings = cached::<P::Settings>(json, P::check)?;
    P::next_stage(&settings, seed, pairs, history)
}

struct Parsed {
    json: String,
    settings: Rc<dyn Any>,
}

thread_local! {
    static LAST: RefCell<Option<Parsed>> = const { RefCell::new(None) };
}

/// The settings, parsed and checked, from the last call if it had the same text.
fn cached<T: Settings>(json: &str, check: fn(&T) -> Vec<Problem>) -> Result<Rc<T>, Fault> {
    let kept = LAST.with_borrow(|last| {
        let parsed = last.as_ref().filter(|parsed| parsed.json == json)?;
        Rc::clone(&parsed.settings).downcast::<T>().ok()
    });
    if let Some(settings) = kept {
        return Ok(settings);
    }
    let settings = settings::parse::<T>(json).and_then(|settings| {
        let problems = check(&settings);
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    });
    let settings = Rc::new(settings.map_err(|problems| refused(&problems))?);
    LAST.set(Some(Parsed { json: json.to_owned(), settings: Rc::clone(&settings) as Rc<dyn Any> }));
    Ok(settings)
}

/// The host checks settings before it scores, so this is seen only by a caller that did not.
fn refused(problems: &[Problem]) -> Fault {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Fault::new(format!("the settings are refused: {}", lines.join("; "))).hint("call check-settings first")
}
