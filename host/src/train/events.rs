//! `tensorboard/`: the steps as TensorBoard's event file. Made of `metrics.jsonl` and nothing else: a resumed run writes the file anew from
//! the steps it kept, so that no step stands twice, and the same steps are the same bytes.
//!
//! For that reason there is no clock in it: an event's wall time is its step, in seconds, and what goes by the clock is left out.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::records::StepMetrics;

/// TensorBoard reads every file whose name holds `tfevents`.
const FILE: &str = "events.out.tfevents.0.udasa";

/// The event file of a run, open for the next step.
pub struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// Begins the file anew with the steps that are kept.
    pub fn create(run: &Path, kept: &[StepMetrics]) -> Result<Self> {
        let folder = run.join("tensorboard");
        std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let path = folder.join(FILE);
        let file = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
        let mut events = Self { path, file };
        let mut bytes = framed(&event(0, &field(3, b"brain.Event:2")));
        for step in kept {
            bytes.extend(framed(&step_event(step)?));
        }
        events.write(&bytes)?;
        Ok(events)
    }

    /// Adds a step.
    pub fn add(&mut self, step: &StepMetrics) -> Result<()> {
        let bytes = framed(&step_event(step)?);
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).with_context(|| format!("writing {}", self.path.display()))
    }
}

/// `train/loss` and so on: every number of the step under the name that transformers gives it.
fn step_event(step: &StepMetrics) -> Result<Vec<u8>> {
    let Value::Object(numbers) = serde_json::to_value(step)? else { return Ok(Vec::new()) };
    let mut summary = Vec::new();
    for (name, value) in &numbers {
        let left_out = name == "step" || StepMetrics::BY_THE_CLOCK.contains(&name.as_str());
        if let (Some(value), false) = (value.as_f64(), left_out) {
            let mut scalar = field(1, format!("train/{name}").as_bytes());
            // Value.simple_value, field 2, 32 bits.
            scalar.push(2 << 3 | 5);
            scalar.extend((value as f32).to_le_bytes());
            summary.extend(field(1, &scalar));
        }
    }
    Ok(event(step.step, &field(5, &summary)))
}

/// An `Event` of tensorflow/core/util/event.proto: wall_time (1, 64 bits), step (2, varint), and what it holds.
fn event(step: u64, what: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1 << 3 | 1];
    bytes.extend((step as f64).to_le_bytes());
    if step > 0 {
        bytes.push(2 << 3);
        varint(&mut bytes, step);
    }
    bytes.extend(what);
    bytes
}

/// A field whose content has a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    varint(&mut bytes, content.len() as u64);
    bytes.extend(content);
    bytes
}

fn varint(bytes: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

/// A TFRecord: length, its checksum, content, its checksum.
fn framed(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), content, &masked(content)].concat()
}

/// TFRecord's checksum: CRC-32C, turned by 15 bits and moved, so that a checksum over checksums is none of a kind.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// CRC-32C (Castagnoli), bit by bit: an event has some hundred bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::test_folder::TestFolder;
    use crate::train::trainer_state::tests::step;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720, B.4, and the check value of the CRC catalogue.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn numbers_of_more_than_seven_bits_take_more_bytes() {
        let mut bytes = Vec::new();
        varint(&mut bytes, 300);
        assert_eq!(bytes, [0xac, 0x02]);
    }

    #[test]
    fn a_slower_run_of_the_same_steps_writes_the_same_bytes() -> Result<()> {
        let slower = StepMetrics { tokens_per_second: 1.0, memory: Some(512.0), ..step(1) };
        assert_eq!(step_event(&slower)?, step_event(&step(1))?);
        Ok(())
    }

    #[test]
    fn a_resumed_runs_file_is_that_of_an_unbroken_one() -> Result<()> {
        let folder = TestFolder::new()?;
        let file = folder.path().join("tensorboard").join(FILE);
        let steps: Vec<StepMetrics> = (1..=300).map(step).collect();
        let mut events = Events::create(folder.path(), &[])?;
        steps.iter().try_for_each(|step| events.add(step))?;
        let unbroken = std::fs::read(&file)?;
        // Interrupted after 200 steps, of which the checkpoint has 120.
        let mut events = Events::create(folder.path(), &steps[..120])?;
        steps[120..].iter().try_for_each(|step| events.add(step))?;
        assert_eq!(std::fs::read(&file)?, unbroken);
        Ok(())
    }
}
