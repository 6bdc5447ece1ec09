//! Is there room for the compiler? Asked before it is fetched, and again when that has failed.

use std::path::Path;
use std::process::Command;

use crate::error::UserError;

/// Below this a disk counts as full when something on it has failed.
const FULL_MB: u64 = 100;

/// Refuses when less is free where `dir` is or will be.
pub(super) fn require(dir: &Path, megabytes: u64) -> Result<(), UserError> {
    match free_mb(dir) {
        Some(free) if free < megabytes => Err(UserError::new(format!(
            "the disk of {} has {} free, but the wasm compiler needs {}",
            dir.display(),
            gigabytes(free),
            gigabytes(megabytes)
        ))
        .hint("make room, or put the cache (UDASA_CACHE) on another disk")),
        _ => Ok(()),
    }
}

pub(super) fn is_full(dir: &Path) -> bool {
    free_mb(dir).is_some_and(|free| free < FULL_MB)
}

/// Asks `df`; no answer is no reason to refuse.
fn free_mb(dir: &Path) -> Option<u64> {
    let existing = dir.ancestors().find(|dir| dir.exists())?;
    let output = Command::new("df").arg("-Pk").arg(existing).output().ok()?;
    parse_df(&String::from_utf8_lossy(&output.stdout))
}

/// The last line of `df -Pk`: filesystem, blocks, used, available, capacity, mount point. Names may hold spaces,
/// so the columns are counted from the one that ends in `%`.
fn parse_df(text: &str) -> Option<u64> {
    let line = text.lines().rfind(|line| !line.trim().is_empty())?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_capacity = |word: &&str| word.strip_suffix('%').is_some_and(|number| number.parse::<u32>().is_ok());
    let capacity = words.iter().position(is_capacity)?;
    let available: u64 = words.get(capacity.checked_sub(1)?)?.parse().ok()?;
    Some(available / 1024)
}

fn gigabytes(megabytes: u64) -> String {
    format!("{}.{} GB", megabytes / 1000, megabytes % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_free_space_is_read_from_the_posix_format_and_names_with_spaces_do_not_shift_it() {
        let text = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n\
                    /dev/vda         264212084 25131352  70154536      27% /\n";
        assert_eq!(parse_df(text), Some(68510));
        assert_eq!(parse_df("head\n//server/my share 100000 50000 51200 50% /mnt/my share\n"), Some(50));
    }

    #[test]
    fn what_is_not_understood_is_no_answer() {
        for text in ["", "Filesystem 1024-blocks Used Available Capacity Mounted on", "none - - - - /proc", "50% /"] {
            assert_eq!(parse_df(text), None, "{text}");
        }
    }
}
