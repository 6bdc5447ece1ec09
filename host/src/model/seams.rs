//! Special tokens that are not meant: the text of one inside a message must not end the message.
//!
//! Before a dialogue is rendered, every such text gets a seam, a character that no text has, after its first character. The template
//! moves and trims messages as it likes. What it writes itself is then tokenized as ever, and a stretch between two special tokens in
//! which there is a seam as text in which nothing is special.

use std::ops::Range;
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use tokenizers::Tokenizer;

use crate::records::Message;

/// U+FDD0 is set aside by Unicode for a program's inner use, and never part of a text that is exchanged.
const SEAM: char = '\u{FDD0}';

/// A tokenizer's special tokens.
pub struct Seams {
    special: Vec<(u32, String)>,
    plain: OnceLock<Tokenizer>,
}

impl Seams {
    /// Of a tokenizer.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        let added = tokenizer.get_added_tokens_decoder();
        let mut special: Vec<(u32, String)> = added
            .into_iter()
            .filter(|(_, token)| token.special && !token.content.is_empty())
            .map(|(id, token)| (id, token.content))
            .collect();
        special.sort();
        Self { special, plain: OnceLock::new() }
    }

    /// The messages, with a seam in every text of a special token.
    pub fn sew(&self, messages: &[Message]) -> Vec<Message> {
        let sewn = |text: &str| {
            let mut text = text.replace(SEAM, "");
            for (_, token) in &self.special {
                if text.contains(token.as_str()) {
                    let mut characters = token.chars();
                    let first = characters.next().into_iter().chain([SEAM]);
                    text = text.replace(token.as_str(), &first.chain(characters).collect::<String>());
                }
            }
            text
        };
        messages.iter().map(|m| Message { role: sewn(&m.role), content: sewn(&m.content) }).collect()
    }

    /// Whether there is a seam in a text.
    pub fn are_in(text: &str) -> bool {
        text.contains(SEAM)
    }

    /// Ids of a text with seams, which are not part of it.
    pub fn encode(&self, tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
        let encoding = tokenizer.encode(text, false).map_err(|e| anyhow!("tokenizing: {e}"))?;
        let mut ids = Vec::new();
        let mut stretch = Vec::new();
        let mut start = 0;
        for (&id, &(from, to)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            if self.special.binary_search_by_key(&id, |(id, _)| *id).is_err() {
                stretch.push(id);
                continue;
            }
            self.push(tokenizer, text, start..from, &mut stretch, &mut ids)?;
            ids.push(id);
            start = to;
        }
        self.push(tokenizer, text, start..text.len(), &mut stretch, &mut ids)?;
        Ok(ids)
    }

    /// Adds what stands between two special tokens: `stretch` as it was tokenized, or anew where there is a seam.
    fn push(
        &self,
        tokenizer: &Tokenizer,
        text: &str,
        range: Range<usize>,
        stretch: &mut Vec<u32>,
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        let part = text.get(range).unwrap_or_default();
        if Self::are_in(part) {
            let plain = self.plain.get_or_init(|| {
                let mut plain = tokenizer.clone();
                plain.set_encode_special_tokens(true);
                plain
            });
            let encoding = plain.encode_fast(part.replace(SEAM, ""), false).map_err(|e| anyhow!("tokenizing: {e}"))?;
            ids.extend(encoding.get_ids());
            stretch.clear();
        } else {
            ids.append(stretch);
        }
        Ok(())
    }
}
