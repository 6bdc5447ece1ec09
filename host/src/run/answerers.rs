//! Who answers scorers' questions: the policy model, or the models that `[models]` gives. Checked before any room begins, loaded only when a
//! question has no answer yet.

use std::borrow::Borrow;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::prepare::shown;
use crate::config::Config;
use crate::model::Model;
use crate::model::encoder::{Embedder, Nli, check_embedder, check_nli};
use crate::records::QuestionKind;
use crate::sandbox::kind_name;
use crate::score::{Answerer, Answerers, AskEncoder, AskModel};

/// The folder that is given for a kind of question.
pub fn given(cfg: &Config, kind: QuestionKind) -> Option<&PathBuf> {
    match kind {
        QuestionKind::Embed => cfg.models.embed.as_ref(),
        QuestionKind::Entail => cfg.models.entail.as_ref(),
        QuestionKind::Choose | QuestionKind::Likelihood | QuestionKind::Complete => None,
    }
}

/// Whether any scorer may ask this kind.
pub fn is_granted(cfg: &Config, kind: QuestionKind) -> bool {
    cfg.scorer.iter().any(|scorer| scorer.grant.contains(&kind))
}

/// Refuses models that cannot answer what they are given for. Reads no weights.
pub fn check(cfg: &Config) -> Result<()> {
    if let Some(dir) = &cfg.models.embed {
        check_embedder(dir).with_context(|| format!("models.embed = {dir:?}"))?;
    }
    if let Some(dir) = &cfg.models.entail {
        check_nli(dir).with_context(|| format!("models.entail = {dir:?}"))?;
    }
    Ok(())
}

/// One line for each kind that a scorer may ask, and for each model that nobody may ask, for `plan`.
pub fn lines(cfg: &Config) -> Vec<String> {
    let line = |kind| {
        let name = kind_name(kind);
        match (given(cfg, kind), is_granted(cfg, kind)) {
            (Some(dir), true) => Some(format!("{name:<12}{}", shown(dir))),
            (Some(dir), false) => Some(format!("{name:<12}{}, but no scorer is granted it", shown(dir))),
            (None, true) => Some(format!("{name:<12}the policy model")),
            (None, false) => None,
        }
    };
    QuestionKind::ALL.into_iter().filter_map(line).collect()
}

/// Loads the one who answers a kind; `policy` gives the policy model. What is sampled for an answer is drawn from `seed`.
pub fn load<'a, M: Borrow<Model> + 'a>(
    cfg: &Config,
    answerers: &Answerers,
    kind: QuestionKind,
    seed: u64,
    policy: &dyn Fn() -> Result<M>,
) -> Result<Box<dyn Answerer + 'a>> {
    let (identity, section) = (answerers.of(kind).to_owned(), &cfg.model);
    match (kind, given(cfg, kind)) {
        (QuestionKind::Embed, Some(dir)) => Ok(Box::new(AskEncoder::new(Embedder::load(dir, section)?, identity))),
        (QuestionKind::Entail, Some(dir)) => Ok(Box::new(AskEncoder::new(Nli::load(dir, section)?, identity))),
        _ => Ok(Box::new(AskModel::new(policy()?, identity, seed))),
    }
}
