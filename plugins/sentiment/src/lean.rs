//! Which way a text leans, and how far.

use std::collections::BTreeMap;

use udasa_plugin_sdk::math::words::{Split, words};

use crate::lexicon::LEXICON;

/// What was found in a text.
pub struct Lean {
    /// Sum of the weights: above 0 is positive.
    pub sum: f64,
    /// Words with a weight.
    pub words: usize,
}

/// Turns a word round, a little weaker: "not good" is less than "bad".
const NEGATED: f64 = -0.7;
/// How far before a word a negation reaches.
const NEGATION_REACH: usize = 3;
const INTENSIFIED: f64 = 1.5;
const DIMINISHED: f64 = 0.5;
/// What follows the last "but" is what the writer stands by.
const BEFORE_BUT: f64 = 0.5;
const AFTER_BUT: f64 = 1.5;

/// The lean of a text; `extra` goes before the lexicon.
pub fn lean(text: &str, extra: &BTreeMap<String, f64>) -> Lean {
    let words = words(text, Split::Words);
    let but = words.iter().rposition(|word| word == "but");
    let mut lean = Lean { sum: 0.0, words: 0 };
    for (index, word) in words.iter().enumerate() {
        let mut weight = extra.get(word).copied().unwrap_or_else(|| weight(word));
        if weight == 0.0 {
            continue;
        }
        lean.words += 1;
        let before = &words[index.saturating_sub(NEGATION_REACH)..index];
        match before.last().map(String::as_str) {
            Some(word) if INTENSIFIERS.contains(&word) => weight *= INTENSIFIED,
            Some(word) if DIMINISHERS.contains(&word) => weight *= DIMINISHED,
            _ => {}
        }
        if before.iter().any(|word| is_negation(word)) {
            weight *= NEGATED;
        }
        match but {
            Some(but) if index > but => weight *= AFTER_BUT,
            Some(_) => weight *= BEFORE_BUT,
            None => {}
        }
        lean.sum += weight;
    }
    lean
}

/// The weight of a word, or of the word it is an inflection of; 0 where neither is known.
fn weight(word: &str) -> f64 {
    if let Some(weight) = known(word) {
        return weight;
    }
    INFLECTIONS
        .iter()
        .filter_map(|(ending, stem_ending)| {
            let stem = word
                .strip_suffix(ending)
                .filter(|stem| stem.len() >= SHORTEST_STEM)?;
            if stem_ending.is_empty() {
                known(stem)
            } else {
                known(&format!("{stem}{stem_ending}"))
            }
        })
        .next()
        .unwrap_or(0.0)
}

fn known(word: &str) -> Option<f64> {
    let index = LEXICON
        .binary_search_by(|(known, _)| (*known).cmp(word))
        .ok()?;
    LEXICON.get(index).map(|(_, weight)| f64::from(*weight))
}

fn is_negation(word: &str) -> bool {
    word.ends_with("n't") || NEGATIONS.contains(&word)
}

const SHORTEST_STEM: usize = 4;
/// An ending, and what takes its place in the stem.
const INFLECTIONS: &[(&str, &str)] = &[
    ("ies", "y"),
    ("s", ""),
    ("es", ""),
    ("d", ""),
    ("ed", ""),
    ("ly", ""),
    ("ing", ""),
    ("ing", "e"),
    ("ness", ""),
    ("est", ""),
    ("er", ""),
];

const NEGATIONS: &[&str] = &[
    "not", "no", "never", "neither", "nor", "without", "hardly", "barely", "scarcely", "cannot",
    "nothing", "none", "nobody", "lack", "lacks", "lacking",
];
const INTENSIFIERS: &[&str] = &[
    "very",
    "really",
    "so",
    "extremely",
    "incredibly",
    "truly",
    "deeply",
    "utterly",
    "absolutely",
    "totally",
    "completely",
    "thoroughly",
    "highly",
    "remarkably",
    "genuinely",
    "especially",
    "quite",
    "most",
    "too",
];
const DIMINISHERS: &[&str] = &[
    "somewhat",
    "slightly",
    "mildly",
    "fairly",
    "rather",
    "partly",
    "vaguely",
    "occasionally",
    "sometimes",
    "almost",
    "nearly",
    "moderately",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(text: &str) -> f64 {
        lean(text, &BTreeMap::new()).sum
    }

    #[test]
    fn the_lexicon_is_sorted_so_that_the_search_finds_every_word() {
        assert!(LEXICON.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(
            LEXICON
                .iter()
                .all(|(word, weight)| known(word) == Some(f64::from(*weight)) && *weight != 0)
        );
    }

    #[test]
    fn negation_turns_a_word_round_and_reaches_three_words() {
        assert_eq!(sum("good"), 1.0);
        assert_eq!(sum("It isn't a good film"), NEGATED);
        assert_eq!(sum("not bad"), -2.0 * NEGATED);
        assert_eq!(sum("not that it would matter, good"), 1.0);
    }

    #[test]
    fn intensifiers_diminishers_and_but_change_the_weight() {
        assert_eq!(sum("very good"), 1.5);
        assert_eq!(sum("somewhat good"), 0.5);
        assert_eq!(sum("good, but dull"), 0.5 - 2.0 * 1.5);
    }

    #[test]
    fn inflections_count_as_their_stem_and_unknown_words_as_nothing() {
        assert_eq!(sum("blander"), -1.0);
        assert_eq!(sum("triumphs"), 2.0);
        assert_eq!(lean("the table stands", &BTreeMap::new()).words, 0);
        assert_eq!(sum(""), 0.0);
    }

    #[test]
    fn extra_words_go_before_the_lexicon() {
        let extra: BTreeMap<String, f64> =
            [("good".to_owned(), 0.0), ("zorp".to_owned(), -3.0)].into();
        assert_eq!(lean("a good zorp", &extra).sum, -3.0);
    }
}
