//! What is different between two passes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{PairOf, ScorerState, State};
use crate::records::Score;
use crate::score::Rescored;

/// How many of the largest changes are shown.
const LARGEST: usize = 5;

/// One scorer then and now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScorerChange {
    /// Its name in the config.
    pub name: String,
    /// Responses with a score now.
    pub responses: usize,
    /// Mean raw uncertainty then; none where there was no score.
    pub mean_before: Option<f64>,
    /// Mean raw uncertainty now.
    pub mean: Option<f64>,
    /// Responses whose uncertainty changed.
    pub changed: usize,
    /// Responses of which only notes changed.
    pub notes_only: usize,
    /// The largest changes, by uncertainty; one of a prompt.
    pub largest: Vec<ResponseChange>,
    /// Samples it fails on now.
    pub faults: usize,
    /// Those on which it did not fail like this before: (prompt id, what went wrong).
    pub new_faults: Vec<(String, String)>,
    /// Those on which it fails no more.
    pub gone_faults: Vec<String>,
    /// Samples left out for want of an answer.
    pub unanswered: usize,
    /// Their questions without an answer.
    pub questions: usize,
}

/// One response then and now.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseChange {
    /// The prompt's id.
    pub id: String,
    /// Which response.
    pub response: usize,
    /// Uncertainty then.
    pub before: f64,
    /// Uncertainty now.
    pub after: f64,
    /// Notes that changed: name, then, now.
    pub notes: Vec<(String, Option<f64>, Option<f64>)>,
}

/// Pairs then and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PairChange {
    /// How many there were.
    pub before: usize,
    /// How many there are.
    pub after: usize,
    /// Chosen and rejected changed places.
    pub flipped: usize,
    /// Not there before, in either order.
    pub new: usize,
    /// There no more, in either order.
    pub gone: usize,
}

/// A scorer's changes; `before` is none where it is new.
pub fn scorer(before: Option<&ScorerState>, now: &ScorerState) -> ScorerChange {
    let mut change = ScorerChange { name: now.name.clone(), ..ScorerChange::default() };
    let mut all: Vec<ResponseChange> = Vec::new();
    // In the order of ids, so that equal changes are shown in the same order every time.
    for (id, result) in now.results.iter().collect::<BTreeMap<_, _>>() {
        let then = before.and_then(|before| before.results.get(id));
        match result {
            Rescored::Scores(scores) => {
                change.responses += scores.len();
                match then {
                    Some(Rescored::Scores(old)) if old.len() == scores.len() => {
                        all.extend(
                            old.iter().zip(scores).enumerate().filter_map(|(i, (old, new))| response(id, i, old, new)),
                        );
                    }
                    Some(Rescored::Fault(_)) => change.gone_faults.push(id.clone()),
                    _ => {}
                }
            }
            Rescored::Fault(why) => {
                change.faults += 1;
                if !matches!(then, Some(Rescored::Fault(old)) if old == why) {
                    change.new_faults.push((id.clone(), why.clone()));
                }
            }
            Rescored::Unanswered(questions) => {
                change.unanswered += 1;
                change.questions += questions;
            }
        }
    }
    change.mean = mean(now);
    change.mean_before = before.and_then(mean);
    change.changed = all.iter().filter(|one| one.before != one.after).count();
    change.notes_only = all.len() - change.changed;
    // Stable: among equals, the first prompt and response.
    all.sort_by(|a, b| (b.after - b.before).abs().total_cmp(&(a.after - a.before).abs()));
    // Responses to one prompt often change alike: one of each prompt says more.
    let mut shown = BTreeSet::new();
    all.retain(|one| shown.insert(one.id.clone()));
    all.truncate(LARGEST);
    change.largest = all;
    change
}

/// What changed of one response; none where nothing did.
fn response(id: &str, index: usize, old: &Score, new: &Score) -> Option<ResponseChange> {
    let names: BTreeSet<&String> = old.notes.keys().chain(new.notes.keys()).collect();
    let notes: Vec<_> = names
        .into_iter()
        .map(|name| (name.clone(), old.notes.get(name).copied(), new.notes.get(name).copied()))
        .filter(|(_, then, now)| then != now)
        .collect();
    let same = old.uncertainty == new.uncertainty && notes.is_empty();
    (!same).then(|| ResponseChange {
        id: id.to_owned(),
        response: index,
        before: old.uncertainty,
        after: new.uncertainty,
        notes,
    })
}

/// `u` then and now: responses that changed, and both means.
pub fn u(before: &State, now: &State) -> (usize, Option<f64>, Option<f64>) {
    let changed = now.u.iter().filter_map(|(id, us)| Some((before.u.get(id)?, us))).filter(|(a, b)| a.len() == b.len());
    let changed = changed.flat_map(|(a, b)| a.iter().zip(b)).filter(|(a, b)| a != b).count();
    let mean_of = |state: &State| mean_of(state.u.values().flatten().copied());
    (changed, mean_of(before), mean_of(now))
}

