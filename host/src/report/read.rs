//! Reads a run folder for the report and for `explain`: every file, or the reason why it is not there.
//!
//! In: the run folder. Out: records, each wrapped in [`Found`]. A missing or broken file never fails the report; it becomes a
//! sentence in the section that would have shown it. Large files (responses, scores) are streamed by [`each_line`] and not kept.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, de::DeserializeOwned};

use crate::records::{Drop, Evaluation, Pair, PluginUsage, SampleUncertainty, StageMember, StepMetrics};
use crate::train::TrainedStage;
use crate::usage;

/// What was found, or why nothing was.
pub type Found<T> = Result<T, Absent>;

/// Why something is missing: a sentence for the reader, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent(pub String);

impl Absent {
    /// A reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// One room's entry in `rooms.json`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct RoomRecord {
    /// Digest of the room's inputs, config and plugins.
    pub key: String,
    /// Whether it ended.
    pub complete: bool,
    /// Wall time.
    pub seconds: Option<f64>,
    /// What it did, as the room put it.
    pub summary: serde_json::Value,
}

/// The files of a run that fit in memory.
#[derive(Debug)]
pub struct RunFiles {
    /// `run.toml`.
    pub config: Found<RunToml>,
    /// `rooms.json`.
    pub rooms: Found<BTreeMap<String, RoomRecord>>,
    /// `uncertainty.jsonl`.
    pub uncertainty: Found<Vec<SampleUncertainty>>,
    /// `pairs.jsonl`, without token ids.
    pub pairs: Found<Vec<Pair>>,
    /// `drops.jsonl`.
    pub drops: Found<Vec<Drop>>,
    /// `stages.jsonl`.
    pub stages: Found<Vec<StageMember>>,
    /// `metrics.jsonl`.
    pub metrics: Found<Vec<StepMetrics>>,
    /// `eval.json`.
    pub evaluation: Found<Evaluation>,
    /// `training.json`.
    pub training: Found<Vec<TrainedStage>>,
    /// `scaler.json`, as it is.
    pub scaler: Found<serde_json::Value>,
    /// `score-summary.json`, as it is.
    pub score_summary: Found<serde_json::Value>,
    /// What plugins used, by room: the files of [`usage::FILES`] that are there, and those of scorers before a stage.
    pub usage: Found<Vec<(String, Vec<PluginUsage>)>>,
}

/// `run.toml`: its text and its values.
#[derive(Debug, Clone)]
pub struct RunToml {
    /// As written.
    pub text: String,
    /// Parsed.
    pub value: toml::Value,
}

impl RunToml {
    /// The value at a path of keys, looked for at the top and under `[config]`.
    pub fn get(&self, path: &[&str]) -> Option<&toml::Value> {
        let walk = |root| path.iter().try_fold(root, |at: &toml::Value, key| at.get(*key));
        walk(&self.value).or_else(|| self.value.get("config").and_then(walk))
    }

    /// The staging policy's name.
    pub fn policy(&self) -> Option<&str> {
        self.get(&["stage", "policy"])?.as_str()
    }
}

impl RunFiles {
    /// Reads what is there.
    pub fn read(run: &Path) -> Self {
        let mut pairs = lines::<Pair>(run, "pairs.jsonl", "pairing has not run");
        for pair in pairs.iter_mut().flatten() {
            // Only their number is shown, and responses.jsonl gives that.
            pair.prompt_token_ids = Vec::new();
            pair.chosen_token_ids = Vec::new();
            pair.rejected_token_ids = Vec::new();
        }
        let training = json(run, "training.json", "training has not ended");
        Self {
            config: read_toml(run),
            rooms: json(run, "rooms.json", "no room has finished"),
            uncertainty: lines(run, "uncertainty.jsonl", "scoring has not run"),
            pairs,
            drops: lines(run, "drops.jsonl", "pairing has not run"),
            stages: lines(run, "stages.jsonl", "staging has not run"),
            metrics: lines(run, "metrics.jsonl", "training has not run"),
            evaluation: json(run, "eval.json", "evaluation has not run"),
            scaler: json(run, "scaler.json", "scoring has not run"),
            score_summary: json(run, "score-summary.json", "scoring has not run"),
            usage: usage(run, &training),
            training,
        }
    }
}

