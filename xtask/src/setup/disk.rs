//! Is there room? Asked before a download or a build, and again when one has failed.

use crate::error::UserError;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Below this a disk counts as full when something on it has failed.
const FULL_MB: u64 = 100;

/// Room that a step needs.
pub struct Need {
    dir: PathBuf,
    megabytes: u64,
    what: &'static str,
}

impl Need {
    pub fn new(dir: &Path, megabytes: u64, what: &'static str) -> Self {
        Self { dir: dir.to_path_buf(), megabytes, what }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Disk {
    mount: String,
    free_mb: u64,
}

/// Refuses when the needs on any one disk exceed what is free there.
pub fn require(needs: &[Need]) -> Result<()> {
    let placed: Vec<(&Need, Disk)> = needs.iter().filter_map(|need| Some((need, disk_of(&need.dir)?))).collect();
    for (first, disk) in &placed {
        let here = placed.iter().filter(|(_, other)| other.mount == disk.mount);
        let (megabytes, what): (Vec<u64>, Vec<&str>) = here.map(|(need, _)| (need.megabytes, need.what)).unzip();
        let needed: u64 = megabytes.iter().sum();
        if disk.free_mb < needed {
            return Err(UserError::new(
                format!(
                    "the disk of {} has {} free, but {} needs {}",
                    first.dir.display(),
                    gigabytes(disk.free_mb),
                    what.join(" with "),
                    gigabytes(needed)
                ),
                "make room, or put the cache (UDASA_CACHE) or the build (CARGO_TARGET_DIR) on another disk",
            )
            .into());
        }
    }
    Ok(())
}

/// The error to raise instead of a step's own when its disk has run full.
pub fn full(dir: &Path) -> Option<UserError> {
    let disk = disk_of(dir)?;
    (disk.free_mb < FULL_MB).then(|| {
        UserError::new(
            format!("the disk of {} is full: {} MB are free", dir.display(), disk.free_mb),
            "make room, or put the cache (UDASA_CACHE) on another disk, and run the command again",
        )
    })
}

pub fn cannot_write(path: &Path, error: &std::io::Error) -> UserError {
    UserError::new(
        format!("cannot write {}: {error}", path.display()),
        "set UDASA_CACHE to a directory that you may write, with 3 GB free",
    )
}

/// Asks `df`; no answer is no reason to refuse.
fn disk_of(dir: &Path) -> Option<Disk> {
    let existing = dir.ancestors().find(|dir| dir.exists())?;
    let output = Command::new("df").arg("-Pk").arg(existing).output().ok()?;
    parse_df(&String::from_utf8_lossy(&output.stdout))
}

/// The last line of `df -Pk`: filesystem, blocks, used, available, capacity, mount point. Names may hold spaces,
/// so the columns are counted from the one that ends in `%`.
fn parse_df(text: &str) -> Option<Disk> {
    let line = text.lines().rfind(|line| !line.trim().is_empty())?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let capacity =
        words.iter().position(|word| word.strip_suffix('%').is_some_and(|number| number.parse::<u32>().is_ok()))?;
    let available: u64 = words.get(capacity.checked_sub(1)?)?.parse().ok()?;
    Some(Disk { mount: words[capacity + 1..].join(" "), free_mb: available / 1024 })
}

fn gigabytes(megabytes: u64) -> String {
    format!("{}.{} GB", megabytes / 1000, megabytes % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_free_space_is_read_from_the_posix_format() {
        let text = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n\
                    /dev/vda         264212084 25131352  70154536      27% /\n";
        let disk = Disk { mount: "/".into(), free_mb: 68510 };
        assert_eq!(parse_df(text), Some(disk));
    }

    #[test]
    fn names_with_spaces_do_not_shift_the_columns() {
        let disk = parse_df("head\n//server/my share 100000 50000 51200 50% /mnt/my share\n").expect("read");
        assert_eq!((disk.mount.as_str(), disk.free_mb), ("/mnt/my share", 50));
    }

    #[test]
    fn what_is_not_understood_is_no_answer() {
        assert_eq!(parse_df(""), None);
        assert_eq!(parse_df("Filesystem 1024-blocks Used Available Capacity Mounted on"), None);
        assert_eq!(parse_df("none - - - - /proc"), None);
        assert_eq!(parse_df("50% /"), None);
    }

    #[test]
    fn megabytes_are_shown_as_gigabytes() {
        assert_eq!(gigabytes(2500), "2.5 GB");
        assert_eq!(gigabytes(48), "0.0 GB");
    }
}
