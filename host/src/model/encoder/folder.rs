//! The layout of an embedder's folder: sentence-transformers' `modules.json` and what it names, or a plain Hugging Face folder.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::error::UserError;
use crate::model::read_json;

/// How hidden states become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first token's.
    Cls,
}

impl Pooling {
    /// In words.
    pub fn what(self) -> &'static str {
        match self {
            Self::Mean => "the mean of the hidden states",
            Self::Cls => "the first token's hidden state",
        }
    }
}

/// An embedder's folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// Where config, weights and tokenizer lie.
    pub encoder: PathBuf,
    /// How hidden states become one vector.
    pub pooling: Pooling,
    /// Tokens to which a text is cut.
    pub longest: Option<usize>,
    /// Texts are read in lower case.
    pub lower_case: bool,
}

impl Layout {
    /// Reads the folder's files. Without `modules.json` it is a plain folder, whose hidden states are averaged.
    pub fn read(dir: &Path) -> Result<Self> {
        let modules = dir.join("modules.json");
        if !modules.exists() {
            return Ok(Self { encoder: dir.to_owned(), pooling: Pooling::Mean, longest: None, lower_case: false });
        }
        let list = read_json(&modules)?;
        let mut layout = Self { encoder: dir.to_owned(), pooling: Pooling::Mean, longest: None, lower_case: false };
        let mut seen = Vec::new();
        for module in list.as_array().into_iter().flatten() {
            let text = |key: &str| module.get(key).and_then(Value::as_str).unwrap_or_default();
            let kind = text("type").rsplit('.').next().unwrap_or_default();
            let place = below(dir, text("path"), &modules)?;
            match kind {
                "Transformer" => layout.transformer(place)?,
                "Pooling" => layout.pooling = pooling(&place.join("config.json"))?,
                // Embeddings have length 1 in any case.
                "Normalize" => {}
                other => return Err(unsupported(&modules, &format!("module `{other}`"))),
            }
            seen.push(kind);
        }
        if seen.first() != Some(&"Transformer") || seen.get(1) != Some(&"Pooling") || seen.len() > 3 {
            return Err(unsupported(&modules, &format!("sequence of modules {seen:?}")));
        }
        let whole = dir.join("config_sentence_transformers.json");
        if whole.exists() && read_json(&whole)?.get("default_prompt_name").is_some_and(|name| !name.is_null()) {
            return Err(unsupported(&whole, "`default_prompt_name`"));
        }
        Ok(layout)
    }

    fn transformer(&mut self, place: PathBuf) -> Result<()> {
        let path = place.join("sentence_bert_config.json");
        if path.exists() {
            let config = read_json(&path)?;
            self.longest = config.get("max_seq_length").and_then(Value::as_u64).map(|n| n as usize);
            self.lower_case = config.get("do_lower_case").and_then(Value::as_bool).unwrap_or(false);
        }
        self.encoder = place;
        Ok(())
    }
}

/// The one pooling that a module's config switches on.
fn pooling(path: &Path) -> Result<Pooling> {
    let config = read_json(path)?;
    let named = config.get("pooling_mode").and_then(Value::as_str).map(|name| vec![name.to_owned()]);
    let switched = || {
        let on = config.as_object().into_iter().flatten().filter(|(_, value)| **value == Value::Bool(true));
        on.filter_map(|(key, _)| key.strip_prefix("pooling_mode_").map(str::to_owned)).collect()
    };
    let modes: Vec<String> = named.unwrap_or_else(switched);
    match modes.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["mean" | "mean_tokens"] => Ok(Pooling::Mean),
        ["cls" | "cls_token"] => Ok(Pooling::Cls),
        _ => Err(unsupported(path, &format!("pooling {modes:?}"))),
    }
}

fn below(dir: &Path, name: &str, named_in: &Path) -> Result<PathBuf> {
    if name.starts_with('/') || name.split('/').any(|part| part == "..") {
        return Err(UserError::new(format!("{}: the module's path `{name}` leaves the folder", named_in.display()))
            .hint("modules lie below the folder")
            .into());
    }
    // Joined with nothing, a path would end in a slash.
    Ok(if name.is_empty() { dir.to_owned() } else { dir.join(name) })
}

fn unsupported(path: &Path, what: &str) -> anyhow::Error {
    UserError::new(format!("{}: the {what} is not supported", path.display()))
        .hint("an embedder is a Transformer, a Pooling (mean or cls) and a Normalize")
        .into()
}
