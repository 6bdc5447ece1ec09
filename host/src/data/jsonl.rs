//! Record files: whole ones are written beside and renamed, growing ones are appended to by whole lines.
//!
//! A killed run leaves at worst a torn last line, which the next opening cuts off.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::UserError;

/// All records of a file.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    parse(path, &text)
}

/// All whole lines of a file that another process may be writing; none where it is not there.
pub fn read_whole_lines<T: DeserializeOwned>(path: &Path) -> Result<Option<Vec<T>>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |n| n + 1);
    parse(path, &String::from_utf8_lossy(&bytes[..whole])).map(Some)
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<Vec<T>> {
    text.lines()
        .enumerate()
        .map(|(n, line)| {
            serde_json::from_str(line).map_err(|error| {
                UserError::new(format!("{}:{}: not a record of this version: {error}", path.display(), n + 1))
                    .hint("the file was changed by hand or by another version; delete it, and it is made anew")
                    .into()
            })
        })
        .collect()
}

/// Writes a whole file: either all of it is there afterwards, or what was there before.
pub fn write<T: Serialize>(path: &Path, records: &[T]) -> Result<()> {
    replace(path, |file| {
        for record in records {
            serde_json::to_writer(&mut *file, record)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    })
}

/// Writes one JSON document, likewise.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    replace(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        file.write_all(b"\n")?;
        Ok(())
    })
}

/// Writes bytes that are ready, likewise.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |file| Ok(file.write_all(bytes)?))
}

fn replace(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let write = || -> Result<()> {
        let mut file = BufWriter::new(File::create(&partial)?);
        fill(&mut file)?;
        file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        std::fs::rename(&partial, path)?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// A file that grows by whole lines.
pub struct Appender<T> {
    path: PathBuf,
    file: File,
    record: PhantomData<fn(T)>,
}

impl<T: Serialize + DeserializeOwned> Appender<T> {
    /// Opens or creates the file, and gives the records that are already there. A torn last line is cut off.
    pub fn open(path: &Path) -> Result<(Vec<T>, Self)> {
        let doing = || format!("opening {}", path.display());
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(doing),
        };
        let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |n| n + 1);
        let records = parse(path, &String::from_utf8_lossy(&bytes[..whole]))?;
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path).with_context(doing)?;
        file.set_len(whole as u64).with_context(doing)?;
        file.seek(SeekFrom::End(0)).with_context(doing)?;
        let appender = Self { path: path.to_owned(), file, record: PhantomData };
        Ok((records, appender))
    }

    /// Adds records with one write.
    pub fn append<'a>(&mut self, records: impl IntoIterator<Item = &'a T>) -> Result<()>
    where
        T: 'a,
    {
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record)?;
            lines.push(b'\n');
        }
        self.file.write_all(&lines).with_context(|| format!("writing {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::test_folder::TestFolder;

    #[test]
    fn a_torn_last_line_is_cut_and_written_again() -> Result<()> {
        let folder = TestFolder::new()?;
        let path = folder.write("a.jsonl", b"1\n2\n3")?;
        let (records, mut file) = Appender::<u32>::open(&path)?;
        assert_eq!(records, [1, 2]);
        file.append(&[30, 4])?;
        assert_eq!(std::fs::read_to_string(&path)?, "1\n2\n30\n4\n");
        Ok(())
    }

    #[test]
    fn a_torn_character_is_no_obstacle() -> Result<()> {
        let folder = TestFolder::new()?;
        let path = folder.write("a.jsonl", b"\"a\"\n\"\xc3")?;
        assert_eq!(Appender::<String>::open(&path)?.0, ["a"]);
        Ok(())
    }

    #[test]
    fn a_broken_line_in_the_middle_is_named() -> Result<()> {
        let folder = TestFolder::new()?;
        let path = folder.write("a.jsonl", b"1\nx\n3\n")?;
        let error = Appender::<u32>::open(&path).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("a.jsonl:2: not a record")));
        Ok(())
    }

    #[test]
    fn a_whole_file_leaves_no_partial_one() -> Result<()> {
        let folder = TestFolder::new()?;
        let path = folder.path().join("a.jsonl");
        write(&path, &[1, 2])?;
        write::<u32>(&path, &[])?;
        assert_eq!(read::<u32>(&path)?, [] as [u32; 0]);
        assert_eq!(std::fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }
}
