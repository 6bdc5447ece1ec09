//! Words of a text: how it is split, and which of them carry content.

use std::collections::BTreeMap;

/// How a text is split into words. Always lower-cased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Runs of letters and digits of any script, with apostrophes inside; each ideograph is a word.
    #[default]
    Words,
    /// Runs of a–z and 0–9, everything else separates: the tokens of the `rouge_score` package without stemming.
    AsciiWords,
    /// Between white space, punctuation kept: the tokens of Lin et al.'s Jaccard similarity.
    Whitespace,
}

/// The words of a text, in order.
///
/// ```
/// use udasa_plugin_sdk::math::words::{Split, words};
/// assert_eq!(words("It's Blue, über-blue!", Split::Words), ["it's", "blue", "über", "blue"]);
/// assert_eq!(words("It's Blue", Split::AsciiWords), ["it", "s", "blue"]);
/// assert_eq!(words("It's Blue, no", Split::Whitespace), ["it's", "blue,", "no"]);
/// ```
pub fn words(text: &str, split: Split) -> Vec<String> {
    let lower = text.to_lowercase();
    match split {
        Split::Words => runs(&lower),
        Split::AsciiWords => lower
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect(),
        Split::Whitespace => lower.split_whitespace().map(str::to_owned).collect(),
    }
}

fn runs(lower: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut run = String::new();
    let mut end = |run: &mut String| {
        let word = run.trim_matches('\'');
        if !word.is_empty() {
            found.push(word.to_owned());
        }
        run.clear();
    };
    for c in lower.chars() {
        match c {
            '\'' | '\u{2019}' => run.push('\''),
            c if is_ideograph(c) => {
                end(&mut run);
                run.push(c);
                end(&mut run);
            }
            c if c.is_alphanumeric() => run.push(c),
            _ => end(&mut run),
        }
    }
    end(&mut run);
    found
}

/// Kana, and the CJK ideographs: scripts without spaces.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// The words of a text that carry content: no stop words, and none of the words in `known` (sorted), usually the
/// prompt's own.
pub fn content_words(text: &str, split: Split, known: &[String]) -> Vec<String> {
    let mut found = words(text, split);
    found.retain(|word| !is_stop_word(word) && known.binary_search(word).is_err());
    found
}

/// A word as a sorted set.
pub fn set<T: Ord>(mut words: Vec<T>) -> Vec<T> {
    words.sort_unstable();
    words.dedup();
    words
}

/// Whether an English word only holds a sentence together.
pub fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// Small numbers for words, so that comparing two is comparing numbers.
#[derive(Debug, Default)]
pub struct Vocabulary {
    ids: BTreeMap<String, u32>,
}

impl Vocabulary {
    /// The ids of words, new ones where they are new.
    pub fn ids(&mut self, words: Vec<String>) -> Vec<u32> {
        words
            .into_iter()
            .map(|word| {
                let next = self.ids.len() as u32;
                *self.ids.entry(word).or_insert(next)
            })
            .collect()
    }
}

/// English function words, sorted.
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "again", "all", "also", "am", "an", "and", "any", "are", "aren't", "as", "at", "be",
    "because", "been", "before", "being", "both", "but", "by", "can", "can't", "cannot", "could", "couldn't", "did",
    "didn't", "do", "does", "doesn't", "doing", "don't", "down", "each", "few", "for", "from", "further", "had", "has",
    "hasn't", "have", "haven't", "having", "he", "her", "here", "hers", "him", "his", "how", "i", "i'd", "i'll", "i'm",
    "i've", "if", "in", "into", "is", "isn't", "it", "it's", "its", "itself", "just", "let", "may", "me", "might",
    "more", "most", "must", "my", "myself", "no", "nor", "not", "now", "of", "off", "on", "once", "only", "or",
    "other", "our", "ours", "out", "over", "own", "same", "shall", "she", "should", "so", "some", "such", "than",
    "that", "that's", "the", "their", "theirs", "them", "then", "there", "there's", "these", "they", "they're", "this",
    "those", "through", "to", "too", "under", "until", "up", "upon", "us", "very", "was", "wasn't", "we", "were",
    "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "will", "with", "won't", "would", "you",
    "you're", "your", "yours",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_words_are_sorted_so_that_the_search_finds_them() {
        assert!(STOP_WORDS.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(is_stop_word("the") && !is_stop_word("river"));
    }

    #[test]
    fn texts_without_words_have_none() {
        for split in [Split::Words, Split::AsciiWords, Split::Whitespace] {
            assert!(words("", split).is_empty());
            assert!(words(" \n\t", split).is_empty());
        }
        assert!(words("?! '' …", Split::Words).is_empty());
    }

    #[test]
    fn scripts_without_spaces_split_at_every_ideograph() {
        assert_eq!(words("東京 is Tokyo", Split::Words), ["東", "京", "is", "tokyo"]);
    }

    #[test]
    fn content_words_leave_out_stop_words_and_the_prompts_own() {
        let known = set(words("Which river runs through Alda?", Split::Words));
        assert_eq!(content_words("The river through Alda is the Mirn.", Split::Words, &known), ["mirn"]);
    }

    #[test]
    fn equal_words_have_equal_ids() {
        let mut vocabulary = Vocabulary::default();
        let ids = vocabulary.ids(words("a b a", Split::Words));
        assert_eq!(ids, [0, 1, 0]);
        assert_eq!(vocabulary.ids(words("b c", Split::Words)), [1, 2]);
    }
}
