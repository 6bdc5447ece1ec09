//! A plugin in its author's hands: read step by step, so that each can be told apart, and called without a config. Whatever
//! it declares it may ask; its settings are what the author says, checked or not.

use std::path::Path;

use anyhow::Context;

use crate::config::{self, Limits};
use crate::error::UserError;

use super::contract::{self, Refusal};
use super::directory::{PluginFile, Problem};
use super::fault::PluginFault;
use super::{Scorer, StagingPolicy};

/// Why a file may not even be compiled.
#[derive(Debug, Clone)]
pub enum Refused {
    /// It is no plugin of this contract.
    Contract(UserError),
    /// It is one, but imports what a plugin may not.
    Imports(UserError),
}

/// Reads what a file claims to be, and nothing more.
pub fn read_contract(path: &Path, wasm: &[u8]) -> Result<(), Refused> {
    match contract::read(wasm) {
        Ok(_) => Ok(()),
        Err(refusal @ Refusal::ForeignImport(_)) => Err(Refused::Imports(refusal.of(path))),
        Err(refusal) => Err(Refused::Contract(refusal.of(path))),
    }
}

impl PluginFile {
    /// A scorer that may ask whatever it declares. `settings` is JSON that nobody has checked. Each has an instance of its
    /// own, made now.
    pub fn trial_scorer(&self, settings: &str, limits: &Limits) -> anyhow::Result<Scorer> {
        let name = &self.description.name;
        let config: config::Scorer =
            serde_json::from_value(serde_json::json!({ "plugin": name, "grant": self.description.asks }))
                .context("making a scorer's section of a config")?;
        Scorer::new(self, &config, settings.to_owned(), limits)
    }

    /// A staging policy, likewise.
    pub fn trial_policy(&self, settings: &str, limits: &Limits) -> anyhow::Result<StagingPolicy> {
        StagingPolicy::new(self, settings.to_owned(), limits)
    }
}

impl Scorer {
    /// Everything that the plugin finds wrong with its settings.
    pub fn check_settings(&self) -> Result<Vec<Problem>, PluginFault> {
        self.problems()
    }
}

impl StagingPolicy {
    /// Everything that the plugin finds wrong with its settings.
    pub fn check_settings(&self) -> Result<Vec<Problem>, PluginFault> {
        self.problems()
    }
}
