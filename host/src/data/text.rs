//! Bytes to text: encodings, lines, and the files of a folder.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::config::Encoding;
use crate::error::UserError;

/// The cure where the config has an `encoding` key.
pub(super) const SET_ENCODING: &str =
    "if the file is ISO 8859-1, set `encoding = \"latin-1\"` beside its path; else convert it to UTF-8";

/// The cure where only UTF-8 is read.
pub(super) const CONVERT: &str = "convert the file to UTF-8, for example with iconv";

/// Reads a whole file. A byte-order mark is dropped.
pub(super) fn read(path: &Path, encoding: Encoding, not_utf8: &str) -> Result<String, UserError> {
    if path.is_dir() {
        return Err(UserError::new(format!("{} is a folder, not a file", path.display())).hint("name the files in it"));
    }
    let bytes = std::fs::read(path).map_err(|error| cannot_read(path, &error))?;
    match encoding {
        // ISO 8859-1 is the first 256 code points of Unicode, byte for byte.
        Encoding::Latin1 => Ok(bytes.into_iter().map(char::from).collect()),
        Encoding::Utf8 => match String::from_utf8(bytes) {
            Ok(text) => Ok(match text.strip_prefix('\u{feff}') {
                Some(rest) => rest.to_owned(),
                None => text,
            }),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let bytes = error.as_bytes();
                let before = &bytes[..at];
                let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
                let start = before.iter().rposition(|&b| b == b'\n').map_or(0, |n| n + 1);
                let byte = bytes.get(at).copied().unwrap_or_default();
                Err(UserError::new(format!(
                    "{}:{line}: byte {} of the line, 0x{byte:02X}, is not UTF-8",
                    path.display(),
                    at - start + 1
                ))
                .hint(not_utf8))
            }
        },
    }
}

/// Why a file cannot be opened, in the user's terms.
pub(super) fn cannot_read(path: &Path, error: &std::io::Error) -> UserError {
    match error.kind() {
        ErrorKind::NotFound => {
            UserError::new(format!("{}: no such file", path.display())).hint("check the path in the config")
        }
        _ => UserError::new(format!("cannot read {}: {error}", path.display()))
            .hint("check that it is a file and that you may read it"),
    }
}

/// Lines with their numbers from 1. Only `\n` ends a line: a lone `\r`, a form feed or U+0085 is content, as in every
/// corpus that counts its lines with `wc`. One `\r` before the `\n` is stripped.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_terminator('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

/// The file itself, or every file below the folder in order of path; names that begin with a dot are left out.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, UserError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let entries = std::fs::read_dir(path).map_err(|error| cannot_read(path, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| cannot_read(path, &error))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            found.extend(files(&entry.path())?);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::test_folder::TestFolder;

    #[test]
    fn only_newlines_end_lines_and_one_carriage_return_goes() {
        let all: Vec<_> = lines("a\r\nb\r\r\n\u{85}c\u{c}\rd\n\ne").collect();
        assert_eq!(all, [(1, "a"), (2, "b\r"), (3, "\u{85}c\u{c}\rd"), (4, ""), (5, "e")]);
        assert_eq!(lines("").count(), 0);
    }

    #[test]
    fn a_byte_that_is_not_utf_8_is_named_with_line_and_place() -> anyhow::Result<()> {
        let folder = TestFolder::new()?;
        let path = folder.write("a.txt", b"fine\nna\xefve\n")?;
        let error = read(&path, Encoding::Utf8, SET_ENCODING).expect_err("not UTF-8");
        assert!(error.message.ends_with("a.txt:2: byte 3 of the line, 0xEF, is not UTF-8"), "{error}");
        assert!(error.hint.is_some_and(|hint| hint.contains("latin-1")));
        assert_eq!(read(&path, Encoding::Latin1, "")?, "fine\nnaïve\n");
        Ok(())
    }

    #[test]
    fn a_byte_order_mark_is_no_content() -> anyhow::Result<()> {
        let folder = TestFolder::new()?;
        let path = folder.write("a.txt", "\u{feff}x".as_bytes())?;
        assert_eq!(read(&path, Encoding::Utf8, "")?, "x");
        Ok(())
    }

    #[test]
    fn a_missing_file_and_a_folder_are_the_users_errors() -> anyhow::Result<()> {
        let folder = TestFolder::new()?;
        let missing = read(&folder.path().join("none"), Encoding::Utf8, "").expect_err("missing");
        assert!(missing.message.ends_with("none: no such file"));
        let is_folder = read(folder.path(), Encoding::Utf8, "").expect_err("a folder");
        assert!(is_folder.message.ends_with("is a folder, not a file"));
        Ok(())
    }

    #[test]
    fn files_of_a_folder_come_in_order_of_path() -> anyhow::Result<()> {
        let folder = TestFolder::new()?;
        for name in ["b", "a/z", ".hidden", "a/b"] {
            folder.write(name, b"")?;
        }
        let names: Vec<_> = files(folder.path())?
            .iter()
            .filter_map(|path| Some(path.strip_prefix(folder.path()).ok()?.to_path_buf()))
            .collect();
        assert_eq!(names, [Path::new("a/b"), Path::new("a/z"), Path::new("b")]);
        Ok(())
    }
}
