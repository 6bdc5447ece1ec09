//! Lays out an explanation as text. Everything a model or plugin said passes [`visible`]: a response must not command the
//! reader's terminal.

use std::fmt::Write;

use super::lookup::Subject;
use crate::records::{Finish, Pair, PromptText, Sample, SampleScores, SampleUncertainty};
use crate::report::evidence::{Evidence, length};
use crate::report::read::{Absent, RunFiles};
use crate::report::sections::examples::verdict;
use crate::report::text::{counted, rate, visible};
use crate::train::TrainedStage;

/// The whole text, ending in a line break.
pub fn print(subject: &Subject, files: &RunFiles, evidence: &Evidence) -> String {
    let pairs = files.pairs.as_deref().unwrap_or_default();
    let pairs: Vec<&Pair> = subject.pairs.iter().filter_map(|&i| pairs.get(i)).collect();
    let sample = evidence.samples.get(&subject.prompt_id);
    let mut out = String::new();
    head(&mut out, subject, &pairs, sample);
    for drop in files.drops.iter().flatten().filter(|d| d.prompt_id == subject.prompt_id) {
        let words = if pairs.is_empty() { "no pair" } else { "also dropped" };
        line(&mut out, &format!("{words}: {}: {}", visible(&drop.reason), visible(&drop.detail)));
    }
    for pair in &pairs {
        stages(&mut out, pair, files);
    }
    if let Some(prompt) = sample.map(|s| &s.prompt).or_else(|| pairs.first().map(|p| &p.prompt)) {
        line(&mut out, "\nprompt");
        said(&mut out, prompt);
    }
    let uncertainty = files.uncertainty.iter().flatten().find(|row| row.id == subject.prompt_id);
    let scores = evidence.scores.get(&subject.prompt_id).map_or(&[][..], Vec::as_slice);
    match sample {
        Some(sample) => responses(&mut out, sample, &pairs, uncertainty, scores),
        None => sides(&mut out, &pairs, evidence),
    }
    for fault in scores.iter().filter_map(|row| Some((&row.scorer, row.fault.as_ref()?))) {
        line(&mut out, &format!("\nfault of {}: {}", visible(fault.0), visible(fault.1)));
    }
    out
}

fn head(out: &mut String, subject: &Subject, pairs: &[&Pair], sample: Option<&Sample>) {
    match pairs {
        [pair] => line(out, &format!("pair {}", visible(&pair.id))),
        _ => line(out, &format!("prompt {}, {}", visible(&subject.prompt_id), counted(pairs.len(), "pair"))),
    }
    let group = sample.and_then(|s| s.group.as_ref()).or_else(|| pairs.first()?.group.as_ref());
    if let Some(group) = group {
        line(out, &format!("group {}", visible(group)));
    }
}

fn stages(out: &mut String, pair: &Pair, files: &RunFiles) {
    line(
        out,
        &format!(
            "Δu {}: u {} chosen (no. {}), u {} rejected (no. {})",
            rate(pair.gap),
            rate(1.0 - pair.chosen_rating),
            pair.chosen_index,
            rate(1.0 - pair.rejected_rating),
            pair.rejected_index
        ),
    );
    match &files.stages {
        Err(Absent(reason)) => line(out, &format!("stage: {reason}")),
        Ok(members) => {
            let own: Vec<_> = members.iter().filter(|m| m.pair_id == pair.id).collect();
            let instead = resampled(pair, files);
            if own.is_empty() && instead.is_empty() {
                line(out, "stage: the staging policy took this pair into none");
            }
            for (number, name) in instead {
                line(
                    out,
                    &format!(
                        "stage {} {}: its prompt was sampled anew, and this pair not trained on",
                        number + 1,
                        visible(name)
                    ),
                );
            }
            for member in own {
                let name = visible(&member.name);
                line(out, &format!("stage {} {name}: {}", member.stage + 1, visible(&member.reason)));
            }
        }
    }
}

/// Number and name of the stages for which the pair's prompt was sampled anew.
fn resampled<'a>(pair: &Pair, files: &'a RunFiles) -> Vec<(usize, &'a str)> {
    let index = files.pairs.iter().flatten().position(|own| own.id == pair.id);
    let stages = files.training.iter().flatten().enumerate();
    let has = |stage: &TrainedStage| stage.pairs.iter().any(|&i| Some(i as usize) == index);
    stages
        .filter(|(_, stage)| stage.resampled.is_some() && has(stage))
        .map(|(number, stage)| (number, stage.name.as_str()))
        .collect()
}

fn responses(
    out: &mut String,
    sample: &Sample,
    pairs: &[&Pair],
    uncertainty: Option<&SampleUncertainty>,
    scores: &[SampleScores],
) {
    let u = |i: usize| uncertainty.and_then(|row| row.u.get(i)).copied().unwrap_or(f64::NAN);
    let mut order: Vec<usize> = (0..sample.responses.len()).collect();
    order.sort_by(|&a, &b| u(a).total_cmp(&u(b)));
    line(out, &format!("\n{}, most reliable first", counted(order.len(), "response")));
    for i in order {
        let response = &sample.responses[i];
        let mark = if pairs.iter().any(|pair| pair.chosen_index == i) {
            "  chosen  "
        } else if pairs.iter().any(|pair| pair.rejected_index == i) {
            "  rejected  "
        } else {
            "  "
        };
        let unit = if response.token_ids.is_empty() { "words" } else { "tokens" };
        let cut = if response.finish == Finish::Length { ", cut by the token limit" } else { "" };
        line(out, &format!("\n  no. {i}  u {}{mark}{} {unit}{cut}", rate(u(i)), length(response)));
        indented(out, &response.text);
        if let Some(row) = uncertainty {
            let each: Vec<String> = row
                .dimensions
                .iter()
                .filter_map(|(d, values)| Some(format!("{} {}", d.name(), rate(*values.get(i)?))))
                .collect();
            line(out, &format!("    scaled: {}", each.join(", ")));
            if row.vetoed.contains(&i) {
                line(out, "    vetoed: may never be chosen");
            }
        }
        let said: Vec<String> = scores.iter().filter_map(|row| verdict(row, i)).collect();
        if !said.is_empty() {
            line(out, &format!("    raw: {}", said.join(", ")));
        }
    }
}

/// Where responses.jsonl is gone, the pairs still hold two texts.
fn sides(out: &mut String, pairs: &[&Pair], evidence: &Evidence) {
    let reason = match &evidence.lengths {
        Err(Absent(reason)) => reason.clone(),
        Ok(_) => "responses.jsonl does not hold this prompt".into(),
    };
    line(out, &format!("\nthe other responses are not known: {reason}"));
    for pair in pairs {
        for (word, text) in [("chosen", &pair.chosen), ("rejected", &pair.rejected)] {
            line(out, &format!("\n{word}"));
            said(out, text);
        }
    }
}

fn said(out: &mut String, text: &PromptText) {
    match text {
        PromptText::Text(text) => indented(out, text),
        PromptText::Chat(messages) => {
            for message in messages {
                line(out, &format!("  {}:", visible(&message.role)));
                indented(out, &message.content);
            }
        }
    }
}

fn indented(out: &mut String, text: &str) {
    for part in visible(text).split('\n') {
        line(out, format!("    {part}").trim_end());
    }
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}
