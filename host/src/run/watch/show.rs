//! A pass as plain lines. What models and plugins say is shown, never obeyed.

use std::fmt::Write;
use std::time::Duration;

use super::changes::{self, ResponseChange, ScorerChange};
use super::pass::Pass;
use crate::progress;
use crate::records::{PromptText, Sample};
use crate::report::text::visible;

/// Log lines and faults shown of one scorer.
const FEW: usize = 5;
/// Characters of a prompt, a response, a fault.
const TEXT: usize = 60;
const FAULT: usize = 300;

/// All of it. The first pass also says how things stand; later ones show what changed.
pub fn pass(out: &mut String, pass: &Pass, samples: &[Sample]) {
    let width = pass.state.scorers.iter().map(|scorer| scorer.name.len()).max().unwrap_or(0).max("pairs".len());
    let changes: Vec<ScorerChange> =
        pass.state.scorers.iter().map(|scorer| changes::scorer(pass.before.scorer(&scorer.name), scorer)).collect();
    for change in &changes {
        let kept = !pass.called.contains(&change.name);
        let _ = writeln!(out, "  {:width$}  {}", change.name, summary(change, kept));
    }
    let (changed, before, now) = changes::u(&pass.before, &pass.state);
    let _ = writeln!(out, "  {:width$}  {}  {}", "u", means(before, now), of("responses changed", changed));
    if let Some(line) = pairs(pass) {
        let _ = writeln!(out, "  {:width$}  {line}", "pairs");
    }
    for change in &changes {
        details(out, change, samples);
    }
    for (name, lines, dropped) in &pass.logs {
        for line in lines.iter().take(FEW) {
            let _ = writeln!(out, "  {name} logs: {}", cut(&line.text, FAULT));
        }
        let more = lines.len().saturating_sub(FEW) as u64 + dropped;
        if more > 0 {
            let _ = writeln!(out, "  {name} logs {more} lines more");
        }
    }
}

fn summary(change: &ScorerChange, kept: bool) -> String {
    let mut parts = vec![means(change.mean_before, change.mean)];
    parts.push(match (kept, change.changed, change.notes_only) {
        (true, ..) => format!("{} responses, kept", change.responses),
        _ if change.mean_before.is_none() => format!("{} responses", change.responses),
        (false, changed, 0) => format!("{changed} of {} responses changed", change.responses),
        (false, changed, notes) => {
            format!("{changed} of {} responses changed, {notes} in notes only", change.responses)
        }
    });
    if change.faults > 0 {
        let news = match (change.new_faults.len(), change.gone_faults.len()) {
            (0, 0) => String::new(),
            (new, gone) => format!(" ({new} new, {gone} gone)"),
        };
        parts.push(format!("{}{news}", of("faults", change.faults)));
    } else if !change.gone_faults.is_empty() {
        parts.push(format!("no faults, {} gone", change.gone_faults.len()));
    }
    parts.join("  ")
}

fn pairs(pass: &Pass) -> Option<String> {
    let now = pass.state.pairs.as_ref()?;
    let Some(before) = &pass.before.pairs else {
        return Some(now.len().to_string());
    };
    let change = changes::pairs(before, now);
    Some(format!(
        "{} → {}: {} flipped, {} new, {} gone",
        change.before, change.after, change.flipped, change.new, change.gone
    ))
}

fn details(out: &mut String, change: &ScorerChange, samples: &[Sample]) {
    if !change.largest.is_empty() {
        let _ = writeln!(out, "  largest changes of {}", change.name);
    }
    for one in &change.largest {
        let sample = samples.iter().find(|sample| sample.id == one.id);
        let response = sample.and_then(|sample| sample.responses.get(one.response));
        let (prompt, response) =
            (sample.map_or(String::new(), |s| question(&s.prompt)), response.map_or("", |r| r.text.as_str()));
        let _ = writeln!(
            out,
            "    {:.3} → {:.3}  \"{}\" to \"{}\" ({}, response {})",
            one.before,
            one.after,
            cut(response, TEXT),
            cut(&prompt, TEXT),
            cut(&one.id, TEXT),
            one.response
        );
        if !one.notes.is_empty() {
            let _ = writeln!(out, "                   {}", notes(one));
        }
    }
    for (id, why) in change.new_faults.iter().take(FEW) {
        let _ = writeln!(out, "  new fault of {} on {}: {}", change.name, cut(id, TEXT), cut(why, FAULT));
    }
    if change.new_faults.len() > FEW {
        let _ = writeln!(out, "  {} more new faults of {}", change.new_faults.len() - FEW, change.name);
    }
    if change.unanswered > 0 {
        let _ = writeln!(
            out,
            "  {} has no cached answer to {}; {} left out",
            change.name,
            of("questions", change.questions),
            of("samples", change.unanswered)
        );
        let _ = writeln!(out, "    hint: `udasa score CONFIG` asks the model once, and the answers are kept");
    }
}

fn notes(change: &ResponseChange) -> String {
    let value = |note: Option<f64>| note.map_or("none".to_owned(), |value| format!("{value:.3}"));
    let notes: Vec<String> = change
        .notes
        .iter()
        .take(FEW)
        .map(|(name, then, now)| format!("{} {} → {}", cut(name, TEXT), value(*then), value(*now)))
        .collect();
    notes.join(", ")
}

fn means(before: Option<f64>, now: Option<f64>) -> String {
    let number = |mean: Option<f64>| mean.map_or("none".to_owned(), |mean| format!("{mean:.3}"));
    match before {
        Some(_) => format!("mean {} → {}", number(before), number(now)),
        None => format!("mean {}", number(now)),
    }
}

/// "1 fault", "2 faults".
fn of(plural: &str, n: usize) -> String {
    let (noun, rest) =
        plural.split_once(' ').map_or((plural, String::new()), |(noun, rest)| (noun, format!(" {rest}")));
    let noun = if n == 1 { noun.trim_end_matches('s') } else { noun };
    format!("{n} {noun}{rest}")
}

/// The last thing that was said before the response.
fn question(prompt: &PromptText) -> String {
    match prompt {
        PromptText::Text(text) => text.clone(),
        PromptText::Chat(messages) => messages.last().map(|message| message.content.clone()).unwrap_or_default(),
    }
}

/// One line of at most `most` characters.
fn cut(text: &str, most: usize) -> String {
    let line: String = visible(text).split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// `0.61 s`.
pub fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(60) { format!("{:.2} s", time.as_secs_f64()) } else { progress::duration(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_one_line_cut_and_cannot_command_a_terminal() {
        assert_eq!(cut("a\n\u{1b}[31m  b", 60), "a ⟨U+001B⟩[31m b");
        assert_eq!(cut("äöü", 2), "äö…");
    }

    #[test]
    fn a_scorers_line_says_what_is_known() {
        let change = ScorerChange { responses: 4, changed: 1, mean: Some(0.5), ..ScorerChange::default() };
        assert_eq!(summary(&change, false), "mean 0.500  4 responses");
        assert_eq!(summary(&change, true), "mean 0.500  4 responses, kept");
        let change = ScorerChange {
            mean_before: Some(0.25),
            notes_only: 2,
            faults: 1,
            new_faults: vec![("a".into(), "b".into())],
            ..change
        };
        assert_eq!(
            summary(&change, false),
            "mean 0.250 → 0.500  1 of 4 responses changed, 2 in notes only  1 fault (1 new, 0 gone)"
        );
        let gone = ScorerChange { gone_faults: vec!["a".into()], ..ScorerChange::default() };
        assert_eq!(summary(&gone, false), "mean none  0 responses  no faults, 1 gone");
    }
}
