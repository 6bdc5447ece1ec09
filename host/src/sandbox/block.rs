//! A call of a scorer in one block of words, as `plugin-sdk/wit/block-v0.1/` lays it out.
//!
//! A plugin that does not take one is called through the contract's own `score`, where every text and list is a call of the
//! plugin's allocator.

use wasmtime::component::{ComponentExportIndex, InstancePre, TypedFunc};

use crate::records::{Answer, Finish, Message, PromptText, Response, Sample};

use super::bindings::scorer::exports::udasa::plugin::scorer_api as api;
use super::bindings::scorer::udasa::plugin::types as wit;

const INTERFACE: &str = "udasa:block/scorer-block@0.1.0";

/// `scorer-block.score` of one instance.
pub(super) type ScoreBlock = TypedFunc<(Vec<u32>,), (Result<api::Step, wit::Fault>,)>;

/// Where a component exports it, if it has the interface.
pub(super) fn export<T: 'static>(pre: &InstancePre<T>) -> wasmtime::Result<Option<ComponentExportIndex>> {
    let component = pre.component();
    let Some(interface) = component.get_export_index(None, INTERFACE) else { return Ok(None) };
    match component.get_export_index(Some(&interface), "score") {
        Some(score) => Ok(Some(score)),
        None => Err(wasmtime::format_err!("`{INTERFACE}` has no `score`")),
    }
}

/// The arguments of a call.
pub(super) fn of(settings: &str, sample: &Sample, rounds: &[Vec<Answer>]) -> Vec<u32> {
    let mut block = Block(Vec::with_capacity(words(settings, sample)));
    block.text(settings);
    block.text(&sample.id);
    block.prompt(&sample.prompt);
    block.0.push(u32::from(sample.group.is_some()));
    if let Some(group) = &sample.group {
        block.text(group);
    }
    block.list(&sample.responses, Block::response);
    block.list(rounds, |block, answers| block.list(answers, Block::answer));
    block.0
}

/// Enough for nearly all of a first call, so that the block is not moved while it grows.
fn words(settings: &str, sample: &Sample) -> usize {
    let prompt = match &sample.prompt {
        PromptText::Text(text) => text.len(),
        PromptText::Chat(turns) => turns.iter().map(|turn| turn.role.len() + turn.content.len() + 16).sum(),
    };
    let response = |r: &Response| r.text.len() / 4 + r.token_ids.len() + r.logprobs.len() + r.entropies.len() + 6;
    100 + (settings.len() + prompt) / 4 + sample.responses.iter().map(response).sum::<usize>()
}

struct Block(Vec<u32>);

impl Block {
    /// More than a plugin can count, or hold, is refused when the block is to be written to its memory.
    fn count(&mut self, items: usize) {
        self.0.push(u32::try_from(items).unwrap_or(u32::MAX));
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        let (words, rest) = text.as_bytes().as_chunks::<4>();
        self.0.extend(words.iter().map(|bytes| u32::from_le_bytes(*bytes)));
        if !rest.is_empty() {
            let mut last = [0; 4];
            last[..rest.len()].copy_from_slice(rest);
            self.0.push(u32::from_le_bytes(last));
        }
    }

    fn ids(&mut self, ids: &[u32]) {
        self.count(ids.len());
        self.0.extend_from_slice(ids);
    }

    fn floats(&mut self, floats: &[f32]) {
        self.count(floats.len());
        self.0.extend(floats.iter().map(|float| float.to_bits()));
    }

    fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.count(items.len());
        items.iter().for_each(|it| item(self, it));
    }

    fn prompt(&mut self, prompt: &PromptText) {
        match prompt {
            PromptText::Text(text) => {
                self.0.push(0);
                self.text(text);
            }
            PromptText::Chat(turns) => {
                self.0.push(1);
                self.list(turns, Self::message);
            }
        }
    }

    fn message(&mut self, message: &Message) {
        self.text(&message.role);
        self.text(&message.content);
    }

    fn response(&mut self, response: &Response) {
        self.text(&response.text);
        self.ids(&response.token_ids);
        self.floats(&response.logprobs);
        self.floats(&response.entropies);
        self.0.push(u32::from(response.finish == Finish::Length));
    }

    fn answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Embed(vector) => {
                self.0.push(0);
                self.floats(vector);
            }
            Answer::Entail { entailment, neutral, contradiction } => {
                self.0.push(1);
                self.0.extend([entailment, neutral, contradiction].map(|p| p.to_bits()));
            }
            Answer::Choose(probabilities) => {
                self.0.push(2);
                self.floats(probabilities);
            }
            Answer::Likelihood { logprob, tokens } => self.0.extend([3, logprob.to_bits(), *tokens]),
            Answer::Complete(texts) => {
                self.0.push(4);
                self.list(texts, |block, text| block.text(text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use udasa_plugin_sdk::block::read;

    use super::*;
    use crate::native::{sdk_answer, sdk_sample};

    fn message() -> impl Strategy<Value = Message> {
        (".*", ".*").prop_map(|(role, content)| Message { role, content })
    }

    fn prompt() -> impl Strategy<Value = PromptText> {
        let chat = prop::collection::vec(message(), 0..3).prop_map(PromptText::Chat);
        prop_oneof![".*".prop_map(PromptText::Text), chat]
    }

    fn float() -> impl Strategy<Value = f32> {
        any::<u32>().prop_map(f32::from_bits)
    }

    fn floats() -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(float(), 0..6)
    }

    fn response() -> impl Strategy<Value = Response> {
        let finish = any::<bool>().prop_map(|length| if length { Finish::Length } else { Finish::default() });
        let ids = prop::collection::vec(any::<u32>(), 0..6);
        (".*", ids, floats(), floats(), finish).prop_map(|(text, token_ids, logprobs, entropies, finish)| Response {
            text,
            token_ids,
            logprobs,
            entropies,
            finish,
        })
    }

    fn sample() -> impl Strategy<Value = Sample> {
        let responses = prop::collection::vec(response(), 0..4);
        (".*", prompt(), prop::option::of(".*"), responses).prop_map(|(id, prompt, group, responses)| Sample {
            id,
            prompt,
            group,
            prompt_token_ids: Vec::new(),
            responses,
        })
    }

    fn answer() -> impl Strategy<Value = Answer> {
        let entail = |(entailment, neutral, contradiction)| Answer::Entail { entailment, neutral, contradiction };
        prop_oneof![
            floats().prop_map(Answer::Embed),
            (float(), float(), float()).prop_map(entail),
            floats().prop_map(Answer::Choose),
            (float(), any::<u32>()).prop_map(|(logprob, tokens)| Answer::Likelihood { logprob, tokens }),
            prop::collection::vec(".*", 0..3).prop_map(Answer::Complete),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_plugin_reads_what_was_written_and_nothing_of_a_part_of_it(
            settings in ".*",
            sample in sample(),
            rounds in prop::collection::vec(prop::collection::vec(answer(), 0..4), 0..3),
        ) {
            let block = of(&settings, &sample, &rounds);
            // SAFETY: what `of` writes are texts of Rust's.
            let call = unsafe { read(&block) }.expect("it is laid out as it should be");
            prop_assert_eq!(call.settings, &settings);
            let answers = |round: &Vec<Answer>| round.iter().map(sdk_answer).collect::<Vec<_>>();
            let answers: Vec<_> = rounds.iter().map(answers).collect();
            // As text, in which a NaN is itself and a zero has its sign.
            let read_and_written = [(&*call.sample, &call.rounds), (&sdk_sample(&sample), &answers)];
            let [found, expected] = read_and_written.map(|it| format!("{it:?}"));
            prop_assert_eq!(found, expected);
            for words in 0..block.len() {
                // SAFETY: every whole text of a part is one of the whole.
                let part = unsafe { read(&block[..words]) };
                prop_assert!(part.is_none());
            }
            // SAFETY: as above.
            let more = unsafe { read(&[block.as_slice(), &[0]].concat()).is_some() };
            prop_assert!(!more);
        }

        /// Small numbers are counts and cases; bytes of ASCII are texts wherever they lie.
        #[test]
        fn a_block_of_anything_is_read_or_not_and_harms_nobody(
            block in prop::collection::vec(prop_oneof![4 => 0_u32..5, 1 => Just(0x2041_2062)], 0..80),
        ) {
            // SAFETY: there are no bytes but ASCII.
            let call = unsafe { read(&block) };
            // Looks at all that was read.
            let text = format!("{call:?}");
            prop_assert!(text.len() < 100 * block.len() + 1000);
        }
    }
}
