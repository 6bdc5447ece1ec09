//! Makes a tokenizer from text, for a model that starts from random weights.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::models::wordlevel::{WordLevel, WordLevelTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{AddedToken, Tokenizer, TokenizerBuilder};

use crate::config::{NewTokenizer, TokenizerKind};

const PAD: &str = "<pad>";
const EOS: &str = "<eos>";
const BOS: &str = "<bos>";
const UNK: &str = "<unk>";

/// Trains a tokenizer on `texts` and writes `tokenizer.json` and `tokenizer_config.json` into `dir`.
///
/// Every text begins with `<bos>`, so that a model can be asked for a first word too.
pub fn make(new: &NewTokenizer, texts: &[String], dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let tokenizer = match new.kind {
        TokenizerKind::Word => words(new.vocabulary, texts),
        TokenizerKind::Bpe => bytes(new.vocabulary, texts),
    }
    .map_err(|e| anyhow!("making a tokenizer: {e}"))?;
    let path = dir.join("tokenizer.json");
    tokenizer.save(&path, true).map_err(|e| anyhow!("writing {}: {e}", path.display()))?;
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS, "eos_token": EOS, "pad_token": PAD, "unk_token": UNK,
        "clean_up_tokenization_spaces": false,
    });
    let path = dir.join("tokenizer_config.json");
    std::fs::write(&path, serde_json::to_string_pretty(&config)?).with_context(|| format!("writing {}", path.display()))
}

fn special() -> Vec<AddedToken> {
    [PAD, EOS, BOS, UNK].map(|t| AddedToken::from(t, true)).into()
}

fn words(vocabulary: usize, texts: &[String]) -> tokenizers::Result<Tokenizer> {
    let mut trainer = WordLevelTrainerBuilder::default()
        .vocab_size(vocabulary)
        .special_tokens(special())
        .show_progress(false)
        .build()?;
    let mut tokenizer = TokenizerBuilder::new()
        .with_model(WordLevel::builder().unk_token(UNK.into()).build()?)
        .with_normalizer(None::<tokenizers::NormalizerWrapper>)
        .with_pre_tokenizer(Some(WhitespaceSplit))
        .with_post_processor(Some(begin()?))
        .with_decoder(None::<tokenizers::DecoderWrapper>)
        .build()?;
    tokenizer.train(&mut trainer, texts.iter())?;
    Ok(tokenizer.into())
}

fn bytes(vocabulary: usize, texts: &[String]) -> tokenizers::Result<Tokenizer> {
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(vocabulary)
        .special_tokens(special())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build();
    let mut tokenizer = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(None::<tokenizers::NormalizerWrapper>)
        .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
        .with_post_processor(Some(begin()?))
        .with_decoder(Some(ByteLevel::default()))
        .build()?;
    tokenizer.train(&mut trainer, texts.iter())?;
    Ok(tokenizer.into())
}

fn begin() -> tokenizers::Result<tokenizers::processors::template::TemplateProcessing> {
    // The trainers give the special tokens the first ids, in their order.
    Ok(tokenizers::processors::template::TemplateProcessing::builder()
        .try_single(format!("{BOS} $A"))?
        .special_tokens(vec![(BOS, 2)])
        .build()?)
}
