//! Rounds of questions: all samples are called, all their questions answered at once, until every sample is scored.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result, bail};
use rayon::prelude::*;

use super::ScorerSummary;
use super::panel::Panel;
use super::scorer::{ScorerUse, Step};
use crate::config::OnFault;
use crate::data::jsonl;
use crate::error::UserError;
use crate::progress::Progress;
use crate::records::{Answer, Question, Sample, SampleScores};
use crate::usage::Ledger;

/// Samples scored between two writes to `scores.jsonl`.
const CHUNK: usize = 256;

/// No scorer asks this often; the config's limit, which the sandbox keeps, lies below.
pub(super) const MAX_ROUNDS: usize = 1001;

/// A sample on its way through the rounds.
struct Asking {
    sample: usize,
    rounds: Vec<Vec<Answer>>,
}

/// Scores of every scorer on every sample, in the order of scorers and then of samples. Lines that an earlier run left
/// are kept where the scorer's key is the same. On a fault under `stop`, everything scored before it is on disk.
pub(super) fn score_all(
    samples: &[Sample],
    scorers: &[ScorerUse<'_>],
    panel: &mut Panel<'_, '_>,
    path: &Path,
    usage: &Path,
) -> Result<(Vec<SampleScores>, Vec<ScorerSummary>)> {
    let keys_path = path.with_extension("keys.json");
    let mut kept = keep(samples, scorers, path, &keys_path)?;
    // From here on the file holds lines of these keys only.
    jsonl::write(path, &in_order(samples, scorers, &kept))?;
    let keys: BTreeMap<&str, &str> = scorers.iter().map(|used| (used.scorer.name(), used.key.as_str())).collect();
    jsonl::write_json(&keys_path, &keys)?;
    let (_, mut file) = jsonl::Appender::<SampleScores>::open(path)?;
    // What earlier processes used belongs to the lines that are kept of them.
    let has_lines = |used: &&ScorerUse<'_>| kept.keys().any(|(name, _)| name == used.scorer.name());
    let goes_on: Vec<(&str, &str)> =
        scorers.iter().filter(has_lines).map(|used| (used.scorer.name(), used.key.as_str())).collect();
    let order: Vec<&str> = scorers.iter().map(|used| used.scorer.name()).collect();
    let mut ledger = Ledger::open(usage, &goes_on, &order);
    let mut summaries = Vec::new();
    for used in scorers {
        let name = used.scorer.name();
        let is_kept = |sample: &Sample| kept.contains_key(&(name.to_owned(), sample.id.clone()));
        let pending: Vec<usize> = (0..samples.len()).filter(|&i| !is_kept(&samples[i])).collect();
        let mut summary = ScorerSummary {
            name: name.to_owned(),
            dimension: used.scorer.dimension(),
            scored: 0,
            faults: 0,
            kept: samples.len() - pending.len(),
            questions: 0,
            asked_model: 0,
        };
        let scores = one_scorer(samples, pending, used, panel, &mut file, &mut summary, &mut ledger)?;
        kept.extend(scores.into_iter().map(|line| ((line.scorer.clone(), line.id.clone()), line)));
        for sample in samples {
            match kept.get(&(name.to_owned(), sample.id.clone())) {
                Some(line) if line.fault.is_none() => summary.scored += 1,
                Some(_) => summary.faults += 1,
                None => {}
            }
        }
        summaries.push(summary);
    }
    ledger.close()?;
    let scores = in_order(samples, scorers, &kept);
    // Samples with more rounds finished later; the finished file is in order, so that equal runs give equal bytes.
    jsonl::write(path, &scores)?;
    Ok((scores, summaries))
}

type Scored = HashMap<(String, String), SampleScores>;

/// What an earlier run left and this one can use.
fn keep(samples: &[Sample], scorers: &[ScorerUse<'_>], path: &Path, keys_path: &Path) -> Result<Scored> {
    if !path.exists() || !keys_path.exists() {
        return Ok(Scored::new());
    }
    let keys: BTreeMap<String, String> = serde_json::from_str(&std::fs::read_to_string(keys_path)?).unwrap_or_default();
    let uses: HashMap<&str, &ScorerUse<'_>> = scorers
        .iter()
        .filter(|used| keys.get(used.scorer.name()) == Some(&used.key))
        .map(|used| (used.scorer.name(), used))
        .collect();
    let counts: HashMap<&str, usize> =
        samples.iter().map(|sample| (sample.id.as_str(), sample.responses.len())).collect();
    let (lines, _) = jsonl::Appender::<SampleScores>::open(path)?;
    let usable = |line: &SampleScores| {
        let Some(used) = uses.get(line.scorer.as_str()) else {
            return false;
        };
        match &line.fault {
            None => counts.get(line.id.as_str()) == Some(&line.scores.len()),
            // A fault is tried again where it would stop the run.
            Some(_) => used.on_fault == OnFault::Skip && counts.contains_key(line.id.as_str()),
        }
    };
    Ok(lines.into_iter().filter(usable).map(|line| ((line.scorer.clone(), line.id.clone()), line)).collect())
}

fn in_order(samples: &[Sample], scorers: &[ScorerUse<'_>], all: &Scored) -> Vec<SampleScores> {
    let mut lines = Vec::with_capacity(all.len());
    for used in scorers {
        for sample in samples {
            lines.extend(all.get(&(used.scorer.name().to_owned(), sample.id.clone())).cloned());
        }
    }
    lines
}

/// One scorer over the pending samples; every finished line is appended as soon as it is known.
fn one_scorer(
    samples: &[Sample],
    pending: Vec<usize>,
    used: &ScorerUse<'_>,
    panel: &mut Panel<'_, '_>,
    file: &mut jsonl::Appender<SampleScores>,
    summary: &mut ScorerSummary,
    ledger: &mut Ledger,
) -> Result<Vec<SampleScores>> {
    let name = used.scorer.name();
    let mut done = Vec::new();
    if pending.is_empty() {
        return Ok(done);
    }
    let mut faults = 0;
    let mut active: Vec<Asking> = pending.into_iter().map(|sample| Asking { sample, rounds: Vec::new() }).collect();
    for _ in 0..MAX_ROUNDS {
        // One bar a round: the questions of a round have their own.
        let progress = Progress::start("score", active.len() as u64, "samples");
        progress.note(name.to_owned());
        let mut asking: Vec<(Asking, usize)> = Vec::new();
        let mut questions: Vec<Question> = Vec::new();
        let mut fault: Option<UserError> = None;
        let mut waiting = std::mem::take(&mut active).into_iter();
        loop {
            let chunk: Vec<Asking> = waiting.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            let steps: Vec<_> =
                chunk.par_iter().map(|one| used.scorer.score(&samples[one.sample], &one.rounds)).collect();
            progress.advance(chunk.len() as u64);
            let mut lines = Vec::new();
            for (one, step) in chunk.into_iter().zip(steps) {
                let id = &samples[one.sample].id;
                let line = |scores, fault| SampleScores { id: id.clone(), scorer: name.to_owned(), scores, fault };
                match step {
                    Ok(Step::Ask(asked)) => {
                        asking.push((one, asked.len()));
                        questions.extend(asked);
                    }
                    Ok(Step::Done(scores)) => lines.push(line(scores, None)),
                    Err(error) => {
                        faults += 1;
                        match used.on_fault {
                            OnFault::Skip => lines.push(line(Vec::new(), Some(error.message))),
                            OnFault::Stop => fault = fault.or(Some(error)),
                        }
                    }
                }
            }
            file.append(&lines)?;
            done.extend(lines);
            account(used, summary, faults, ledger)?;
            if fault.is_some() {
                break;
            }
        }
        if let Some(fault) = fault {
            return Err(fault.into());
        }
        if asking.is_empty() {
            progress.finish(&format!("{name}: {} samples", done.len()));
            return Ok(done);
        }
        progress.finish(&format!("{name} asks {} questions", questions.len()));
        let (answers, asked_model) =
            panel.answer(&questions).with_context(|| format!("answering the questions of scorer `{name}`"))?;
        summary.questions += questions.len();
        summary.asked_model += asked_model;
        account(used, summary, faults, ledger)?;
        let mut answers = answers.into_iter();
        active = asking
            .into_iter()
            .map(|(mut one, n)| {
                one.rounds.push(answers.by_ref().take(n).collect());
                one
            })
            .collect();
    }
    bail!("scorer `{name}` asked in more than {MAX_ROUNDS} rounds")
}

/// Writes what the scorer has used so far, where somebody counts.
fn account(used: &ScorerUse<'_>, summary: &ScorerSummary, faults: u64, ledger: &mut Ledger) -> Result<()> {
    let Some(mut entry) = used.scorer.usage() else {
        return Ok(());
    };
    entry.key = used.key.clone();
    entry.used.faults = faults;
    entry.used.questions = summary.questions as u64;
    entry.used.asked_model = summary.asked_model as u64;
    ledger.record(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::test_folder::TestFolder;
    use crate::score::test_scorers::{Echo, Fixed, LENGTHS, sample, used};
    use crate::score::{Answerer, Answerers};

    /// Runs the rounds; gives the file's bytes too.
    fn score(
        folder: &TestFolder,
        samples: &[Sample],
        scorers: &[ScorerUse<'_>],
    ) -> (Result<Vec<ScorerSummary>>, String) {
        let make = |_| -> Result<Box<dyn Answerer>> { Ok(Box::new(Echo)) };
        let path = folder.path().join("scores.jsonl");
        let answerers = Answerers::one("echo");
        let result = Panel::open(&folder.path().join("answers"), &answerers, &make)
            .and_then(|mut panel| score_all(samples, scorers, &mut panel, &path, &folder.path().join("usage.json")))
            .map(|(_, summaries)| summaries);
        (result, std::fs::read_to_string(path).unwrap_or_default())
    }

    fn samples() -> Vec<Sample> {
        vec![sample("a", &["x", "yy"]), sample("b", &["fault", "z"]), sample("c", &["x", "w"])]
    }

    #[test]
    fn answers_come_back_to_the_sample_that_asked_in_its_order() -> Result<()> {
        let folder = TestFolder::new()?;
        let scorer = LENGTHS.rounds(2);
        let samples = [sample("a", &["x", "yy"]), sample("b", &["zzz"]), sample("c", &[])];
        let (summary, text) = score(&folder, &samples, &[used(&scorer)]);
        let summary = &summary?[0];
        // Two rounds over three responses; the answerer sees each question once.
        assert_eq!((summary.questions, summary.asked_model, summary.scored), (6, 3, 3));
        let lines: Vec<SampleScores> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let us: Vec<Vec<f64>> =
            lines.iter().map(|line| line.scores.iter().map(|score| score.uncertainty).collect()).collect();
        assert_eq!(us, [vec![0.01, 0.02], vec![0.03], vec![]]);
        Ok(())
    }

    #[test]
    fn a_fault_that_stops_leaves_the_other_samples_on_disk_and_a_rerun_goes_on() -> Result<()> {
        let folder = TestFolder::new()?;
        let scorer = LENGTHS.rounds(0);
        let (stopped, text) = score(&folder, &samples(), &[used(&scorer)]);
        let error = stopped.expect_err("a fault").downcast::<UserError>()?;
        assert!(error.message.contains("`b`") && error.hint.is_some());
        assert_eq!(text.lines().count(), 2);
        let mut corrected = samples();
        corrected[1].responses[0].text = "fine".into();
        let (resumed, text) = score(&folder, &corrected, &[used(&scorer)]);
        assert_eq!(resumed?[0].kept, 2);
        let unbroken = TestFolder::new()?;
        assert_eq!(text, score(&unbroken, &corrected, &[used(&scorer)]).1);
        Ok(())
    }

    #[test]
    fn a_skipped_fault_is_recorded_with_its_reason() -> Result<()> {
        let folder = TestFolder::new()?;
        let skip = || ScorerUse { on_fault: OnFault::Skip, ..used(&LENGTHS) };
        let (summary, text) = score(&folder, &samples(), &[skip()]);
        let summary = &summary?[0];
        assert_eq!((summary.scored, summary.faults), (2, 1));
        assert!(text.lines().nth(1).is_some_and(|line| line.contains("\"fault\":")), "{text}");
        assert_eq!(score(&folder, &samples(), &[skip()]).0?[0].kept, 3);
        assert!(score(&folder, &samples(), &[used(&LENGTHS)]).0.is_err());
        Ok(())
    }

    #[test]
    fn a_changed_key_scores_this_scorer_anew_and_keeps_the_others() -> Result<()> {
        let folder = TestFolder::new()?;
        let samples = [sample("a", &["x"]), sample("b", &["y"])];
        let other = Fixed::new("other", 0.5);
        score(&folder, &samples, &[used(&LENGTHS), used(&other)]).0?;
        let changed = ScorerUse { key: "new".into(), ..used(&other) };
        let (summary, _) = score(&folder, &samples, &[used(&LENGTHS), changed]);
        let kept: Vec<usize> = summary?.iter().map(|s| s.kept).collect();
        assert_eq!(kept, [2, 0]);
        Ok(())
    }

    #[test]
    fn a_torn_line_is_scored_again() -> Result<()> {
        let folder = TestFolder::new()?;
        let samples = [sample("a", &["x"]), sample("b", &["y"])];
        let (_, whole) = score(&folder, &samples, &[used(&LENGTHS)]);
        folder.write("scores.jsonl", &whole.as_bytes()[..whole.len() - 4])?;
        let (summary, again) = score(&folder, &samples, &[used(&LENGTHS)]);
        assert_eq!(summary?[0].kept, 1);
        assert_eq!(again, whole);
        Ok(())
    }

    #[test]
    fn no_samples_are_no_lines() -> Result<()> {
        let folder = TestFolder::new()?;
        let (summary, text) = score(&folder, &[], &[used(&LENGTHS)]);
        assert_eq!((summary?[0].scored, text.as_str()), (0, ""));
        Ok(())
    }

    #[test]
    fn a_scorer_that_never_ends_is_stopped() {
        let folder = TestFolder::new().expect("a folder");
        let endless = LENGTHS.rounds(usize::MAX);
        let (result, _) = score(&folder, &[sample("a", &["x"])], &[used(&endless)]);
        assert!(result.is_err_and(|error| error.to_string().contains("rounds")));
    }
}
