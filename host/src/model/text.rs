//! Text to token ids and back: the tokenizer, and the chat template that turns a dialogue into a prompt.
//!
//! Comes in: `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja` (or the legacy field). The text of special tokens inside a
//! message is ordinary text (see [`Seams`]), unless the config asks for what transformers does.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Value as Jinja, context};
use serde_json::Value;
use tokenizers::Tokenizer;

use super::seams::Seams;
use crate::error::UserError;
use crate::records::{Message, PromptText};

/// A model's tokenizer and template.
pub struct Text {
    tokenizer: Tokenizer,
    template: Option<Environment<'static>>,
    bos: String,
    eos: String,
    seams: Option<Seams>,
}

/// The token ids of a preference pair.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PairIds {
    /// Of the prompt, as both responses continue it.
    pub prompt: Vec<u32>,
    /// Of the chosen response.
    pub chosen: Vec<u32>,
    /// Of the rejected response.
    pub rejected: Vec<u32>,
    /// How many of the prompt's own last ids are not among them: they merged with a response, or the template ends a prompt otherwise.
    pub left_out: usize,
}

const TEMPLATE: &str = "chat";

impl Text {
    /// Reads the folder's files.
    pub fn load(dir: &Path) -> Result<Self> {
        let tokenizer = read_tokenizer(dir)?;
        let config_path = dir.join("tokenizer_config.json");
        let config: Value = match std::fs::read_to_string(&config_path) {
            Ok(text) => serde_json::from_str(&text).map_err(|e| {
                UserError::new(format!("{} is not JSON: {e}", config_path.display()))
                    .hint("download it again, or write it anew with AutoTokenizer's save_pretrained")
            })?,
            Err(_) => Value::Null,
        };
        let special = |key: &str| match config.get(key) {
            Some(Value::String(s)) => s.clone(),
            Some(Value::Object(o)) => o.get("content").and_then(Value::as_str).unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        let file = std::fs::read_to_string(dir.join("chat_template.jinja")).ok();
        let source = file.or_else(|| config.get("chat_template").and_then(Value::as_str).map(str::to_owned));
        let template = source
            .map(compile)
            .transpose()
            .with_context(|| format!("reading the chat template of {}", dir.display()))?;
        let seams = Some(Seams::new(&tokenizer));
        Ok(Self { tokenizer, template, bos: special("bos_token"), eos: special("eos_token"), seams })
    }

    /// The same, but the text of special tokens inside a message is read as those tokens.
    pub fn with_special_tokens_in_messages(self) -> Self {
        Self { seams: None, ..self }
    }

    /// The end-of-sequence token that `tokenizer_config.json` names.
    pub fn eos_id(&self) -> Option<u32> {
        self.tokenizer.token_to_id(&self.eos)
    }

    /// Whether dialogues can be rendered.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// Entries that a model for it needs: the highest id and one, added tokens included.
    pub fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// The text that stands before the continuation, as it goes to [`Self::encode`]. A dialogue is rendered up to where the assistant
    /// speaks; its messages may hold seams.
    fn before(&self, prompt: &PromptText) -> Result<String> {
        match prompt {
            PromptText::Text(text) => Ok(text.clone()),
            PromptText::Chat(messages) => match &self.seams {
                Some(seams) => self.dialogue(&seams.sew(messages), true),
                None => self.dialogue(messages, true),
            },
        }
    }

    /// A dialogue by the chat template; `speaks` ends it where the assistant's answer begins.
    pub fn dialogue(&self, messages: &[Message], speaks: bool) -> Result<String> {
        let Some(environment) = &self.template else {
            return Err(UserError::new("a prompt is a dialogue, but the model has no chat template")
                .hint("give prompts as plain text, or put a chat_template.jinja into the model folder")
                .into());
        };
        let template = environment.get_template(TEMPLATE)?;
        template
            .render(context! { messages => Jinja::from(Serde(messages)), bos_token => &self.bos, eos_token => &self.eos, add_generation_prompt => speaks })
            .map_err(|e| {
                UserError::new(format!("the chat template refuses a prompt: {e:#}"))
                    .hint("check the order and roles of its messages")
                    .into()
            })
    }

    /// Ids of a prompt: text as the tokenizer begins any text, a rendered dialogue as it is (the template writes its own beginning).
    pub fn prompt_ids(&self, prompt: &PromptText) -> Result<Vec<u32>> {
        self.encode(&self.before(prompt)?, matches!(prompt, PromptText::Text(_)))
    }

    /// Ids of the prompt followed by a continuation, and from where the continuation counts: after the tokens that it shares with the
    /// prompt alone.
    pub fn continuation(&self, prompt: &PromptText, continuation: &str) -> Result<(Vec<u32>, usize)> {
        let text = self.before(prompt)?;
        let begin = matches!(prompt, PromptText::Text(_));
        let alone = self.encode(&text, begin)?;
        let ids = self.encode(&(text + continuation), begin)?;
        let from = shared(&alone, &ids);
        Ok((ids, from))
    }

    /// Ids of the prompt followed by each option, and from where the options differ: what they share cancels out between them.
    pub fn options(&self, prompt: &PromptText, options: &[String]) -> Result<(Vec<Vec<u32>>, usize)> {
        let text = self.before(prompt)?;
        let begin = matches!(prompt, PromptText::Text(_));
        let all: Vec<Vec<u32>> =
            options.iter().map(|option| self.encode(&format!("{text}{option}"), begin)).collect::<Result<_>>()?;
        let from = all.iter().skip(1).map(|ids| shared(&all[0], ids)).min().unwrap_or(0);
        Ok((all, from))
    }

    /// Ids of a pair of texts, divided as TRL divides them: the prompt is what its ids share with those of prompt and response. A text
    /// response is followed by the end-of-sequence token, a dialogue by whatever the template writes.
    pub fn pair_ids(&self, prompt: &PromptText, chosen: &PromptText, rejected: &PromptText) -> Result<PairIds> {
        let alone = self.prompt_ids(prompt)?;
        let (chosen, rejected) = (self.followed_by(prompt, chosen)?, self.followed_by(prompt, rejected)?);
        let from = shared(&alone, &chosen).min(shared(&alone, &rejected));
        Ok(PairIds {
            left_out: alone.len() - from,
            chosen: chosen[from..].to_vec(),
            rejected: rejected[from..].to_vec(),
            prompt: chosen[..from].to_vec(),
        })
    }

    fn followed_by(&self, prompt: &PromptText, response: &PromptText) -> Result<Vec<u32>> {
        match (prompt, response) {
            (PromptText::Text(_), PromptText::Text(_)) if self.eos.is_empty() => {
                Err(UserError::new("the tokenizer names no end-of-sequence token to put behind a response")
                    .hint("set eos_token in tokenizer_config.json")
                    .into())
            }
            (PromptText::Text(prompt), PromptText::Text(response)) => {
                let end = if response.ends_with(&self.eos) { "" } else { &self.eos };
                self.encode(&format!("{prompt}{response}{end}"), true)
            }
            (PromptText::Chat(prompt), PromptText::Chat(response)) => {
                let messages = [&prompt[..], response].concat();
                let messages = self.seams.as_ref().map_or(messages.clone(), |seams| seams.sew(&messages));
                self.encode(&self.dialogue(&messages, false)?, false)
            }
            _ => Err(anyhow!("a text and a dialogue make no pair")),
        }
    }

    /// Ids of a text; `begin` lets the tokenizer add what it puts around any text (a beginning-of-sequence token, say).
    pub fn encode(&self, text: &str, begin: bool) -> Result<Vec<u32>> {
        if let Some(seams) = self.seams.as_ref().filter(|_| Seams::are_in(text)) {
            return seams.encode(&self.tokenizer, text);
        }
        let encoding = self.tokenizer.encode_fast(text, begin).map_err(|e| anyhow!("tokenizing: {e}"))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Ids of many texts.
    pub fn encode_all(&self, texts: &[String]) -> Result<Vec<Vec<u32>>> {
        use rayon::prelude::*;
        texts.par_iter().map(|text| self.encode(text, true)).collect()
    }

    /// Text of ids, without special tokens.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer.decode(ids, true).map_err(|e| anyhow!("decoding: {e}"))
    }
}

/// `tokenizer.json`, without the lengths that it may carry.
pub(super) fn read_tokenizer(dir: &Path) -> Result<Tokenizer> {
    let path = dir.join("tokenizer.json");
    if !path.exists() {
        return Err(UserError::new(format!("{} does not exist", path.display()))
            .hint("only fast tokenizers are read: AutoTokenizer.from_pretrained(…).save_pretrained(…) writes tokenizer.json")
            .into());
    }
    let unreadable = |e: tokenizers::Error| {
        UserError::new(format!("{} cannot be read: {e}", path.display()))
            .hint("download it again, or write it anew with AutoTokenizer's save_pretrained")
    };
    let mut tokenizer = Tokenizer::from_file(&path).map_err(unreadable)?;
    // A saved tokenizer may carry the lengths of a training run; transformers applies them only when asked, and so do we: never.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(unreadable)?;
    Ok(tokenizer)
}

/// How many first ids two texts share.
fn shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn compile(source: String) -> Result<Environment<'static>> {
    let mut environment = Environment::new();
    // transformers renders with these two on.
    environment
        .set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|e| anyhow!("{e}"))?);
    environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    // The Python string methods that real templates call.
    environment.set_unknown_method_callback(|_, value, method, args| {
        let text = value.as_str().ok_or_else(|| minijinja::Error::from(ErrorKind::UnknownMethod))?;
        let argument = args.first().and_then(Jinja::as_str);
        match (method, argument) {
            ("strip", None) => Ok(text.trim().into()),
            ("lstrip", None) => Ok(text.trim_start().into()),
            ("rstrip", None) => Ok(text.trim_end().into()),
            ("startswith", Some(a)) => Ok(text.starts_with(a).into()),
            ("endswith", Some(a)) => Ok(text.ends_with(a).into()),
            ("split", Some(a)) => Ok(text.split(a).map(Jinja::from).collect()),
            _ => Err(ErrorKind::UnknownMethod.into()),
        }
    });
    environment.add_template_owned(TEMPLATE, source).map_err(|e| {
        UserError::new(format!("the chat template does not parse: {e}"))
            .hint("compare chat_template.jinja (or `chat_template` in tokenizer_config.json) with the model's original")
    })?;
    Ok(environment)
}
