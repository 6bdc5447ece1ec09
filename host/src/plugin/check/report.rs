//! What was found, a line per check, for people or as JSON.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::UserError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    Failed,
    Skipped,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Line {
    check: &'static str,
    status: Status,
    detail: String,
}

/// The checks of one file.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    file: PathBuf,
    /// The plugin's name, where it could say it.
    pub name: Option<String>,
    checks: Vec<Line>,
}

impl Report {
    pub fn of(file: &Path) -> Self {
        Self { file: file.to_owned(), name: None, checks: Vec::new() }
    }

    pub fn ok(&mut self, check: &'static str, detail: String) {
        self.checks.push(Line { check, status: Status::Ok, detail });
    }

    pub fn failed(&mut self, check: &'static str, detail: String) {
        self.checks.push(Line { check, status: Status::Failed, detail });
    }

    pub fn skipped(&mut self, check: &'static str, detail: String) {
        self.checks.push(Line { check, status: Status::Skipped, detail });
    }

    /// Those of `checks` that have no line yet.
    pub fn skip_rest(&mut self, checks: &[&'static str], why: &str) {
        for &check in checks {
            if self.status(check).is_none() {
                self.skipped(check, why.to_owned());
            }
        }
    }

    pub fn status(&self, check: &str) -> Option<Status> {
        self.checks.iter().find(|line| line.check == check).map(|line| line.status)
    }

    fn failures(&self) -> usize {
        self.checks.iter().filter(|line| line.status == Status::Failed).count()
    }
}

pub(super) fn print(reports: &[Report], json: bool) -> anyhow::Result<()> {
    if json {
        crate::plugin::print(&format!("{:#}\n", serde_json::to_value(reports)?))
    } else {
        crate::plugin::print(&text(reports))
    }
}

/// The error that makes the exit code, where a check failed.
pub(super) fn refusal(reports: &[Report]) -> Option<UserError> {
    let failed: Vec<&Report> = reports.iter().filter(|report| report.failures() > 0).collect();
    let message = match failed.as_slice() {
        [] => return None,
        [one] => format!("{} failed {}", one.file.display(), checks(one.failures())),
        many => format!("{} of {} plugins failed checks", many.len(), reports.len()),
    };
    Some(UserError::new(message).hint("the lines marked FAILED say what and why; docs/write-a-plugin.md has the rules"))
}

fn checks(n: usize) -> String {
    if n == 1 { "1 check".to_owned() } else { format!("{n} checks") }
}

fn text(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        text.push_str(&format!("{}\n", report.file.display()));
        for Line { check, status, detail } in &report.checks {
            let status = match status {
                Status::Ok => "ok",
                Status::Failed => "FAILED",
                Status::Skipped => "skipped",
            };
            text.push_str(&format!("  {check:9} {status:8} {}\n", detail.replace('\n', "\n                     ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_a_line_and_a_failure_makes_the_error() {
        let mut report = Report::of(Path::new("a.wasm"));
        report.ok("contract", "fine".to_owned());
        assert!(refusal(&[report]).is_none());
        let mut report = Report::of(Path::new("a.wasm"));
        report.failed("contract", "no".to_owned());
        report.skip_rest(&["contract", "imports"], "because");
        assert_eq!(text(&[report]), "a.wasm\n  contract  FAILED   no\n  imports   skipped  because\n");
        let mut report = Report::of(Path::new("a.wasm"));
        report.failed("contract", "no".to_owned());
        assert_eq!(refusal(&[report]).expect("failed").message, "a.wasm failed 1 check");
    }
}
