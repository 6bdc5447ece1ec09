//! `udasa verify RUN`: are the run's files what its rooms left, and its input files what it was made of? Reads and hashes; changes nothing.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::digests::Digests;
use super::folder::Records;
use super::room::Room;
use crate::error::UserError;

/// A line for each file that is as recorded; an error that names all others.
pub fn verify(run: &Path) -> Result<String> {
    let records = Records::read(run)?;
    let mut files: Vec<(String, String, String)> = Vec::new();
    let mut unfinished = String::new();
    for room in Room::ALL {
        let Some(record) = records.get(room) else { continue };
        if !record.complete {
            // Writing to a String cannot fail.
            let _ = writeln!(unfinished, "  {:<10}did not come to its end, and is not compared", room.name());
            continue;
        }
        for (name, sha256) in &record.digests {
            files.push((room.name().to_owned(), name.clone(), sha256.clone()));
        }
    }
    if files.is_empty() {
        return Err(UserError::new(format!("{} holds no room that came to its end", run.display()))
            .hint("name a folder that `udasa run` wrote, such as runs/mini")
            .into());
    }
    files.extend(inputs(run)?.into_iter().map(|(path, sha256)| ("input".to_owned(), path, sha256)));
    let mut digests = Digests::default();
    let (mut same, mut wrong) = (String::new(), Vec::new());
    for (of, name, recorded) in &files {
        // An input's path is absolute, and replaces the run's.
        let path = run.join(name);
        if !path.exists() {
            wrong.push(format!("{of} {name}: is not there"));
            continue;
        }
        let now = digests.of(&path)?;
        if now == *recorded {
            let _ = writeln!(same, "  {of:<10}{name}  sha256 {}", &now[..12]);
        } else {
            wrong.push(format!("{of} {name}: sha256 {now}, recorded {recorded}"));
        }
    }
    if wrong.is_empty() {
        return Ok(format!("{} files are as recorded\n{same}{unfinished}", files.len()));
    }
    Err(UserError::new(format!(
        "{} of {} files of {} are not as recorded\n  {}",
        wrong.len(),
        files.len(),
        run.display(),
        wrong.join("\n  ")
    ))
    .hint("`udasa run CONFIG --from ROOM` makes a room's files and the later ones anew")
    .into())
}

/// The input files that `run.toml` records, with their digests.
fn inputs(run: &Path) -> Result<Vec<(String, String)>> {
    let path = run.join("run.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let record: toml::Table = toml::from_str(&text).map_err(|error| {
        UserError::new(format!("{} cannot be read: {error}", path.display()))
            .hint("it was changed by hand; `udasa run CONFIG` writes it anew")
    })?;
    let inputs = record.get("inputs").and_then(toml::Value::as_table);
    Ok(inputs.into_iter().flatten().filter_map(|(path, sha)| Some((path.clone(), sha.as_str()?.to_owned()))).collect())
}
