//! The report room: one self-contained `report.html` from whatever a run folder holds.
//!
//! In: the run folder's files (see [`read`]). Out: `report.html`, readable without a network: no scripts, no external fonts or
//! pictures, a policy in its head that forbids them. A section whose files are missing says why. Responses are hostile input:
//! the template escapes everything, and plots escape their own text. Nothing is computed here that training or staging uses.

pub mod evidence;
pub mod plot;
pub mod read;
pub mod statistics;
pub mod text;

mod page;
pub mod sections;
#[cfg(test)]
pub(crate) mod synthetic;

use std::path::Path;

use anyhow::{Context, Result};

use crate::error::UserError;

/// Writes `report.html` into the run folder.
pub fn write(run: &Path) -> Result<()> {
    if !run.is_dir() {
        return Err(UserError::new(format!("there is no run folder {}", run.display()))
            .hint("name a folder that `udasa run` wrote, such as runs/mini")
            .into());
    }
    let html = page::render(run)?;
    let target = run.join("report.html");
    // Renamed into place, so that a reader never sees half a page.
    let partial = run.join("report.html.partial");
    std::fs::write(&partial, html).with_context(|| format!("writing {}", partial.display()))?;
    std::fs::rename(&partial, &target).with_context(|| format!("writing {}", target.display()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn written(run: &Path) -> String {
        write(run).unwrap();
        std::fs::read_to_string(run.join("report.html")).unwrap()
    }

    #[test]
    fn a_full_run_gives_every_section_within_a_megabyte() {
        let run = synthetic::run_folder("report-full");
        let html = written(&run);
        for heading in [
            "Before and after",
            "Gates",
            "Refusals and garbled text",
            "Uncertainty",
            "Gaps and stages",
            "Training",
            "Pairs",
            "Example pairs",
            "Diagnostics",
            "Plugins",
            "Provenance",
        ] {
            assert!(html.contains(&format!("{heading}</h2>")), "{heading}");
        }
        assert!(!html.contains("class=\"absent\""), "nothing is missing");
        assert!(!html.contains("NaN"), "no coordinate is broken");
        assert!(html.len() < 1_000_000, "{} bytes", html.len());
    }

    #[test]
    fn the_page_loads_nothing_and_runs_nothing() {
        let html = written(&synthetic::run_folder("report-offline"));
        for forbidden in ["<script", "<link", "@import", "url(", "<iframe", " src=\""] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        assert!(html.contains("default-src 'none'"));
    }

    #[test]
    fn hostile_responses_are_shown_and_never_obeyed() {
        let html = written(&synthetic::run_folder("report-hostile"));
        assert!(html.contains("&lt;img src"), "the hostile response is among the examples");
        assert!(!html.contains("<img") && !html.contains("</script"), "and it is escaped");
        assert!(!html.contains('\u{1b}') && !html.contains('\u{202e}'));
    }

    #[test]
    fn an_empty_run_folder_gives_reasons_instead_of_an_error() {
        let html = written(&synthetic::empty_folder("report-empty"));
        assert!(html.contains("training has not run"));
        assert!(html.contains("evaluation has not run"));
        assert!(html.contains("scoring has not run"));
    }

    #[test]
    fn each_missing_file_leaves_the_other_sections_standing() {
        for file in synthetic::FILES {
            let run = synthetic::run_folder(&format!("report-without-{file}"));
            std::fs::remove_file(run.join(file)).unwrap();
            assert!(written(&run).contains("Provenance</h2>"), "{file}");
        }
    }

    #[test]
    fn a_broken_file_is_named_in_its_section() {
        let run = synthetic::run_folder("report-broken");
        std::fs::write(run.join("eval.json"), "{").unwrap();
        assert!(written(&run).contains("eval.json cannot be read"));
    }

    #[test]
    fn controls_are_recommended_unless_the_run_is_one() {
        let run = synthetic::run_folder("report-controls");
        assert!(written(&run).contains("--set stage.policy=unstaged"));
        let config = std::fs::read_to_string(run.join("run.toml")).unwrap();
        std::fs::write(run.join("run.toml"), config.replace("terciles", "unstaged")).unwrap();
        assert!(!written(&run).contains("--set stage.policy=unstaged"));
    }

    #[test]
    fn a_missing_run_folder_is_the_users_error() {
        let error = write(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(error.downcast_ref::<UserError>().unwrap().hint.is_some());
    }
}
