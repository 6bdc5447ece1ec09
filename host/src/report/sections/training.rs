//! Training: curves over the steps with the stages behind them, and what each stage did.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Figure, Table};
use crate::records::StepMetrics;
use crate::report::plot::{Lines, Series, Span, lines};
use crate::report::read::{Absent, Found, RunFiles};
use crate::report::text::{count, counted, difference, duration, number, rate};
use crate::train::TrainedStage;

/// Curves over the steps.
#[derive(Debug, Serialize)]
pub struct Training {
    /// How much was trained.
    pub sentence: String,
    /// Loss, margin, accuracy, log-probabilities.
    pub figure: Figure,
}

/// Builds the curves.
pub fn training(files: &RunFiles) -> Found<Training> {
    let metrics = files.metrics.as_ref().map_err(Clone::clone)?;
    if metrics.is_empty() {
        return Err(Absent::new(format!("training took no step (metrics.jsonl is empty){}", stopped(files))));
    }
    let spans = spans(metrics);
    let panel = |title: &str, series: Vec<Series>, level, domain| {
        lines(&Lines {
            title: title.into(),
            alternative: alternative(title, &series),
            series,
            spans: spans.clone(),
            level,
            domain,
            size: (470.0, 200.0),
        })
    };
    let curve = |name: &str, class: &str, pick: fn(&StepMetrics) -> f64| Series {
        name: name.into(),
        class: class.into(),
        points: metrics.iter().map(|m| (m.step as f64, pick(m))).collect(),
    };
    let plots = vec![
        panel("Loss", vec![curve("loss", "one", |m| m.loss)], None, None),
        panel("Reward margin, chosen − rejected", vec![curve("margin", "one", |m| m.rewards_margins)], Some(0.0), None),
        panel("Reward accuracy", vec![curve("accuracy", "one", |m| m.rewards_accuracies)], Some(0.5), Some((0.0, 1.0))),
        panel(
            "Log-probability of a response, nats",
            vec![curve("chosen", "chosen", |m| m.logps_chosen), curve("rejected", "rejected", |m| m.logps_rejected)],
            None,
            None,
        ),
    ];
    Ok(Training {
        sentence: sentence(metrics, &spans) + &resampled(files) + &stopped(files),
        figure: Figure {
            plots,
            caption: "Over optimizer steps; shaded bands are stages. The margin begins anew where a stage refreshes its reference.".into(),
            legend: Vec::new(),
            table: Some(by_stage(metrics, &spans)),
        },
    })
}

/// Why training ended before its time, where it did.
fn stopped(files: &RunFiles) -> String {
    let stages = files.training.iter().flatten();
    let said = stages.filter_map(|stage| Some(format!(" {} was stopped at {}.", stage.name, stage.stopped.as_ref()?)));
    said.collect()
}

/// Which stages were trained on responses of their own, where any were.
fn resampled(files: &RunFiles) -> String {
    let stages = files.training.iter().flatten();
    let said = stages.filter_map(|stage| {
        let from = stage.resampled.as_ref()?;
        let mut dropped: Vec<String> = from.drops.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        if dropped.is_empty() {
            dropped.push("none".into());
        }
        let left_out = if stage.outcome.is_none() { ", so that the stage was left out" } else { "" };
        Some(format!(
            " Before {}, {} were sampled anew by the model as it was then and made {} (dropped: {}){left_out}.",
            stage.name,
            counted(from.prompts, "prompt"),
            counted(from.pairs, "pair"),
            dropped.join(", ")
        ))
    });
    said.collect()
}

fn alternative(title: &str, series: &[Series]) -> String {
    let each: Vec<String> = series
        .iter()
        .filter_map(|s| {
            let (first, last) = (s.points.first()?.1, s.points.last()?.1);
            Some(format!("{} from {} to {}", s.name, number(first), number(last)))
        })
        .collect();
    format!("{title} over training steps: {}", each.join(", "))
}

/// Stretches of steps of one stage.
fn spans(metrics: &[StepMetrics]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for m in metrics {
        match spans.last_mut() {
            Some(span) if span.name == m.stage => span.x.1 = m.step as f64,
            _ => spans.push(Span { name: m.stage.clone(), x: (m.step as f64, m.step as f64) }),
        }
    }
    spans
}

fn sentence(metrics: &[StepMetrics], spans: &[Span]) -> String {
    let mut speeds: Vec<f64> = metrics.iter().map(|m| m.tokens_per_second).collect();
    speeds.retain(|s| s.is_finite() && *s > 0.0);
    let speed = crate::report::statistics::quantile(&speeds, 0.5)
        .map_or_else(String::new, |s| format!(", at {} tokens a second", count(s.round() as usize)));
    format!("{} in {}{speed}.", counted(metrics.len(), "optimizer step"), counted(spans.len(), "stage"))
}