impl RunFiles {
    /// The folders of stages whose prompts were sampled anew, read as if each were a run. The stages are those of the whole run.
    pub fn resampled(&self, run: &Path) -> Vec<(PathBuf, Self)> {
        let stages = self.training.iter().flatten().filter_map(|stage| stage.resampled.as_ref());
        stages
            .map(|from| {
                let folder = run.join(&from.folder);
                let files = Self { stages: self.stages.clone(), ..Self::read(&folder) };
                (folder, files)
            })
            .collect()
    }
}

fn usage(run: &Path, training: &Found<Vec<TrainedStage>>) -> Found<Vec<(String, Vec<PluginUsage>)>> {
    let mut files = usage::FILES.map(|(room, file)| (room.to_owned(), file.to_owned())).to_vec();
    let before_a_stage = |stage: &TrainedStage| {
        let from = stage.resampled.as_ref()?;
        Some((format!("score before {}", stage.name), format!("{}/score-usage.json", from.folder)))
    };
    files.extend(training.iter().flatten().filter_map(before_a_stage));
    let mut rooms = Vec::new();
    for (room, file) in files {
        if run.join(&file).exists() {
            rooms.push((room, json(run, &file, "")?));
        }
    }
    if rooms.is_empty() { Err(Absent::new("no room has called a plugin, or an older version did")) } else { Ok(rooms) }
}

fn read_toml(run: &Path) -> Found<RunToml> {
    let text = text(run, "run.toml", "the run has not been started")?;
    let value = toml::from_str(&text).map_err(|error| Absent::new(format!("run.toml cannot be read: {error}")))?;
    Ok(RunToml { text, value })
}

fn text(run: &Path, file: &str, why: &str) -> Found<String> {
    std::fs::read_to_string(run.join(file)).map_err(|error| unreadable(file, why, &error))
}

fn unreadable(file: &str, why: &str, error: &std::io::Error) -> Absent {
    if error.kind() == std::io::ErrorKind::NotFound {
        Absent::new(format!("{why} (no {file} in the run folder)"))
    } else {
        Absent::new(format!("{file} cannot be read: {error}"))
    }
}

/// A JSON file.
pub fn json<T: DeserializeOwned>(run: &Path, file: &str, why: &str) -> Found<T> {
    serde_json::from_str(&text(run, file, why)?).map_err(|error| Absent::new(format!("{file} cannot be read: {error}")))
}

/// A JSONL file, kept whole.
pub fn lines<T: DeserializeOwned>(run: &Path, file: &str, why: &str) -> Found<Vec<T>> {
    let mut all = Vec::new();
    each_line(run, file, why, |record| all.push(record))?;
    Ok(all)
}

/// A JSONL file, one record at a time. A torn last line (no newline at its end) is what an interrupted run leaves: it is
/// ignored, as the rooms themselves do.
pub fn each_line<T: DeserializeOwned>(run: &Path, file: &str, why: &str, mut take: impl FnMut(T)) -> Found<()> {
    let opened = File::open(run.join(file)).map_err(|error| unreadable(file, why, &error))?;
    let mut reader = BufReader::new(opened);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(|error| unreadable(file, why, &error))?;
        if read == 0 {
            break;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(record) => take(record),
            Err(_) if line.last() != Some(&b'\n') => break,
            Err(error) => {
                return Err(Absent::new(format!("{file}, line {number}, cannot be read: {error}")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_ignored_and_a_broken_middle_one_is_named() {
        let dir = crate::report::synthetic::empty_folder("read-torn");
        std::fs::write(dir.join("a.jsonl"), "1\n2\n{\"to").unwrap();
        assert_eq!(lines::<u32>(&dir, "a.jsonl", "x").unwrap(), [1, 2]);
        std::fs::write(dir.join("a.jsonl"), "1\nno\n3\n").unwrap();
        let Absent(reason) = lines::<u32>(&dir, "a.jsonl", "x").unwrap_err();
        assert!(reason.starts_with("a.jsonl, line 2, cannot be read"), "{reason}");
    }

    #[test]
    fn a_missing_file_gives_the_reason() {
        let dir = crate::report::synthetic::empty_folder("read-missing");
        let Absent(reason) = lines::<u32>(&dir, "metrics.jsonl", "training has not run").unwrap_err();
        assert_eq!(reason, "training has not run (no metrics.jsonl in the run folder)");
    }
}
