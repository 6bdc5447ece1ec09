//! Plain texts for training a model or a classifier: no ids, no groups, duplicates kept as they are.

use std::path::Path;

use anyhow::Result;

use super::bad_lines::BadLines;
use super::hash::in_part;
use super::{fields, text};
use crate::config::{Encoding, Part};
use crate::error::UserError;

/// Texts in the order of the paths. A folder: every file below it is one text. A `.jsonl` file: the `text` field of
/// every line. Any other file: every line is one text. Blank texts are left out; `part` divides by content.
pub fn read_texts<P: AsRef<Path>>(paths: &[P], encoding: Encoding, part: Option<&Part>) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    let mut bad = BadLines::default();
    for path in paths {
        let path = path.as_ref();
        if path.is_dir() {
            for file in text::files(path)? {
                texts.push(text::read(&file, encoding, text::SET_ENCODING)?);
            }
            continue;
        }
        let content = text::read(path, encoding, text::SET_ENCODING)?;
        let is_jsonl = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("jsonl"));
        for (n, line) in text::lines(&content) {
            if line.trim().is_empty() {
                continue;
            }
            if !is_jsonl {
                texts.push(line.to_owned());
                continue;
            }
            match text_field(line) {
                Ok(text) => texts.push(text),
                Err(reason) => bad.push(path, n, &reason, line),
            }
        }
    }
    bad.check("JSONL texts are one object a line, such as {\"text\": \"…\"}")?;
    let all = texts.len();
    texts.retain(|text| !text.trim().is_empty() && part.is_none_or(|part| in_part(text, part)));
    if texts.is_empty() {
        let paths: Vec<String> = paths.iter().map(|path| path.as_ref().display().to_string()).collect();
        return Err(UserError::new(format!(
            "{}: no texts ({all} before `part` and blank ones were taken out)",
            paths.join(", ")
        ))
        .hint("name files or folders that hold text, or widen `part`")
        .into());
    }
    Ok(texts)
}

fn text_field(line: &str) -> Result<String, String> {
    let object = fields::object(line)?;
    match fields::find(&object, "text") {
        Some(serde_json::Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("`text` is {}, not a string", fields::kind(other))),
        None => Err(fields::missing(&object, "text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::test_folder::TestFolder;

    #[test]
    fn folders_give_files_and_files_give_lines() -> Result<()> {
        let folder = TestFolder::new()?;
        folder.write("whole/b", b"two\nlines\n")?;
        folder.write("whole/a", b"one")?;
        let lines = folder.write("x.pos", b"good \r\n\nbetter\n")?;
        let jsonl = folder.write("y.jsonl", b"{\"text\":\"a\\nb\"}\n")?;
        let texts = read_texts(&[folder.path().join("whole"), lines, jsonl], Encoding::Utf8, None)?;
        assert_eq!(texts, ["one", "two\nlines\n", "good ", "better", "a\nb"]);
        Ok(())
    }

    #[test]
    fn parts_of_texts_are_complements() -> Result<()> {
        let folder = TestFolder::new()?;
        let body: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let path = folder.write("a.txt", body.as_bytes())?;
        let part = |from, to| Part { from, to };
        let a = read_texts(&[&path], Encoding::Utf8, Some(&part(0.0, 0.5)))?;
        let b = read_texts(&[&path], Encoding::Utf8, Some(&part(0.5, 1.0)))?;
        assert_eq!(a.len() + b.len(), 100);
        assert!(a.iter().all(|text| !b.contains(text)));
        Ok(())
    }

    #[test]
    fn no_texts_and_bad_lines_are_errors() -> Result<()> {
        let folder = TestFolder::new()?;
        let empty = folder.write("a.txt", b"\n \n")?;
        assert!(read_texts(&[&empty], Encoding::Utf8, None).is_err());
        let bad = folder.write("b.jsonl", b"{\"txt\":\"a\"}\n{\"text\":1}\n")?;
        let error = read_texts(&[&bad], Encoding::Utf8, None).expect_err("bad lines");
        let message = error.to_string();
        assert!(message.contains("b.jsonl:1: no field `text` among `txt`"), "{message}");
        assert!(message.contains("b.jsonl:2: `text` is a number"), "{message}");
        Ok(())
    }
}
