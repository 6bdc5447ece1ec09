//! CSV after RFC 4180: a header line, quoted cells, line ends inside of them.

use std::path::Path;

use super::bad_lines::BadLines;
use super::rows::{DEFAULT_GROUP, Row};
use crate::config::Data;
use crate::error::UserError;
use crate::records::PromptText;

/// Adds the rows of one file.
pub(super) fn read(
    path: &Path,
    text: &str,
    data: &Data,
    rows: &mut Vec<Row>,
    bad: &mut BadLines,
) -> Result<(), UserError> {
    if text.trim().is_empty() {
        return Ok(());
    }
    if let Some(line) = unclosed_quote(text) {
        return Err(UserError::new(format!("{}:{line}: a quoted cell begins here and never ends", path.display()))
            .hint("close it with \", and double every \" inside of it"));
    }
    // Lengths are checked here, not by the reader, so that all wrong lines are seen at once.
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let broken = |error: csv::Error| UserError::new(format!("{}: {error}", path.display())).hint("is it a CSV file?");
    let header = reader.headers().map_err(broken)?.clone();
    let prompt_column =
        column(&header, &data.field).ok_or_else(|| no_column(path, &header, "data.field", &data.field))?;
    let group_column = column(&header, &data.group_field);
    if group_column.is_none() && data.group_field != DEFAULT_GROUP {
        return Err(no_column(path, &header, "data.group_field", &data.group_field));
    }
    let mut lines = LineCounter::new(text);
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = lines.at(record.position().map_or(0, csv::Position::byte) as usize);
        let prompt = record.get(prompt_column).unwrap_or_default();
        let start = || record.iter().collect::<Vec<_>>().join(",");
        if record.len() != header.len() {
            let reason = format!("{} cells, the header has {}", record.len(), header.len());
            bad.push(path, line, &reason, &start());
        } else if prompt.trim().is_empty() {
            bad.push(path, line, &format!("`{}` is empty", data.field), &start());
        } else {
            let group = group_column
                .and_then(|column| record.get(column))
                .filter(|group| !group.trim().is_empty())
                .map(str::to_owned);
            rows.push(Row::new(path, line, PromptText::Text(prompt.to_owned()), group));
        }
    }
    Ok(())
}

fn column(header: &csv::StringRecord, name: &str) -> Option<usize> {
    header.iter().position(|cell| cell.trim() == name)
}

fn no_column(path: &Path, header: &csv::StringRecord, key: &str, name: &str) -> UserError {
    let columns: Vec<String> = header.iter().map(|cell| format!("`{cell}`")).collect();
    UserError::new(format!("{}: no column `{name}`", path.display()))
        .hint(format!("set `{key}` to one of {}", columns.join(", ")))
}

/// Line numbers of growing byte positions. The reader's own count runs one behind after `\r\n`, because it takes the
/// `\n` as the start of the next record.
struct LineCounter<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> LineCounter<'a> {
    fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0, line: 1 }
    }

    /// The line of the first cell at or behind `position`; empty lines before it are no part of the record.
    fn at(&mut self, position: usize) -> usize {
        while let Some(byte) = self.bytes.get(self.at) {
            if self.at >= position && !matches!(byte, b'\r' | b'\n') {
                break;
            }
            self.line += usize::from(*byte == b'\n');
            self.at += 1;
        }
        self.line
    }
}

/// The line of a quoted cell that the file's end leaves open. The reader would take all that follows it as its
/// content, without a word.
fn unclosed_quote(text: &str) -> Option<usize> {
    #[derive(PartialEq)]
    enum State {
        CellStart,
        Plain,
        Quoted,
        QuoteInQuoted,
    }
    let (mut state, mut line, mut opened) = (State::CellStart, 1, 1);
    for byte in text.bytes() {
        line += usize::from(byte == b'\n');
        state = match (state, byte) {
            (State::CellStart, b'"') => {
                opened = line;
                State::Quoted
            }
            (State::Quoted, b'"') => State::QuoteInQuoted,
            (State::QuoteInQuoted, b'"') | (State::Quoted, _) => State::Quoted,
            (_, b',' | b'\n' | b'\r') => State::CellStart,
            _ => State::Plain,
        };
    }
    (state == State::Quoted).then_some(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unclosed_quote_is_found_where_it_opens() {
        assert_eq!(unclosed_quote("a,b\n1,\"x\n\"\"y\n"), Some(2));
        assert_eq!(unclosed_quote("a\n\"x\"\"\ny\"\n"), None);
        assert_eq!(unclosed_quote("a\n5\" pipe\n"), None);
        assert_eq!(unclosed_quote(""), None);
    }
}
