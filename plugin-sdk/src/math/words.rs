//! Words of a text: how it is split, and which of them carry content.

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
    let mut found = Vec::new();
    for_each_word(text, split, |word| found.push(word.to_owned()));
    found
}

/// Calls `found` with every word of a text, in order: [`words`] without a string for each.
pub fn for_each_word(text: &str, split: Split, mut found: impl FnMut(&str)) {
    let lower = text.to_lowercase();
    match split {
        Split::Words => runs(&lower, found),
        Split::AsciiWords => {
            lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).for_each(found);
        }
        Split::Whitespace => lower.split_whitespace().for_each(&mut found),
    }
}

fn runs(lower: &str, mut found: impl FnMut(&str)) {
    let mut run = String::new();
    let mut end = |run: &mut String| {
        let word = run.trim_matches('\'');
        if !word.is_empty() {
            found(word);
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

/// Small numbers for words, so that comparing two is comparing numbers: 0 for the first, 1 for the next new one.
///
/// A table with open addressing over one string of all words: a word costs no allocation of its own, and the hash is the
/// same on every target, so that the same call takes the same fuel.
#[derive(Debug, Default)]
pub struct Vocabulary {
    text: String,
    /// Where each word ends in `text`.
    ends: Vec<usize>,
    /// A word's number plus one, at the first free place from its hash on; 0 is free. A power of two, at most half full.
    table: Vec<u32>,
}

impl Vocabulary {
    /// How many words it holds.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The number of a word, a new one where it is new.
    ///
    /// ```
    /// use udasa_plugin_sdk::math::words::Vocabulary;
    /// let mut vocabulary = Vocabulary::default();
    /// assert_eq!(["a", "b", "a"].map(|word| vocabulary.id(word)), [0, 1, 0]);
    /// ```
    pub fn id(&mut self, word: &str) -> u32 {
        if 2 * (self.len() + 1) > self.table.len() {
            self.grow();
        }
        let place = self.place(word);
        if self.table[place] == 0 {
            self.text.push_str(word);
            self.ends.push(self.text.len());
            self.table[place] = self.ends.len() as u32;
        }
        self.table[place] - 1
    }

    /// The ids of words, new ones where they are new.
    pub fn ids(&mut self, words: Vec<String>) -> Vec<u32> {
        words.iter().map(|word| self.id(word)).collect()
    }

    fn word(&self, id: usize) -> &str {
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.text[start..self.ends[id]]
    }

    /// Where a word stands in the table, or would.
    fn place(&self, word: &str) -> usize {
        let mask = self.table.len() - 1;
        let mut place = hash(word) & mask;
        while self.table[place] != 0 && self.word(self.table[place] as usize - 1) != word {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        self.table = vec![0; (4 * self.len()).next_power_of_two().max(64)];
        for id in 0..self.len() {
            let place = self.place(self.word(id));
            self.table[place] = id as u32 + 1;
        }
    }
}

/// FNV-1a, its high bits folded in, because the table takes the low ones.
fn hash(word: &str) -> usize {
    let hash = word.bytes().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash ^ (hash >> 15)) as usize
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
    fn a_vocabulary_that_grows_keeps_every_number() {
        let mut vocabulary = Vocabulary::default();
        for round in 0..2 {
            for n in 0..1000_u32 {
                assert_eq!(vocabulary.id(&format!("w{n}")), n, "round {round}");
            }
        }
        assert_eq!(vocabulary.len(), 1000);
        assert_eq!((vocabulary.id(""), vocabulary.id("w")), (1000, 1001));
    }

    #[test]
    fn equal_words_have_equal_ids() {
        let mut vocabulary = Vocabulary::default();
        let ids = vocabulary.ids(words("a b a", Split::Words));
        assert_eq!(ids, [0, 1, 0]);
        assert_eq!(vocabulary.ids(words("b c", Split::Words)), [1, 2]);
    }
}
