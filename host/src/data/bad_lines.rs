//! Collects lines that cannot be read, so that a user sees all of them at once and not one per attempt.

use std::fmt::Write as _;
use std::path::Path;

use crate::error::UserError;

/// How many are shown.
pub(super) const SHOWN: usize = 20;

/// How much of a bad line is shown, characters.
const START: usize = 60;

/// Lines that cannot be read.
#[derive(Debug, Default)]
pub(super) struct BadLines {
    shown: Vec<String>,
    count: usize,
}

impl BadLines {
    /// `line` (from 1) of `path`, which begins with `start`, cannot be read for `reason`.
    pub fn push(&mut self, path: &Path, line: usize, reason: &str, start: &str) {
        self.count += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(format!("{}:{line}: {reason}: `{}`", path.display(), beginning(start)));
        }
    }

    /// An error that lists them, if there are any.
    pub fn check(self, hint: &str) -> Result<(), UserError> {
        let mut message = match self.shown.as_slice() {
            [] => return Ok(()),
            [only] => only.clone(),
            _ => format!("{} lines cannot be read\n  {}", self.count, self.shown.join("\n  ")),
        };
        if self.count > self.shown.len() {
            // Writing to a String cannot fail.
            let _ = write!(message, "\n  … and {} more", self.count - self.shown.len());
        }
        Err(UserError::new(message).hint(hint))
    }
}

/// The start of a line, safe to print: a data file must not be able to steer a terminal.
fn beginning(line: &str) -> String {
    let mut start: String = line
        .chars()
        .take(START)
        .flat_map(|c| {
            let escaped = c.is_control();
            c.escape_default().filter(move |_| escaped).chain((!escaped).then_some(c))
        })
        .collect();
    if line.chars().nth(START).is_some() {
        start.push('…');
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bad_line_is_no_error() {
        assert!(BadLines::default().check("cure").is_ok());
    }

    #[test]
    fn twenty_are_listed_and_the_rest_counted() {
        let mut bad = BadLines::default();
        for line in 1..=25 {
            bad.push(Path::new("a.jsonl"), line, "not JSON", "x");
        }
        let message = bad.check("cure").expect_err("there are bad lines").message;
        assert!(message.starts_with("25 lines cannot be read\n  a.jsonl:1: not JSON: `x`\n"));
        assert!(message.contains("a.jsonl:20:") && !message.contains("a.jsonl:21:"));
        assert!(message.ends_with("… and 5 more"), "{message}");
    }

    #[test]
    fn control_characters_are_escaped_and_long_lines_cut() {
        assert_eq!(beginning("a\u{1b}[31mé"), "a\\u{1b}[31mé");
        assert_eq!(beginning(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
    }
}
