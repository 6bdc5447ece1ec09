//! A run folder: one process at a time, and a record of which room finished with which key.
//!
//! Owns the lock, `rooms.json` and the removal of outputs that no longer belong to the config. What rooms write into the
//! folder is theirs.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::digests::Digests;
use super::room::Room;
use crate::error::UserError;

const LOCK: &str = "lock";
const ROOMS: &str = "rooms.json";

/// What `rooms.json` holds of one room.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RoomRecord {
    /// Digest of the room's inputs, its part of the config and its plugins.
    pub key: String,
    /// Whether it came to its end.
    pub complete: bool,
    /// Wall time of the process that completed it.
    #[serde(default)]
    pub seconds: f64,
    /// What it did, in a few words.
    #[serde(default)]
    pub summary: String,
    /// Which of its outputs were there at its end.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// Their SHA-256, for `udasa verify`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
}

/// What a room finds when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Its outputs are complete: nothing to do.
    Skip,
    /// Its outputs are partly there and belong to this very config: go on from them.
    Resume,
    /// There is nothing, or nothing that still counts.
    Fresh,
}

/// An open run folder, locked until dropped.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    records: Records,
    begun: Option<(Room, Instant)>,
    /// The operating system lets go of the lock when the process ends, however it ends.
    _lock: File,
}

impl RunFolder {
    /// Creates or opens a run folder and locks it.
    pub fn open(path: &Path) -> Result<Self> {
        refuse_strangers_folder(path)?;
        std::fs::create_dir_all(path).map_err(|error| no_folder(path, &error))?;
        let lock = lock(path)?;
        Ok(Self { path: path.to_owned(), records: Records::read(path)?, begun: None, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What is recorded of the rooms.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Forgets that this room and the later ones ever ran, so that they begin afresh. At once and on disk: a rerun that is
    /// interrupted must not leave a later room looking complete.
    pub fn forget_from(&mut self, room: Room) -> Result<()> {
        self.records.0.retain(|known, _| *known < room);
        self.records.write(&self.path)?;
        let later = Room::ALL.iter().filter(|later| **later >= room);
        for output in later.flat_map(|later| later.kept_outputs()) {
            remove(&self.path.join(output))?;
        }
        Ok(())
    }

    /// Decides how a room goes about its work, and removes its outputs where they no longer count.
    pub fn begin(&mut self, room: Room, key: &str) -> Result<Begin> {
        let begin = self.records.state(&self.path, room, key);
        match begin {
            Begin::Skip => return Ok(begin),
            Begin::Resume => {}
            Begin::Fresh => {
                // Recorded as gone before they go.
                self.records.0.remove(&room);
                self.records.write(&self.path)?;
                for output in room.outputs() {
                    remove(&self.path.join(output))?;
                }
            }
        }
        let record = RoomRecord { key: key.to_owned(), ..RoomRecord::default() };
        self.records.0.insert(room, record);
        self.records.write(&self.path)?;
        self.begun = Some((room, Instant::now()));
        Ok(begin)
    }

    /// Records that the room that began came to its end.
    pub fn complete(&mut self, room: Room, summary: impl Into<String>) -> Result<()> {
        let path = &self.path;
        let record = self.records.0.entry(room).or_default();
        record.complete = true;
        record.summary = summary.into();
        if let Some((begun, at)) = self.begun.take()
            && begun == room
        {
            record.seconds = at.elapsed().as_secs_f64();
        }
        let all = room.outputs().iter().chain(room.kept_outputs());
        let there = all.filter(|o| path.join(o).exists());
        record.outputs = there.map(|o| (*o).to_owned()).collect();
        let mut digests = Digests::default();
        record.digests.clear();
        for output in &record.outputs {
            record.digests.insert(output.clone(), digests.of(&path.join(output))?);
        }
        // Training leaves the stages as trained where staging left them as planned.
        if room == Room::Train
            && let Some(staged) = self.records.0.get_mut(&Room::Stage)
            && let Some(digest) = staged.digests.get_mut("stages.jsonl")
        {
            *digest = digests.of(&path.join("stages.jsonl"))?;
        }
        self.records.write(&self.path)
    }
}

/// The contents of `rooms.json`.
#[derive(Debug, Clone, Default)]
pub struct Records(BTreeMap<Room, RoomRecord>);

impl Records {
    /// Reads the records of a run folder; none where it is new.
    pub fn read(run: &Path) -> Result<Self> {
        let path = run.join(ROOMS);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        serde_json::from_str(&text).map(Self).map_err(|error| {
            UserError::new(format!("{} cannot be read: {error}", path.display()))
                .hint("it was changed by hand or by another version; delete it to run all rooms again")
                .into()
        })
    }

    /// What is known of a room.
    pub fn get(&self, room: Room) -> Option<&RoomRecord> {
        self.0.get(&room)
    }

    /// How a room with this key would begin.
    pub fn state(&self, run: &Path, room: Room, key: &str) -> Begin {
        match self.0.get(&room) {
            Some(record) if record.key != key => Begin::Fresh,
            Some(record) if !record.complete => Begin::Resume,
            Some(record) if record.outputs.iter().all(|o| run.join(o).exists()) => Begin::Skip,
            _ => Begin::Fresh,
        }
    }

    fn write(&self, run: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.0).context("writing the rooms' records")?;
        write_atomic(&run.join(ROOMS), text.as_bytes())
    }
}

/// Writes a whole file: afterwards it holds either all of the new bytes or all of the old ones.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// Rooms remove outputs such as `model/`, so a folder that no run made is left alone.
fn refuse_strangers_folder(path: &Path) -> Result<()> {
    let Ok(mut entries) = std::fs::read_dir(path) else {
        return Ok(());
    };
    let ours = [ROOMS, LOCK, "run.toml"];
    if entries.next().is_none() || ours.iter().any(|name| path.join(name).exists()) {
        return Ok(());
    }
    Err(UserError::new(format!("{} is not empty and no run folder", path.display()))
        .hint("give a new or empty folder with --out")
        .into())
}

fn lock(run: &Path) -> Result<File> {
    let path = run.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| no_folder(&path, &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => String::new(),
                pid => format!(" (process {pid})"),
            };
            return Err(UserError::new(format!("the run folder {} is in use by another udasa{holder}", run.display()))
                .hint("wait until it ends, or give this run a folder of its own with --out")
                .into());
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("locking {}", path.display()));
        }
    }
    // For the message above only; the lock itself is the operating system's.
    let mut write = || {
        file.set_len(0)?;
        file.write_all(std::process::id().to_string().as_bytes())
    };
    write().with_context(|| format!("writing {}", path.display()))?;
    Ok(file)
}

