//! The explain room: one pair, or one prompt that made none, in plain text.
//!
//! In: a run folder and a pair's or prompt's id. Out: its prompt, all responses with their uncertainties, scores and notes,
//! which were chosen and rejected, the stages and why. Reads what the other rooms wrote; writes and computes nothing.

mod lookup;
mod print;

use std::path::Path;

use anyhow::Result;

use crate::error::UserError;
use crate::report::evidence;
use crate::report::read::RunFiles;

/// Explains a pair (`<prompt id>-<chosen>-<rejected>`), or all that became of a prompt (its id).
pub fn explain(run: &Path, pair: &str) -> Result<String> {
    if !run.is_dir() {
        return Err(UserError::new(format!("there is no run folder {}", run.display()))
            .hint("name a folder that `udasa run` wrote, such as runs/mini")
            .into());
    }
    let files = RunFiles::read(run);
    let is_own = files.pairs.iter().flatten().any(|own| own.id == pair);
    // A pair of responses that were sampled anew before a stage is explained by what lies in that stage's folder.
    for (folder, files) in if is_own { Vec::new() } else { files.resampled(run) } {
        if files.pairs.iter().flatten().any(|own| own.id == pair) {
            return explained(&folder, &files, pair);
        }
    }
    explained(run, &files, pair)
}

fn explained(run: &Path, files: &RunFiles, pair: &str) -> Result<String> {
    let subject = lookup::find(run, files, pair)?;
    let wanted = [subject.prompt_id.clone()].into();
    let evidence = evidence::collect(run, &wanted);
    Ok(print::print(&subject, files, &evidence))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::records::{Drop, Pair};
    use crate::report::read::lines;
    use crate::report::synthetic;

    #[test]
    fn a_pair_is_explained_with_its_responses_scores_and_stage() {
        let run = synthetic::run_folder("explain-pair");
        let pair = lines::<Pair>(&run, "pairs.jsonl", "").unwrap().remove(3);
        let text = explain(&run, &pair.id).unwrap();
        assert!(text.starts_with(&format!("pair {}\n", pair.id)), "{text}");
        assert_eq!(text.matches("chosen  ").count(), 1, "{text}");
        assert_eq!(text.matches("rejected  ").count(), 1, "{text}");
        for part in ["prompt", "semantic", "factual", "value", "p-true", "stage", "in third"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(text.matches("\n  no. ").count(), 8, "{text}");
    }

    #[test]
    fn a_prompt_that_made_no_pair_says_why() {
        let run = synthetic::run_folder("explain-drop");
        let drop = lines::<Drop>(&run, "drops.jsonl", "").unwrap().remove(0);
        let text = explain(&run, &drop.prompt_id).unwrap();
        assert!(text.contains("no pair"), "{text}");
        assert!(text.contains(&drop.reason) && text.contains(&drop.detail), "{text}");
    }

    #[test]
    fn a_prompt_with_a_pair_is_explained_by_that_pair() {
        let run = synthetic::run_folder("explain-prompt");
        let pair = lines::<Pair>(&run, "pairs.jsonl", "").unwrap().remove(0);
        assert!(explain(&run, &pair.prompt_id).unwrap().contains(&pair.id));
    }

    #[test]
    fn an_unknown_id_suggests_the_nearest_one() {
        let run = synthetic::run_folder("explain-typo");
        let pair = lines::<Pair>(&run, "pairs.jsonl", "").unwrap().remove(0);
        let mut typo = pair.id.clone();
        typo.replace_range(3..4, "z");
        let error = explain(&run, &typo).unwrap_err();
        let error = error.downcast_ref::<UserError>().unwrap();
        assert!(error.hint.as_ref().unwrap().contains(&pair.id), "{error:?}");
    }

    #[test]
    fn hostile_responses_reach_no_terminal() {
        let run = synthetic::run_folder("explain-hostile");
        let pairs = lines::<Pair>(&run, "pairs.jsonl", "").unwrap();
        let all: String = pairs.iter().take(12).map(|p| explain(&run, &p.id).unwrap()).collect();
        assert!(all.contains("onerror"), "a hostile response is shown");
        assert!(!all.contains('\u{1b}') && !all.contains('\u{202e}'));
    }

    #[test]
    fn a_run_without_pairs_says_what_has_not_run() {
        let run = synthetic::empty_folder("explain-empty");
        let error = explain(&run, "x").unwrap_err();
        assert!(error.to_string().contains("pairing has not run"), "{error}");
    }
}
