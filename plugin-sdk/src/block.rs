//! A call of a scorer as one block of words, as a plugin reads it: `wit/block-v0.1/` says how it is laid out.
//!
//! The lists and texts of the responses, nearly all of a block, are not copied: the sample that a scorer sees points into it.
#![allow(unsafe_code)]

use std::ops::Deref;

use crate::{Answer, Entailment, Likelihood, Message, Prompt, Response, Sample};

/// The arguments of `score`.
#[derive(Debug)]
pub struct Call<'a> {
    /// JSON text.
    pub settings: &'a str,
    /// What is to be scored.
    pub sample: Lent<'a>,
    /// The answers to every earlier round of questions.
    pub rounds: Vec<Vec<Answer>>,
}

/// A sample to look at, while its block is there.
#[derive(Debug)]
pub struct Lent<'a> {
    sample: Sample,
    block: std::marker::PhantomData<&'a [u32]>,
}

impl Deref for Lent<'_> {
    type Target = Sample;

    fn deref(&self) -> &Sample {
        &self.sample
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // What the responses hold is the block's.
        self.sample.responses.drain(..).for_each(std::mem::forget);
    }
}

/// Reads a block; nothing where it is not laid out as it should be.
///
/// # Safety
/// Every text in the block is UTF-8: the host's promise, which a debug build checks.
pub unsafe fn read(block: &[u32]) -> Option<Call<'_>> {
    let mut rest = Words(block);
    let settings = rest.text()?;
    let (id, prompt) = (rest.text()?.to_owned(), rest.prompt()?);
    let group = if rest.word()? == 0 { None } else { Some(rest.text()?.to_owned()) };
    let count = rest.count()?;
    let responses = Vec::with_capacity(count);
    let mut sample = Lent { sample: Sample { id, prompt, group, responses }, block: std::marker::PhantomData };
    for _ in 0..count {
        let (text, token_ids, logprobs, entropies) = (rest.text()?, rest.numbers()?, rest.numbers()?, rest.numbers()?);
        let truncated = rest.word()? != 0;
        // SAFETY: all four are of the block, which outlives `sample`; there they are only looked at, and never dropped.
        let response = unsafe {
            Response {
                text: String::from_utf8_unchecked(lent(text.as_ptr(), text.len())),
                token_ids: lent(token_ids.as_ptr(), token_ids.len()),
                logprobs: lent(logprobs.as_ptr().cast(), logprobs.len()),
                entropies: lent(entropies.as_ptr().cast(), entropies.len()),
                truncated,
            }
        };
        sample.sample.responses.push(response);
    }
    let rounds = rest.list(|rest| rest.list(Words::answer))?;
    rest.0.is_empty().then_some(Call { settings, sample, rounds })
}

/// # Safety
/// There are `len` readable items at `data` for as long as the vector lives; it is not changed, and not dropped.
unsafe fn lent<T: Copy>(data: *const T, len: usize) -> Vec<T> {
    if len == 0 {
        return Vec::new();
    }
    // SAFETY: the caller's promise: whoever only looks at a vector does not care who made it.
    unsafe { Vec::from_raw_parts(data.cast_mut(), len, len) }
}

/// What is still to be read.
struct Words<'a>(&'a [u32]);

impl<'a> Words<'a> {
    fn take(&mut self, words: usize) -> Option<&'a [u32]> {
        let (taken, rest) = self.0.split_at_checked(words)?;
        self.0 = rest;
        Some(taken)
    }

    fn word(&mut self) -> Option<u32> {
        Some(self.take(1)?[0])
    }

    fn float(&mut self) -> Option<f32> {
        self.word().map(f32::from_bits)
    }

    /// How many items follow, each of a word at least: no more than there is room for.
    fn count(&mut self) -> Option<usize> {
        self.word().map(|n| n as usize).filter(|n| *n <= self.0.len())
    }

    fn numbers(&mut self) -> Option<&'a [u32]> {
        let count = self.word()?;
        self.take(count as usize)
    }

    fn floats(&mut self) -> Option<Vec<f32>> {
        Some(self.numbers()?.iter().map(|bits| f32::from_bits(*bits)).collect())
    }

    fn text(&mut self) -> Option<&'a str> {
        let bytes = self.word()? as usize;
        let words = self.take(bytes.div_ceil(4))?;
        // SAFETY: `bytes` bytes lie in `words`. The machine is little-endian, as texts are in words.
        let text = unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), bytes) };
        debug_assert!(std::str::from_utf8(text).is_ok(), "the host promises UTF-8");
        // SAFETY: the promise of `read`'s caller.
        Some(unsafe { std::str::from_utf8_unchecked(text) })
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.count()?).map(|_| item(self)).collect()
    }

    fn prompt(&mut self) -> Option<Prompt> {
        match self.word()? {
            0 => Some(Prompt::Text(self.text()?.to_owned())),
            1 => self.list(Self::message).map(Prompt::Chat),
            _ => None,
        }
    }

    fn message(&mut self) -> Option<Message> {
        Some(Message { role: self.text()?.to_owned(), content: self.text()?.to_owned() })
    }

    fn answer(&mut self) -> Option<Answer> {
        Some(match self.word()? {
            0 => Answer::Embed(self.floats()?),
            1 => Answer::Entail(Entailment {
                entailment: self.float()?,
                neutral: self.float()?,
                contradiction: self.float()?,
            }),
            2 => Answer::Choose(self.floats()?),
            3 => Answer::Likelihood(Likelihood { logprob: self.float()?, tokens: self.word()? }),
            4 => Answer::Complete(self.list(|rest| rest.text().map(str::to_owned))?),
            _ => return None,
        })
    }
}