fn no_folder(path: &Path, error: &std::io::Error) -> UserError {
    UserError::new(format!("cannot write {}: {error}", path.display()))
        .hint("give a run folder that can be written with --out")
}

fn remove(path: &Path) -> Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        _ => std::fs::remove_file(path),
    };
    removed.with_context(|| format!("removing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("udasa-folder-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn a_room_is_fresh_then_resumed_then_kept() -> Result<()> {
        let path = scratch("states");
        let mut folder = RunFolder::open(&path)?;
        assert_eq!(folder.begin(Room::Pair, "a")?, Begin::Fresh);
        std::fs::write(folder.file("pairs.jsonl"), "1\n")?;
        assert_eq!(folder.begin(Room::Pair, "a")?, Begin::Resume);
        assert!(folder.file("pairs.jsonl").exists(), "outputs are kept");
        folder.complete(Room::Pair, "1 pair")?;
        drop(folder);
        let mut folder = RunFolder::open(&path)?;
        assert_eq!(folder.begin(Room::Pair, "a")?, Begin::Skip);
        assert_eq!(folder.records().get(Room::Pair).map(|r| r.summary.as_str()), Some("1 pair"));
        std::fs::remove_dir_all(&path)?;
        Ok(())
    }

    #[test]
    fn another_key_removes_the_rooms_outputs_and_no_others() -> Result<()> {
        let path = scratch("another-key");
        let mut folder = RunFolder::open(&path)?;
        folder.begin(Room::Train, "a")?;
        std::fs::create_dir_all(folder.file("checkpoints/1"))?;
        std::fs::write(folder.file("pairs.jsonl"), "1\n")?;
        folder.complete(Room::Train, "")?;
        assert_eq!(folder.begin(Room::Train, "b")?, Begin::Fresh);
        assert!(!folder.file("checkpoints").exists());
        assert!(folder.file("pairs.jsonl").exists());
        std::fs::remove_dir_all(&path)?;
        Ok(())
    }

    #[test]
    fn a_complete_room_whose_output_was_deleted_runs_again() -> Result<()> {
        let path = scratch("deleted");
        let mut folder = RunFolder::open(&path)?;
        folder.begin(Room::Data, "a")?;
        std::fs::write(folder.file("prompts.jsonl"), "")?;
        folder.complete(Room::Data, "")?;
        std::fs::remove_file(folder.file("prompts.jsonl"))?;
        assert_eq!(folder.begin(Room::Data, "a")?, Begin::Fresh);
        std::fs::remove_dir_all(&path)?;
        Ok(())
    }

    #[test]
    fn forgetting_a_room_forgets_the_later_ones() -> Result<()> {
        let path = scratch("forget");
        let mut folder = RunFolder::open(&path)?;
        for room in [Room::Score, Room::Pair, Room::Stage] {
            folder.begin(room, "a")?;
            folder.complete(room, "")?;
        }
        folder.forget_from(Room::Pair)?;
        let on_disk = Records::read(&path)?;
        assert_eq!(on_disk.state(&path, Room::Score, "a"), Begin::Skip);
        assert_eq!(on_disk.state(&path, Room::Pair, "a"), Begin::Fresh);
        assert_eq!(on_disk.state(&path, Room::Stage, "a"), Begin::Fresh);
        std::fs::remove_dir_all(&path)?;
        Ok(())
    }

    #[test]
    fn a_second_opening_is_refused_until_the_first_ends() -> Result<()> {
        let path = scratch("lock");
        let first = RunFolder::open(&path)?;
        let refused = RunFolder::open(&path).err().map(|e| e.to_string());
        assert!(refused.is_some_and(|e| e.contains("in use by another udasa (process ")));
        drop(first);
        RunFolder::open(&path)?;
        std::fs::remove_dir_all(&path)?;
        Ok(())
    }

    #[test]
    fn a_folder_that_no_run_made_is_left_alone() -> Result<()> {
        let path = scratch("stranger");
        std::fs::create_dir_all(path.join("model"))?;
        let refused = RunFolder::open(&path).err().map(|e| e.to_string());
        assert!(refused.is_some_and(|e| e.contains("not empty and no run folder")));
        std::fs::remove_dir_all(&path)?;
        Ok(())
    }
}
