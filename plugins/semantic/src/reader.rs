//! Texts to lists of small numbers, one a word that counts. What a word means is worked out once a sample, however often it
//! comes.

use udasa_plugin_sdk::math::stem::stem;
use udasa_plugin_sdk::math::words::{Vocabulary, for_each_word, is_stop_word};

use crate::{Settings, Words};

/// Words up to this length are not stemmed: as the `rouge_score` package has it.
const UNSTEMMED: usize = 3;

/// Reads the texts of one sample.
pub struct Reader<'a> {
    settings: &'a Settings,
    /// Words as they stand, the prompt's first where those do not count.
    words: Vocabulary,
    /// For each of them the number it is read as, or none if it does not count.
    read_as: Vec<Option<u32>>,
    /// What the numbers stand for: words, or stems.
    symbols: Vocabulary,
}

impl<'a> Reader<'a> {
    /// A reader of answers to `question`.
    pub fn new(settings: &'a Settings, question: &str) -> Self {
        let mut words = Vocabulary::default();
        if settings.words == Words::Content {
            for_each_word(question, settings.split, |word| {
                words.id(word);
            });
        }
        let read_as = vec![None; words.len()];
        Self { settings, words, read_as, symbols: Vocabulary::default() }
    }

    /// A text's words that count, in order.
    pub fn read(&mut self, text: &str) -> Vec<u32> {
        let mut list = Vec::new();
        for_each_word(text, self.settings.split, |word| {
            let id = self.words.id(word) as usize;
            if id == self.read_as.len() {
                let read_as = self.symbol(word);
                self.read_as.push(read_as);
            }
            list.extend(self.read_as[id]);
        });
        list
    }

    /// How many different numbers the lists hold so far.
    pub fn symbols(&self) -> usize {
        self.symbols.len()
    }

    fn symbol(&mut self, word: &str) -> Option<u32> {
        if self.settings.words == Words::Content && is_stop_word(word) {
            return None;
        }
        let stemmed = self.settings.stem && word.len() > UNSTEMMED;
        Some(if stemmed { self.symbols.id(&stem(word)) } else { self.symbols.id(word) })
    }
}
