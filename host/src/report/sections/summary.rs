//! The top of the page: the run's name and a handful of numbers that place it.

use std::path::Path;

use serde::Serialize;

use crate::report::evidence::Evidence;
use crate::report::read::RunFiles;
use crate::report::text::{count, duration};

/// What the head shows.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The run's name.
    pub name: String,
    /// The staging policy, where known.
    pub policy: Option<String>,
    /// The run is neither of the two controls, so no gain may be laid to staging from it alone.
    pub needs_controls: bool,
    /// Numbers with their nouns.
    pub tiles: Vec<Tile>,
}

/// A number with its noun.
#[derive(Debug, Serialize)]
pub struct Tile {
    /// The number.
    pub value: String,
    /// What it counts.
    pub label: String,
}

/// The staging policies that are controls.
const CONTROLS: [&str; 2] = ["unstaged", "random-stages"];

/// Gathers it.
pub fn summary(run: &Path, files: &RunFiles, evidence: &Evidence) -> Summary {
    let config = files.config.as_ref().ok();
    let folder =
        run.canonicalize().ok().and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
    let name = config
        .and_then(|config| config.get(&["name"])?.as_str().map(String::from))
        .or(folder)
        .unwrap_or_else(|| "run".into());
    let policy = config.and_then(|config| config.policy().map(String::from));
    Summary {
        needs_controls: policy.as_deref().is_some_and(|policy| !CONTROLS.contains(&policy)),
        name,
        policy,
        tiles: tiles(files, evidence),
    }
}

fn tiles(files: &RunFiles, evidence: &Evidence) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let mut add = |value: String, label: &str| {
        tiles.push(Tile { value, label: label.into() });
    };
    if let Ok(lengths) = &evidence.lengths {
        add(count(lengths.len()), "prompts");
        add(count(lengths.values().map(Vec::len).sum()), "responses");
    }
    if let Ok(pairs) = &files.pairs {
        add(count(pairs.len()), "pairs");
    }
    if let Ok(stages) = &files.stages {
        let last = stages.iter().map(|member| member.stage + 1).max();
        add(count(last.unwrap_or(0)), "stages");
    }
    if let Ok(metrics) = &files.metrics {
        add(count(metrics.len()), "training steps");
    }
    if let Ok(rooms) = &files.rooms {
        let seconds: f64 = rooms.values().filter_map(|room| room.seconds).sum();
        add(duration(seconds), "in all rooms");
    }
    tiles
}