fn by_stage(metrics: &[StepMetrics], spans: &[Span]) -> Table {
    let mut table = Table::new(&[
        "stage",
        "steps",
        "first loss",
        "last loss",
        "last margin",
        "last accuracy",
        "last log p chosen",
        "last log p rejected",
    ]);
    for span in spans {
        let within = |m: &&StepMetrics| (span.x.0..=span.x.1).contains(&(m.step as f64));
        let steps: Vec<&StepMetrics> = metrics.iter().filter(within).collect();
        if let [first, ..] = steps[..]
            && let Some(last) = steps.last()
        {
            table.rows.push(vec![
                span.name.clone(),
                steps.len().to_string(),
                number(first.loss),
                number(last.loss),
                number(last.rewards_margins),
                rate(last.rewards_accuracies),
                number(last.logps_chosen),
                number(last.logps_rejected),
            ]);
        }
    }
    table
}

/// What each stage did, over its last epoch, and what was measured after it for the staging policy.
pub fn outcomes(files: &RunFiles) -> Found<Table> {
    let stages = files.training.as_ref().map_err(Clone::clone)?;
    let told: BTreeSet<&String> = stages
        .iter()
        .filter_map(|stage| stage.outcome.as_ref())
        .flat_map(|outcome| outcome.evaluation.keys())
        .collect();
    let mut table = Table::new(&[
        "stage",
        "pairs",
        "epochs",
        "steps",
        "loss",
        "accuracy",
        "margin",
        "KL, nats/token",
        "Δ log p chosen",
    ]);
    table.columns.extend(told.iter().map(|name| (*name).clone()));
    table.columns.extend(["time", "departs from the config"].map(String::from));
    for stage in stages {
        let outcome = stage.outcome.as_ref();
        let cell = |value: Option<f64>, shown: fn(f64) -> String| value.map_or_else(|| "–".into(), shown);
        let pairs = stage.resampled.as_ref().map_or(stage.pairs.len(), |from| from.pairs);
        let mut row = vec![stage.name.clone(), count(pairs), stage.epochs.to_string(), stage.steps.to_string()];
        row.extend([
            cell(outcome.map(|o| o.loss), number),
            cell(outcome.map(|o| o.reward_accuracy), rate),
            cell(outcome.map(|o| o.margin), number),
            cell(outcome.map(|o| o.kl_to_initial), number),
            cell(outcome.map(|o| o.chosen_logprob_change), difference),
        ]);
        row.extend(told.iter().map(|name| cell(outcome.and_then(|o| o.evaluation.get(*name)).copied(), rate)));
        row.extend([duration(stage.seconds), departures(stage)]);
        table.rows.push(row);
    }
    Ok(table)
}

/// As short as it can be written: settings are typed by people.
fn number_plain(value: f64) -> String {
    format!("{value}")
}

fn departures(stage: &TrainedStage) -> String {
    let overrides = &stage.overrides;
    let numbers = [
        ("epochs", overrides.epochs.map(f64::from)),
        ("β", overrides.beta),
        ("learning rate ×", overrides.learning_rate_scale),
        ("smoothing", overrides.label_smoothing),
        ("NLL weight", overrides.nll_weight),
    ];
    let mut parts: Vec<String> =
        numbers.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", number_plain(value?)))).collect();
    parts.extend(overrides.loss.as_ref().map(|loss| format!("loss {loss}")));
    parts.extend(stage.resampled.as_ref().map(|_| "responses sampled anew".to_owned()));
    if parts.is_empty() { "–".into() } else { parts.join(", ") }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::records::{Overrides, Resampled};
    use crate::report::synthetic;

    fn stages() -> RunFiles {
        RunFiles::read(&synthetic::run_folder("report-stages"))
    }

    #[test]
    fn departures_are_named_and_none_is_a_dash() {
        let stages = stages().training.unwrap();
        assert_eq!(departures(&stages[0]), "–");
        let overrides = Overrides { epochs: Some(5), label_smoothing: Some(0.05), ..Overrides::default() };
        let some = TrainedStage { overrides, resampled: Some(Resampled::default()), ..stages[0].clone() };
        assert_eq!(departures(&some), "epochs 5, smoothing 0.05, responses sampled anew");
    }

    #[test]
    fn what_the_policy_was_told_has_a_column_and_a_stage_that_was_left_out_has_dashes() {
        let mut files = stages();
        let training = files.training.as_mut().unwrap();
        training[0].outcome.as_mut().unwrap().evaluation = [("truthful".to_owned(), 0.75)].into();
        training[1].outcome = None;
        let drops = [("all-agree".to_owned(), 3), ("empty".to_owned(), 1)].into();
        training[1].resampled = Some(Resampled { prompts: 4, drops, ..Resampled::default() });
        let table = outcomes(&files).unwrap();
        let at = table.columns.iter().position(|column| column == "truthful").unwrap();
        assert_eq!(table.rows.iter().map(|row| row[at].as_str()).collect::<Vec<_>>(), ["0.75", "–", "–"]);
        assert_eq!((table.rows[1][1].as_str(), table.rows[1][4].as_str()), ("0", "–"));
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
        assert_eq!(
            resampled(&files),
            " Before moderate, 4 prompts were sampled anew by the model as it was then and made 0 pairs (dropped: all-agree 3, empty 1), \
             so that the stage was left out."
        );
    }
}
