//! One thing wrong with a config: where, what, and what would be right. Problems are collected, never thrown one by one.

use std::fmt;
use std::path::Path;

use crate::error::UserError;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This line of the file, from 1.
    Line(usize),
    /// This `--set`.
    Set(String),
}

/// One thing wrong with a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, as `--set` would take it: `train.beta`, `scorer.0.weight`. Empty for the file as a whole.
    pub path: String,
    /// Where it was written; none where it was left out.
    pub origin: Option<Origin>,
    /// The value, the reason and the allowed range, without the path.
    pub message: String,
    /// The cure, where one is known.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem at a path, its origin not yet looked up.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), origin: None, message: message.into(), hint: None }
    }

    /// Adds the cure.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(Origin::Line(line)) => write!(out, "line {line}: ")?,
            Some(Origin::Set(set)) => write!(out, "--set {set}: ")?,
            None => {}
        }
        if !self.path.is_empty() {
            write!(out, "{} ", self.path)?;
        }
        out.write_str(&self.message)
    }
}

/// All problems of one config as one error; a single problem's hint is the error's.
pub fn as_error(file: &Path, problems: &[Problem]) -> UserError {
    let file = file.display();
    let general = if problems.iter().all(|problem| problem.path.is_empty()) {
        "in TOML, text stands in quotes, sections in [brackets], and every key = value on a line of its own"
    } else {
        "`udasa config-reference` prints every key with its range and default"
    };
    match problems {
        [only] => {
            let hint = only.hint.as_deref().unwrap_or(general);
            UserError::new(format!("{file}: {only}")).hint(hint)
        }
        _ => {
            let mut message = format!("{file} has {} problems", problems.len());
            for problem in problems {
                message += &format!("\n  {problem}");
                if let Some(hint) = &problem.hint {
                    message += &format!("\n    {hint}");
                }
            }
            UserError::new(message).hint(general)
        }
    }
}
