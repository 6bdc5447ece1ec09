//! `cargo xtask demo`: the main job on the mini world, and where its report is.

use crate::error::HostFailed;
use crate::places::Places;
use crate::setup::Ready;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::SystemTime;

pub fn run(places: &Places, ready: &Ready, extra: &[String]) -> Result<ExitCode> {
    eprintln!(
        "demo: pre-training, aligning and measuring the mini world (about 4 minutes on two cores the first time)"
    );
    let status = Command::new(&ready.host)
        .current_dir(&places.repository)
        .args(["run", "configs/mini.toml", "--plugins"])
        .arg(&places.plugins)
        .args(extra)
        .status()
        .with_context(|| format!("starting {}", ready.host.display()))?;
    if !status.success() {
        let code = status.code();
        return Err(HostFailed { code }.into());
    }
    match newest_report(&places.repository.join(out(extra))) {
        Some(report) => eprintln!("demo: done; open the report in a browser: {}", report.display()),
        None => eprintln!("demo: done; no report was written"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder the run was written to, or the one that holds all runs.
fn out(extra: &[String]) -> PathBuf {
    let given = extra.iter().enumerate().find_map(|(i, word)| {
        if word == "--out" { extra.get(i + 1).cloned() } else { word.strip_prefix("--out=").map(str::to_owned) }
    });
    PathBuf::from(given.unwrap_or_else(|| "runs".into()))
}

/// The most recently written `report.html` in the folder or one below it.
fn newest_report(dir: &Path) -> Option<PathBuf> {
    let below = dir.read_dir().into_iter().flatten().flatten();
    std::iter::once(dir.to_path_buf())
        .chain(below.map(|entry| entry.path()))
        .map(|run| run.join("report.html"))
        .filter_map(|report| Some((written(&report)?, report)))
        .max()
        .map(|(_, report)| report)
}

fn written(file: &Path) -> Option<SystemTime> {
    file.metadata().ok()?.modified().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_report_is_looked_for_where_the_run_was_sent() {
        assert_eq!(out(&words("--set seed=2")), Path::new("runs"));
        assert_eq!(out(&words("--out /tmp/a")), Path::new("/tmp/a"));
        assert_eq!(out(&words("--seed 1 --out=b")), Path::new("b"));
    }

    #[test]
    fn the_newest_report_wins() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(newest_report(dir.path()), None);
        for (run, age) in [("old", 60), ("new", 0)] {
            let report = dir.path().join(run).join("report.html");
            std::fs::create_dir(dir.path().join(run)).expect("created");
            let file = std::fs::File::create(&report).expect("created");
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age)).expect("dated");
        }
        assert_eq!(newest_report(dir.path()), Some(dir.path().join("new/report.html")));
    }
}
