//! The room as a whole, on hand-made scorers.

use anyhow::bail;

use super::test_scorers::{Echo, Fixed, LENGTHS, sample, used};
use super::*;
use crate::config::{OnFault, Scale};
use crate::data::test_folder::TestFolder;
use crate::error::UserError;
use crate::records::SampleUncertainty;

fn run(folder: &TestFolder, samples: &[Sample], scorers: &[ScorerUse<'_>], config: &config::Score) -> Result<Summary> {
    let make = |_| -> Result<Box<dyn Answerer>> { Ok(Box::new(Echo)) };
    let files = Files::in_run(folder.path());
    room(samples, scorers, config, &Answerers::one("echo"), &make, &files)
}

fn uncertainties(folder: &TestFolder) -> Result<Vec<SampleUncertainty>> {
    jsonl::read(&Files::in_run(folder.path()).uncertainty)
}

#[test]
fn scores_become_one_u_per_response_and_a_summary() -> Result<()> {
    let folder = TestFolder::new()?;
    let samples = [sample("a", &["x", "yy"]), sample("b", &["zzz", "fault"]), sample("c", &["uuuu"])];
    let skip = ScorerUse { on_fault: OnFault::Skip, ..used(&LENGTHS) };
    let config = config::Score { scale: Scale::Rank, ..config::Score::default() };
    let summary = run(&folder, &samples, &[skip], &config)?;
    assert_eq!((summary.samples, summary.scored), (3, 2));
    assert_eq!((summary.scorers[0].scored, summary.scorers[0].faults), (2, 1));
    let us = uncertainties(&folder)?;
    assert_eq!((us.len(), us[1].id.as_str()), (2, "c"));
    // Lengths 1, 2 and 4: ranks 1, 2, 3 of 3.
    assert_eq!(us[0].u, [0.5 / 3.0, 0.5]);
    assert_eq!(us[1].u, [2.5 / 3.0]);
    assert_eq!(summary.length_correlation.n, 3);
    let saved: Summary = serde_json::from_str(&std::fs::read_to_string(Files::in_run(folder.path()).summary)?)?;
    assert_eq!(saved, summary);
    Ok(())
}

#[test]
fn scorers_that_ask_nothing_need_no_model() -> Result<()> {
    let folder = TestFolder::new()?;
    let none = |_| -> Result<Box<dyn Answerer>> { bail!("no model is needed") };
    let files = Files::in_run(folder.path());
    let fixed = Fixed::new("fixed", 0.4);
    let samples = [sample("a", &["x", "y"])];
    let config = config::Score::default();
    let summary = room(&samples, &[used(&fixed)], &config, &Answerers::one("m"), &none, &files)?;
    assert_eq!(summary.scored, 1);
    assert_eq!(summary.length_correlation.u, None);
    Ok(())
}

#[test]
fn a_rerun_gives_the_same_bytes_without_a_model() -> Result<()> {
    let folder = TestFolder::new()?;
    let samples = [sample("a", &["x", "yy"]), sample("b", &["zzz"])];
    let config = config::Score::default();
    run(&folder, &samples, &[used(&LENGTHS)], &config)?;
    let files = Files::in_run(folder.path());
    let bytes = || -> Result<Vec<Vec<u8>>> {
        let files = [&files.scores, &files.uncertainty, &files.scaler];
        Ok(files.into_iter().map(std::fs::read).collect::<Result<_, _>>()?)
    };
    let first = bytes()?;
    let none = |_| -> Result<Box<dyn Answerer>> { bail!("no model is needed") };
    for forget_scores in [false, true] {
        if forget_scores {
            std::fs::remove_file(&files.scores)?;
        }
        room(&samples, &[used(&LENGTHS)], &config, &Answerers::one("echo"), &none, &files)?;
        assert_eq!(bytes()?, first);
    }
    Ok(())
}

#[test]
fn an_earlier_runs_scaler_is_reused_on_new_data() -> Result<()> {
    let (old, new) = (TestFolder::new()?, TestFolder::new()?);
    let mut config = config::Score { scale: Scale::Quantile, ..config::Score::default() };
    let before = [sample("a", &["x", "xxxxxxxxxxx"])];
    run(&old, &before, &[used(&LENGTHS)], &config)?;
    config.scaler = Some(Files::in_run(old.path()).scaler);
    run(&new, &[sample("b", &["xxxxxx"])], &[used(&LENGTHS)], &config)?;
    let u = uncertainties(&new)?[0].u[0];
    assert!((u - 0.5).abs() < 1e-9, "{u}");
    Ok(())
}

#[test]
fn a_scaler_that_lacks_a_scorer_is_refused_before_scoring() -> Result<()> {
    let folder = TestFolder::new()?;
    let path = folder.write("old.json", br#"{"scorers": {"semantic": {"scale": "none"}}}"#)?;
    let config = config::Score { scaler: Some(path), ..config::Score::default() };
    let error = run(&folder, &[sample("a", &["x"])], &[used(&LENGTHS)], &config)
        .expect_err("no scale")
        .downcast::<UserError>()?;
    assert!(error.message.ends_with("has no scale for `lengths`; it knows `semantic`"));
    assert!(!Files::in_run(folder.path()).scores.exists());
    let broken = folder.write("broken.json", b"[]")?;
    let config = config::Score { scaler: Some(broken), ..config::Score::default() };
    assert!(run(&folder, &[], &[used(&LENGTHS)], &config).is_err());
    Ok(())
}
