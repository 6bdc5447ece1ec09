//! What an entailment model said of every ordered pair of responses: similarities, and classes of the same meaning.

use super::similarity::Similarities;
use crate::Entailment;

/// When two responses mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Same {
    /// Each entails the other, by the likeliest label of each direction.
    Strict,
    /// Neither contradicts the other, and not both are neutral.
    Loose,
}

/// The answers for N responses: \[i\]\[j\] is premise i, hypothesis j.
#[derive(Debug, Clone, PartialEq)]
pub struct Entailments {
    n: usize,
    /// [N, N], row by row.
    of: Vec<Entailment>,
}

/// What a response is to itself, which need not be asked.
const ITSELF: Entailment = Entailment { entailment: 1.0, neutral: 0.0, contradiction: 0.0 };

#[derive(PartialEq, Clone, Copy)]
enum Label {
    Entails,
    Neutral,
    Contradicts,
}

impl Entailments {
    /// From the answers to each ordered pair i ≠ j, in the order of [`ordered_pairs`]; `None` where their number is not
    /// N (N − 1).
    ///
    /// ```
    /// use udasa_plugin_sdk::{Entailment, math::entailment::{Entailments, Same}};
    /// let yes = Entailment { entailment: 0.9, neutral: 0.1, contradiction: 0.0 };
    /// let no = Entailment { entailment: 0.1, neutral: 0.1, contradiction: 0.8 };
    /// // (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)
    /// let given = Entailments::of_pairs(3, &[yes, no, yes, no, no, no]).expect("six answers");
    /// assert_eq!(given.classes(Same::Strict), [0, 0, 1]);
    /// ```
    pub fn of_pairs(n: usize, answers: &[Entailment]) -> Option<Self> {
        if answers.len() != n * n.saturating_sub(1) {
            return None;
        }
        let mut rest = answers.iter();
        let one = |at: usize| if n == 0 || at / n == at % n { Some(ITSELF) } else { rest.next().copied() };
        Some(Self { n, of: (0..n * n).map(one).collect::<Option<_>>()? })
    }

    /// From all N² answers, each response's entailment of itself included, as some published code has it.
    pub fn of_all(n: usize, answers: &[Entailment]) -> Option<Self> {
        (answers.len() == n * n).then(|| Self { n, of: answers.to_vec() })
    }

    /// Premise i, hypothesis j.
    pub fn get(&self, i: usize, j: usize) -> Entailment {
        self.of[i * self.n + j]
    }

    /// W_ij = the mean of P(entailment) in both directions (Lin et al. 2023, "NLI entail").
    pub fn similarities(&self) -> Similarities {
        Similarities::with_self(self.n, |i, j| self.both(i, j, |answer| answer.entailment))
    }

    /// W_ij = 1 − the mean of P(contradiction) in both directions (Lin et al. 2023, "NLI contra").
    pub fn agreements(&self) -> Similarities {
        Similarities::with_self(self.n, |i, j| 1.0 - self.both(i, j, |answer| answer.contradiction))
    }

    fn both(&self, i: usize, j: usize, of: impl Fn(Entailment) -> f32) -> f64 {
        0.5 * (f64::from(of(self.get(i, j))) + f64::from(of(self.get(j, i))))
    }

    /// Classes of the same meaning, numbered by their first member. Each response joins the first class whose *first
    /// member* it means the same as (Kuhn et al. 2023, algorithm 1): entailment is no equivalence, so the order of the
    /// responses may matter.
    pub fn classes(&self, same: Same) -> Vec<usize> {
        let mut first: Vec<usize> = Vec::new();
        (0..self.n)
            .map(|j| {
                first.iter().position(|&i| self.mean_the_same(i, j, same)).unwrap_or_else(|| {
                    first.push(j);
                    first.len() - 1
                })
            })
            .collect()
    }

    /// Whether responses i and j mean the same.
    pub fn mean_the_same(&self, i: usize, j: usize, same: Same) -> bool {
        let labels = [label(self.get(i, j)), label(self.get(j, i))];
        match same {
            Same::Strict => labels == [Label::Entails; 2],
            Same::Loose => !labels.contains(&Label::Contradicts) && labels != [Label::Neutral; 2],
        }
    }
}

/// The ordered pairs i ≠ j of N responses, row by row: the questions for [`Entailments::of_pairs`].
///
/// ```
/// use udasa_plugin_sdk::math::entailment::ordered_pairs;
/// assert_eq!(ordered_pairs(2).collect::<Vec<_>>(), [(0, 1), (1, 0)]);
/// ```
pub fn ordered_pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |i| (0..n).filter(move |&j| j != i).map(move |j| (i, j)))
}

/// The likeliest label; of equals, the first in the order entailment, neutral, contradiction.
fn label(answer: Entailment) -> Label {
    if answer.entailment >= answer.neutral && answer.entailment >= answer.contradiction {
        Label::Entails
    } else if answer.neutral >= answer.contradiction {
        Label::Neutral
    } else {
        Label::Contradicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certain(label: Label) -> Entailment {
        let is = |this| f32::from(u8::from(label == this));
        Entailment {
            entailment: is(Label::Entails),
            neutral: is(Label::Neutral),
            contradiction: is(Label::Contradicts),
        }
    }

    #[test]
    fn strict_needs_entailment_both_ways_and_loose_only_no_contradiction_and_not_neutral_twice() {
        use Label::{Contradicts, Entails, Neutral};
        let cases = [
            ([Entails, Entails], true, true),
            ([Entails, Neutral], false, true),
            ([Neutral, Neutral], false, false),
            ([Entails, Contradicts], false, false),
            ([Contradicts, Contradicts], false, false),
        ];
        for (labels, strict, loose) in cases {
            let given = Entailments::of_pairs(2, &labels.map(certain)).expect("two answers");
            let same = [Same::Strict, Same::Loose].map(|same| given.mean_the_same(0, 1, same));
            assert_eq!(same, [strict, loose]);
            assert_eq!(given.classes(Same::Strict), if strict { [0, 0] } else { [0, 1] });
        }
    }

    #[test]
    fn similarities_are_the_mean_of_both_directions_and_a_response_is_like_itself() {
        let half = Entailment { entailment: 0.5, neutral: 0.25, contradiction: 0.25 };
        let given = Entailments::of_pairs(2, &[certain(Label::Entails), half]).expect("two answers");
        assert_eq!(given.similarities().get(0, 1), 0.75);
        assert_eq!(given.similarities().get(1, 0), 0.75);
        assert_eq!(given.similarities().get(1, 1), 1.0);
        assert_eq!(given.agreements().get(0, 1), 0.875);
    }

    #[test]
    fn a_wrong_number_of_answers_is_none_and_few_responses_are_fine() {
        assert!(Entailments::of_pairs(3, &[ITSELF; 5]).is_none());
        assert!(Entailments::of_all(2, &[ITSELF; 3]).is_none());
        let none = Entailments::of_pairs(0, &[]).expect("nothing to ask");
        assert!(none.classes(Same::Loose).is_empty());
        assert_eq!(Entailments::of_pairs(1, &[]).expect("nothing to ask").classes(Same::Strict), [0]);
    }
}
