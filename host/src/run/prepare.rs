//! Everything that is known before a room begins: the config, the plugins, the rooms, their keys and the folder's path.
//! `plan` shows it, `run` goes on from it. Writes nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::answerers;
use super::digests::Digests;
use super::keys::{self, Keys};
use super::plugins::Plugins;
use super::room::Room;
use crate::config::{self, Config, Needs};
use crate::error::UserError;

/// What the command line asks for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The config file.
    pub config: PathBuf,
    /// `--set`s, in order.
    pub overrides: Vec<String>,
    /// The plugin directory.
    pub plugins: Option<PathBuf>,
    /// The run folder; `runs/<name>` where left out.
    pub out: Option<PathBuf>,
    /// This room and the later ones run again, unchanged or not.
    pub from: Option<Room>,
    /// The last room.
    pub until: Room,
}

/// What is known before a room begins.
pub struct Prepared {
    /// The checked config.
    pub cfg: Config,
    /// The plugins, ready to be called.
    pub plugins: Plugins,
    /// The run folder's path.
    pub path: PathBuf,
    /// Digests of the input files.
    pub digests: Digests,
    /// The keys.
    pub keys: Keys,
    /// The rooms that this config has, up to the last one asked for.
    pub rooms: Vec<Room>,
}

impl Prepared {
    /// Checks all that can be checked without a model.
    pub fn new(options: &Options) -> Result<Self> {
        let (cfg, path) = resolved(options)?;
        if let (Some(pairs), Room::Data | Room::Generate | Room::Score) = (&cfg.pairs, options.until) {
            return Err(UserError::new(format!(
                "there is nothing to {}: the config reads its pairs from {}",
                options.until,
                shown(&pairs.from)
            ))
            .hint("`udasa train CONFIG` trains on them; remove [pairs] to have pairs made")
            .into());
        }
        let plugins = Plugins::open(&cfg, options.plugins.as_deref(), options.until)?;
        if options.until >= Room::Score {
            answerers::check(&cfg)?;
        }
        let mut digests = Digests::read(&path);
        let keys = keys::keys(&cfg, &plugins.digests(), &mut digests)?;
        let rooms = Room::ALL
            .into_iter()
            .filter(|room| *room <= options.until)
            .filter(|room| keys.rooms.contains_key(room) || *room == Room::Report)
            .collect();
        Ok(Self { cfg, plugins, path, digests, keys, rooms })
    }
}

/// The checked config and the run folder's path.
pub fn resolved(options: &Options) -> Result<(Config, PathBuf)> {
    let base = std::env::current_dir().context("finding the current folder")?;
    let cfg = config::resolve_for(&options.config, &options.overrides, &base, needs(options.until))
        .map_err(|problems| config::as_error(&options.config, &problems))?;
    let path = match &options.out {
        Some(out) => base.join(out),
        None => base.join("runs").join(&cfg.name),
    };
    Ok((cfg, path))
}

fn needs(until: Room) -> Needs {
    Needs {
        sft: until == Room::Sft,
        responses: until == Room::Data || until >= Room::Generate,
        scores: until >= Room::Score,
        stages: until >= Room::Stage,
        training: until >= Room::Train,
    }
}

/// A path as people write it: from the current folder where it lies below.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let below = path.strip_prefix(&here).unwrap_or(path);
    below.display().to_string()
}
