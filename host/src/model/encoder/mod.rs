//! Encoders: BERT, RoBERTa and DeBERTa-v2, for embeddings and for judging pairs of texts.
//!
//! Comes in: a Hugging Face or sentence-transformers folder. Goes out: unit-norm embeddings ([`Embedder`]), or the outputs of a
//! classification head ([`CrossEncoder`]: NLI, or a reward model's one number). Everything is computed in f32. Texts are sorted by length and
//! batched by tokens; padding is masked, so a text's numbers are its own, up to the rounding of sums.

mod spec;
mod relative;
mod network;
mod folder;
mod embedder;
mod cross;
mod look;

#[cfg(test)]
mod golden_tests;

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use tch::{Device, Kind, Tensor, no_grad};
use tokenizers::{EncodeInput, Tokenizer, TruncationParams};

pub use cross::{CrossEncoder, Nli};
pub use embedder::Embedder;
pub use look::{EncoderFacts, check_embedder, check_nli, inspect};

use network::{Batch, Network};
use spec::EncoderSpec;

use super::batches::{by_length, padded, real};
use super::device;
use super::pooling::{batch_tokens, place};
use super::text::read_tokenizer;
use super::weights::Weights;
use super::{check_folder, read_json};
use crate::config::ModelSection;
use crate::error::UserError;

/// Whether a folder holds an encoder, by its `config.json` or its `modules.json`.
pub fn is_encoder(dir: &Path) -> bool {
    dir.join("modules.json").exists()
        || read_json(&dir.join("config.json")).is_ok_and(|config| EncoderSpec::is_of(&config))
}

/// Tensors that may lie in a folder unused: those of other heads, and tables that can be computed.
fn is_ignored(spec: &EncoderSpec, name: &str) -> bool {
    const STARTS: [&str; 6] = ["classifier.", "cls.", "lm_head.", "lm_predictions.", "mask_predictions.", "pooler."];
    const ENDS: [&str; 2] = ["position_ids", "embeddings.position_embeddings.weight"];
    let below = name.strip_prefix(spec.family.root).unwrap_or(name);
    STARTS.iter().any(|start| below.starts_with(start)) || ENDS.iter().any(|end| name.ends_with(end))
}

/// An encoder with its tokenizer.
struct Encoder {
    network: Network,
    tokenizer: Tokenizer,
    device: Device,
}

/// A text, or a pair of them, in tokens.
struct Tokens {
    ids: Vec<u32>,
    types: Vec<u32>,
    cut: bool,
}

impl Encoder {
    /// Loads a folder; texts are cut to `longest` tokens, or to what the encoder has places for. `head` reads what else is wanted.
    fn load<H>(
        dir: &Path,
        longest: Option<usize>,
        section: &ModelSection,
        head: impl FnOnce(&mut Weights, &EncoderSpec) -> Result<H>,
    ) -> Result<(Self, H)> {
        check_folder(dir)?;
        let device = device::prepare(section.device, section.threads)?;
        let spec = EncoderSpec::read(dir)?;
        let tokenizer = tokenizer(dir, &spec, longest)?;
        let loading = || format!("loading {}", dir.display());
        let mut weights = Weights::open(dir, device, Kind::Float)?;
        let network = Network::read(spec, &mut weights).with_context(loading)?;
        let head = head(&mut weights, &network.spec).with_context(loading)?;
        weights.finish(|name| is_ignored(&network.spec, name)).with_context(loading)?;
        Ok((Self { network, tokenizer, device }, head))
    }

    /// Tokens of each text, with what the tokenizer puts around it.
    fn tokens<'s, I: Into<EncodeInput<'s>> + Send>(&self, texts: Vec<I>) -> Result<Vec<Tokens>> {
        let encodings = self.tokenizer.encode_batch(texts, true).map_err(|e| anyhow!("tokenizing: {e}"))?;
        let vocabulary = self.network.spec.vocabulary;
        encodings
            .iter()
            .map(|encoding| {
                let ids = encoding.get_ids().to_vec();
                if ids.is_empty() {
                    return Err(UserError::new(
                        "a question asks about a text that has no token in the encoder's vocabulary",
                    )
                    .hint("use an encoder whose tokenizer puts tokens around every text, as BERT's does")
                    .into());
                }
                if let Some(id) = ids.iter().find(|id| i64::from(**id) >= vocabulary) {
                    return Err(UserError::new(format!(
                        "there is a token id {id}, but the encoder's vocabulary has {vocabulary} entries"
                    ))
                    .hint("tokenizer.json belongs to another model")
                    .into());
                }
                Ok(Tokens { ids, types: encoding.get_type_ids().to_vec(), cut: !encoding.get_overflowing().is_empty() })
            })
            .collect()
    }

    /// One row of numbers a text, in order: `rows` makes them `[B, N]` of a batch's hidden states `[B, T, C]`.
    fn run(&self, texts: &[Tokens], rows: impl Fn(&Tensor, &Batch) -> Tensor) -> Result<Vec<Vec<f32>>> {
        let lengths: Vec<usize> = texts.iter().map(|text| text.ids.len()).collect();
        let mut all = vec![Vec::new(); texts.len()];
        for members in by_length(&lengths, batch_tokens(self.device)) {
            let batch = self.batch(&members, texts)?;
            place(&no_grad(|| rows(&self.network.hidden(&batch), &batch)), &members, &mut all)?;
        }
        Ok(all)
    }

    fn batch(&self, members: &[usize], texts: &[Tokens]) -> Result<Batch> {
        let of = |part: fn(&Tokens) -> &[u32]| -> Vec<&[u32]> { members.iter().map(|&i| part(&texts[i])).collect() };
        let (ids, types) = (of(|text| &text.ids), of(|text| &text.types));
        Ok(Batch {
            ids: padded(&ids, self.device)?,
            // RoBERTa has one type, whatever a tokenizer says.
            types: padded(&types, self.device)?.clamp_max((self.network.spec.types - 1).max(0)),
            real: real(&ids, self.device)?,
        })
    }
}

/// The folder's tokenizer, which cuts texts as transformers does (`longest_first`), and for which the text of a special token inside a text
/// is ordinary text.
fn tokenizer(dir: &Path, spec: &EncoderSpec, longest: Option<usize>) -> Result<Tokenizer> {
    let mut tokenizer = read_tokenizer(dir)?;
    let max_length = longest.unwrap_or(spec.longest).min(spec.longest);
    tokenizer.with_truncation(Some(TruncationParams { max_length, ..TruncationParams::default() })).map_err(|e| {
        UserError::new(format!("{}: texts cannot be cut to {max_length} tokens: {e}", dir.display()))
            .hint("raise max_seq_length in sentence_bert_config.json")
    })?;
    tokenizer.set_encode_special_tokens(true);
    Ok(tokenizer)
}

/// Says how many texts were cut, where any was.
fn say_cut(texts: &[Tokens], encoder: &Encoder) {
    let cut = texts.iter().filter(|text| text.cut).count();
    if cut > 0 {
        let most = encoder.tokenizer.get_truncation().map_or(0, |truncation| truncation.max_length);
        crate::progress::say(
            "score",
            &format!("{cut} of {} texts were cut to the encoder's {most} tokens", texts.len()),
        );
    }
}