/// The pairs' changes.
pub fn pairs(before: &BTreeSet<PairOf>, now: &BTreeSet<PairOf>) -> PairChange {
    let turned = |(id, chosen, rejected): &PairOf| (id.clone(), *rejected, *chosen);
    let missing = |from: &BTreeSet<PairOf>, pair: &&PairOf| !from.contains(*pair) && !from.contains(&turned(pair));
    PairChange {
        before: before.len(),
        after: now.len(),
        flipped: now.iter().filter(|pair| before.contains(&turned(pair)) && !before.contains(*pair)).count(),
        new: now.iter().filter(|pair| missing(before, pair)).count(),
        gone: before.iter().filter(|pair| missing(now, pair)).count(),
    }
}

fn mean(state: &ScorerState) -> Option<f64> {
    let scores = state.results.values().filter_map(|result| match result {
        Rescored::Scores(scores) => Some(scores),
        _ => None,
    });
    mean_of(scores.flatten().map(|score| score.uncertainty))
}

fn mean_of(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0_u64), |(sum, n), x| (sum + x, n + 1));
    (n > 0).then(|| sum / n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(uncertainty: f64, note: Option<f64>) -> Score {
        Score { uncertainty, notes: note.map(|value| ("n".to_owned(), value)).into_iter().collect() }
    }

    fn state(results: &[(&str, Rescored)]) -> ScorerState {
        let results = results.iter().map(|(id, result)| ((*id).to_owned(), result.clone())).collect();
        ScorerState { name: "s".into(), key: "k".into(), results }
    }

    #[test]
    fn changes_are_counted_and_the_largest_come_first() {
        let old = [score(0.5, Some(1.0)), score(0.5, Some(1.0)), score(0.5, None), score(0.25, None)];
        let new = [score(0.5, Some(1.0)), score(0.5, Some(2.0)), score(0.75, Some(3.0)), score(0.75, None)];
        let [before, now] = [old, new].map(|scores| {
            let of = |range: std::ops::Range<usize>| Rescored::Scores(scores[range].to_vec());
            state(&[("a", of(0..2)), ("b", of(2..3)), ("c", of(3..4))])
        });
        let change = scorer(Some(&before), &now);
        assert_eq!((change.responses, change.changed, change.notes_only), (4, 2, 1));
        assert_eq!((change.mean_before, change.mean), (Some(0.4375), Some(0.625)));
        let order: Vec<(&str, usize)> = change.largest.iter().map(|one| (one.id.as_str(), one.response)).collect();
        assert_eq!(order, [("c", 0), ("b", 0), ("a", 1)]);
        assert_eq!(change.largest[1].notes, [("n".to_owned(), None, Some(3.0))]);
        assert_eq!(scorer(Some(&now), &now).largest, []);
    }

    #[test]
    fn of_one_prompt_the_largest_change_is_shown() {
        let [before, now] = [0.0, 1.0].map(|by| {
            let scores = [score(0.5, None), score(0.5 - 0.1 * by, None), score(0.5 + 0.2 * by, None)];
            state(&[("a", Rescored::Scores(scores.to_vec()))])
        });
        let change = scorer(Some(&before), &now);
        assert_eq!((change.changed, change.largest.len(), change.largest[0].response), (2, 1, 2));
    }

    #[test]
    fn faults_come_and_go_and_missing_answers_are_counted() {
        let fault = |why: &str| Rescored::Fault(why.into());
        let fine = || Rescored::Scores(vec![score(0.5, None)]);
        let before = state(&[("a", fault("x")), ("b", fault("x")), ("c", fine()), ("d", fine())]);
        let now = state(&[("a", fault("x")), ("b", fine()), ("c", fault("y")), ("d", Rescored::Unanswered(3))]);
        let change = scorer(Some(&before), &now);
        assert_eq!((change.faults, change.unanswered, change.questions), (2, 1, 3));
        assert_eq!(change.new_faults, [("c".to_owned(), "y".to_owned())]);
        assert_eq!(change.gone_faults, ["b"]);
        let alone = scorer(None, &now);
        assert_eq!((alone.changed, alone.mean_before, alone.new_faults.len()), (0, None, 2));
    }

    #[test]
    fn a_sample_with_another_number_of_responses_is_not_compared() {
        let before = state(&[("a", Rescored::Scores(vec![score(0.1, None)]))]);
        let now = state(&[("a", Rescored::Scores(vec![score(0.9, None); 2]))]);
        let change = scorer(Some(&before), &now);
        assert_eq!((change.responses, change.changed), (2, 0));
    }

    #[test]
    fn pairs_flip_come_and_go() {
        let set = |pairs: &[(&str, usize, usize)]| {
            pairs.iter().map(|(id, chosen, rejected)| ((*id).to_owned(), *chosen, *rejected)).collect::<BTreeSet<_>>()
        };
        let change =
            pairs(&set(&[("a", 0, 1), ("b", 0, 1), ("c", 0, 1)]), &set(&[("a", 0, 1), ("b", 1, 0), ("c", 0, 2)]));
        assert_eq!(change, PairChange { before: 3, after: 3, flipped: 1, new: 1, gone: 1 });
    }

    #[test]
    fn u_is_compared_where_it_was_known() {
        let with = |us: &[(&str, &[f64])]| State {
            u: us.iter().map(|(id, us)| ((*id).to_owned(), us.to_vec())).collect(),
            ..State::default()
        };
        let (changed, before, now) = u(&with(&[("a", &[0.0, 0.5])]), &with(&[("a", &[0.0, 1.0]), ("b", &[0.5])]));
        assert_eq!((changed, before, now), (1, Some(0.25), Some(0.5)));
    }
}
