//! Reads labelled texts: every line of a file, every file of a folder is one text.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::config::Encoding;
use crate::error::UserError;

/// The texts of all paths, in order; files of a folder by name. Blank ones are left out.
///
/// # Errors
/// A path that cannot be read, is not in the encoding, or holds no text.
pub fn read(paths: &[PathBuf], encoding: Encoding) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for path in paths {
        let before = texts.len();
        if path.is_dir() {
            for file in files(path)? {
                texts.push(text(&file, encoding)?);
            }
        } else {
            texts.extend(text(path, encoding)?.lines().map(str::to_owned));
        }
        texts.retain(|text| !text.trim().is_empty());
        if texts.len() == before {
            return Err(UserError::new(format!("{} holds no text", path.display()))
                .hint("a file has one text a line, a folder one text a file")
                .into());
        }
    }
    Ok(texts)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|cause| unreadable(folder, &cause))? {
        let path = entry.map_err(|cause| unreadable(folder, &cause))?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn text(path: &Path, encoding: Encoding) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|cause| unreadable(path, &cause))?;
    match encoding {
        // ISO 8859-1 is the first 256 code points.
        Encoding::Latin1 => Ok(bytes.into_iter().map(char::from).collect()),
        Encoding::Utf8 => String::from_utf8(bytes).map_err(|cause| {
            UserError::new(format!("{} is not UTF-8: {}", path.display(), cause.utf8_error()))
                .hint("set encoding = \"latin-1\" in [evaluate.classifier]")
                .into()
        }),
    }
}

fn unreadable(path: &Path, cause: &std::io::Error) -> anyhow::Error {
    UserError::new(format!("cannot read {}: {cause}", path.display()))
        .hint("evaluate.classifier names files (one text a line) or folders (one text a file)")
        .into()
}
