//! Step checkpoints: all that training needs to go on from a step as if it had never stopped.
//!
//! One safetensors file a step: the master weights and the optimizer's moments as flat vectors, and beside them, as JSON in its metadata,
//! whatever the caller must know of its position. The file's name carries the CRC-32 of its bytes, against accidents: a file cut off or
//! with a wrong bit is passed over, with a word about it, and the one before is taken. Files are written aside, synced and renamed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::Trainer;
use super::weights::Weights;
use crate::progress::say;

/// The checkpoints of one training.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    dir: PathBuf,
    kept: usize,
}

/// A checkpoint that was found whole.
pub struct Saved<P> {
    /// What the caller noted.
    pub position: P,
    steps: i32,
    path: PathBuf,
}

const PARTIAL: &str = "step.partial";
const POSITION: &str = "position";
const STEPS: &str = "optimizer_steps";
/// Numbers written at once.
const PIECE: i64 = 1 << 18;

impl Checkpoints {
    /// In `dir`; so many of the latest are kept.
    pub fn new(dir: PathBuf, kept: usize) -> Self {
        Self { dir, kept: kept.max(1) }
    }

    /// Writes the state after `step`, and removes those that are too many.
    pub fn save(&self, step: u64, trainer: &mut Trainer, position: &impl Serialize) -> Result<()> {
        let mut write = || {
            std::fs::create_dir_all(&self.dir)?;
            let partial = self.dir.join(PARTIAL);
            let (steps, vectors) = trainer.optimizer().state();
            let notes = json!({ POSITION: serde_json::to_string(position)?, STEPS: steps.to_string() });
            let sum = write_file(&partial, &vectors, &notes)?;
            std::fs::rename(&partial, self.dir.join(format!("step-{step:08}-{sum:08x}.safetensors")))?;
            // The new name lasts once its folder is synced too.
            File::open(&self.dir)?.sync_all()?;
            let mut all = self.files()?;
            all.reverse();
            for (_, path) in all.iter().skip(self.kept) {
                std::fs::remove_file(path)?;
            }
            anyhow::Ok(())
        };
        write().with_context(|| format!("writing a checkpoint to {}", self.dir.display()))
    }

    /// The latest whole checkpoint whose position fits. Those after it are of no use to anyone and are removed.
    pub fn latest<P: DeserializeOwned>(&self, fits: impl Fn(&P) -> bool) -> Result<Option<Saved<P>>> {
        for (_, path) in self.files()?.into_iter().rev() {
            match read::<P>(&path) {
                Ok(saved) if fits(&saved.position) => return Ok(Some(saved)),
                Ok(_) => {}
                Err(error) => {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    say(
                        "train",
                        &format!("the checkpoint {name} is damaged ({error:#}); going back to the one before"),
                    );
                }
            }
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        Ok(None)
    }

    /// Removes all of them, and what a killed process left half written.
    pub fn clear(&self) -> Result<()> {
        let _ = std::fs::remove_file(self.dir.join(PARTIAL));
        for (_, path) in self.files()? {
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        Ok(())
    }

    /// Removes them and their folder.
    pub fn remove(&self) -> Result<()> {
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", self.dir.display()))
            }
            _ => Ok(()),
        }
    }

    /// By step.
    fn files(&self) -> Result<Vec<(u64, PathBuf)>> {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return Ok(Vec::new()) };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let step = name.strip_prefix("step-").and_then(|rest| rest.split('-').next()?.parse().ok());
            files.extend(step.map(|step| (step, path)));
        }
        files.sort();
        Ok(files)
    }
}

impl<P> Saved<P> {
    /// Puts weights and optimizer back to where they were.
    pub fn restore(&self, trainer: &mut Trainer) -> Result<()> {
        let mut file = Weights::open_files(vec![self.path.clone()], Device::Cpu, Kind::Float)?;
        trainer
            .optimizer()
            .restore(self.steps, |name, size| file.take(name, size))
            .with_context(|| format!("reading {}", self.path.display()))
    }
}

/// CRC-32 of a file.
pub fn checksum(path: &Path) -> Result<u32> {
    let mut sum = crc32fast::Hasher::new();
    let mut file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).with_context(|| format!("reading {}", path.display()))? {
            0 => return Ok(sum.finalize()),
            n => sum.update(&buffer[..n]),
        }
    }
}

fn read<P: DeserializeOwned>(path: &Path) -> Result<Saved<P>> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let told = name.rsplit('-').next().and_then(|hex| u32::from_str_radix(hex, 16).ok());
    ensure!(told == Some(checksum(path)?), "its bytes are not those that were written");
    // The header alone: eight bytes of its length, then JSON.
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let mut header = Vec::new();
    file.take(u64::from_le_bytes(length)).read_to_end(&mut header)?;
    let header: HashMap<String, serde_json::Value> = serde_json::from_slice(&header)?;
    let note = |key: &str| header.get("__metadata__").and_then(|notes| notes.get(key)?.as_str());
    let position = serde_json::from_str(note(POSITION).context("it has no position")?)?;
    let steps = note(STEPS).context("it has no count of steps")?.parse()?;
    Ok(Saved { position, steps, path: path.to_owned() })
}

/// Writes flat f32 vectors piece by piece, without a copy of the whole, and returns the CRC-32 of the file.
fn write_file(path: &Path, vectors: &[(&str, &Tensor)], notes: &serde_json::Value) -> Result<u32> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), notes.clone());
    let mut at = 0;
    for (name, vector) in vectors {
        let end = at + 4 * vector.numel();
        header.insert((*name).to_owned(), json!({ "dtype": "F32", "shape": vector.size(), "data_offsets": [at, end] }));
        at = end;
    }
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = BufWriter::new(File::create(path)?);
    let mut sum = crc32fast::Hasher::new();
    let mut put = |bytes: &[u8]| -> Result<()> {
        sum.update(bytes);
        Ok(file.write_all(bytes)?)
    };
    put(&(header.len() as u64).to_le_bytes())?;
    put(&header)?;
    for (_, vector) in vectors {
        let n = vector.numel() as i64;
        for start in (0..n).step_by(PIECE as usize) {
            let piece = vector.narrow(0, start, PIECE.min(n - start));
            let numbers: Vec<f32> = Vec::try_from(piece.f_to_device(Device::Cpu)?)?;
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            put(&bytes)?;
        }
    }
    file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    Ok(sum.finalize())
}
