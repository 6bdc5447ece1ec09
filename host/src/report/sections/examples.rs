//! Example pairs: of every stage the pair with the largest, the middle and the smallest gap, with all its prompt's responses.

use std::collections::BTreeMap;

use serde::Serialize;

use super::stage_class;
use crate::records::{Dimension, Finish, Pair, PromptText, Sample, SampleScores, SampleUncertainty};
use crate::report::evidence::{Evidence, length};
use crate::report::plot::{Dot, strip};
use crate::report::read::{Absent, Found, RunFiles};
use crate::report::text::{number, rate, shortened, visible};

/// Stages from which examples are taken: the first ones.
const STAGES: usize = 6;
/// Characters of a response or turn that are shown.
const CHARACTERS: usize = 1500;
/// Responses listed under an example: those beyond are in `udasa explain`.
const RESPONSES: usize = 32;

/// A pair to show, and why this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// Index into the pairs.
    pub pair: usize,
    /// The pair's prompt.
    pub prompt_id: String,
    /// Stage number and name; none where staging has not run.
    pub stage: Option<(usize, String)>,
    /// `largest Δu of its stage`, …
    pub which: &'static str,
    /// The policy's reason.
    pub reason: String,
}

/// One example.
#[derive(Debug, Serialize)]
pub struct Example {
    /// The pair's id.
    pub id: String,
    /// Its group.
    pub group: Option<String>,
    /// Its stage's name.
    pub stage: Option<String>,
    /// The stage's colour.
    pub stage_class: String,
    /// Why this pair is shown.
    pub which: String,
    /// Why it is in its stage.
    pub reason: String,
    /// Δu.
    pub gap: String,
    /// The prompt's turns.
    pub prompt: Vec<Turn>,
    /// Chosen, then rejected.
    pub sides: Vec<Shown>,
    /// Where all responses lie.
    pub strip: String,
    /// All of them, most reliable first.
    pub responses: Vec<Shown>,
    /// How many are not listed.
    pub unlisted: usize,
}

/// One turn of a prompt.
#[derive(Debug, Serialize)]
pub struct Turn {
    /// Empty for raw text.
    pub role: String,
    /// What it says.
    pub text: String,
}

/// One response.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// Its number among the prompt's responses.
    pub index: usize,
    /// `chosen`, `rejected` or `other`.
    pub mark: &'static str,
    /// What it says.
    pub text: String,
    /// Combined `u`.
    pub u: String,
    /// Scaled dimensions.
    pub dimensions: Vec<Level>,
    /// What each scorer said.
    pub scores: Vec<String>,
    /// Tokens, and whether it was cut.
    pub length: String,
}

/// A number in [0, 1] with its bar.
#[derive(Debug, Clone, Serialize)]
pub struct Level {
    /// The dimension.
    pub name: &'static str,
    /// In digits.
    pub value: String,
    /// Width of the bar.
    pub percent: f64,
}

/// Chooses the pairs to show.
pub fn pick(files: &RunFiles) -> Vec<Pick> {
    let Ok(pairs) = &files.pairs else {
        return Vec::new();
    };
    let by_id: BTreeMap<&str, usize> = pairs.iter().enumerate().map(|(i, pair)| (pair.id.as_str(), i)).collect();
    let mut stages: BTreeMap<usize, Vec<(usize, String, String)>> = BTreeMap::new();
    let members = files.stages.as_deref().unwrap_or_default();
    for member in members {
        if let Some(&pair) = by_id.get(member.pair_id.as_str()) {
            let entry = (pair, member.name.clone(), member.reason.clone());
            stages.entry(member.stage).or_default().push(entry);
        }
    }
    let mut picks = Vec::new();
    if members.is_empty() {
        let all = (0..pairs.len()).map(|i| (i, String::new(), String::new())).collect();
        add(&mut picks, pairs, None, all);
    }
    for (stage, members) in stages.into_iter().take(STAGES) {
        add(&mut picks, pairs, Some(stage), members);
    }
    picks
}

fn add(picks: &mut Vec<Pick>, pairs: &[Pair], stage: Option<usize>, mut members: Vec<(usize, String, String)>) {
    members.sort_by(|a, b| pairs[b.0].gap.total_cmp(&pairs[a.0].gap));
    let last = members.len().saturating_sub(1);
    let mut places =
        vec![(0, "largest Δu of its stage"), (last / 2, "median Δu of its stage"), (last, "smallest Δu of its stage")];
    places.dedup_by_key(|place| place.0);
    for (place, which) in places {
        if let Some((pair, name, reason)) = members.get(place) {
            picks.push(Pick {
                pair: *pair,
                prompt_id: pairs[*pair].prompt_id.clone(),
                stage: stage.map(|stage| (stage, name.clone())),
                which,
                reason: reason.clone(),
            });
        }
    }
}

/// Builds them.
pub fn examples(files: &RunFiles, evidence: &Evidence, picks: &[Pick]) -> Found<Vec<Example>> {
    let pairs = files.pairs.as_ref().map_err(Clone::clone)?;
    if picks.is_empty() {
        return Err(Absent::new("there is no pair to show"));
    }
    let wanted = |id: &str| picks.iter().any(|pick| pick.prompt_id == id);
    let uncertainty: BTreeMap<&str, &SampleUncertainty> = files
        .uncertainty
        .as_deref()
        .unwrap_or_default()
        .iter()
        .filter(|row| wanted(&row.id))
        .map(|row| (row.id.as_str(), row))
        .collect();
    let examples = picks.iter().map(|pick| {
        let id = pick.prompt_id.as_str();
        let scores = evidence.scores.get(id).map_or(&[][..], Vec::as_slice);
        example(pick, &pairs[pick.pair], evidence.samples.get(id), uncertainty.get(id).copied(), scores)
    });
    Ok(examples.collect())
}

fn example(
    pick: &Pick,
    pair: &Pair,
    sample: Option<&Sample>,
    uncertainty: Option<&SampleUncertainty>,
    scores: &[SampleScores],
) -> Example {
    let mut responses: Vec<(f64, Shown)> = match sample {
        Some(sample) => (0..sample.responses.len()).map(|i| shown(pair, i, sample, uncertainty, scores)).collect(),
        None => Vec::new(),
    };
    responses.sort_by(|a, b| a.0.total_cmp(&b.0));
    // The marked ones last, so that they lie on top.
    let dots = |marked: bool| {
        responses.iter().filter(move |(_, shown)| (shown.mark != "other") == marked).map(|(u, shown)| Dot {
            value: *u,
            class: shown.mark.into(),
            tip: format!("response {} ({}): u {}", shown.index, shown.mark, shown.u),
        })
    };
    let all: Vec<Dot> = dots(false).chain(dots(true)).collect();
    let alternative = format!(
        "The {} responses by u; chosen at {}, rejected at {}",
        all.len(),
        rate(1.0 - pair.chosen_rating),
        rate(1.0 - pair.rejected_rating)
    );
    let unlisted = responses.len().saturating_sub(RESPONSES);
    Example {
        id: visible(&pair.id),
        group: pair.group.as_deref().map(visible),
        stage: pick.stage.as_ref().map(|(_, name)| visible(name)),
        stage_class: stage_class(pick.stage.as_ref().map_or(0, |(number, _)| *number)),
        which: pick.which.into(),
        reason: visible(&pick.reason),
        gap: rate(pair.gap),
        prompt: turns(&pair.prompt),
        sides: vec![side(pair, true, &responses), side(pair, false, &responses)],
        strip: if all.is_empty() { String::new() } else { strip(&alternative, &all, 420.0) },
        responses: responses.into_iter().map(|(_, shown)| shown).take(RESPONSES).collect(),
        unlisted,
    }
}

/// The chosen or rejected response; from the pair itself where responses.jsonl is gone.
fn side(pair: &Pair, chosen: bool, responses: &[(f64, Shown)]) -> Shown {
    let (index, mark, text, rating) = if chosen {
        (pair.chosen_index, "chosen", &pair.chosen, pair.chosen_rating)
    } else {
        (pair.rejected_index, "rejected", &pair.rejected, pair.rejected_rating)
    };
    let found = responses.iter().find(|(_, shown)| shown.index == index);
    if let Some((_, shown)) = found {
        return shown.clone();
    }
    let text: Vec<String> = turns(text).into_iter().map(|turn| turn.text).collect();
    let dimensions =
        pair.dimensions.iter().map(|(dimension, values)| level(*dimension, values[usize::from(!chosen)])).collect();
    Shown {
        index,
        mark,
        text: text.join("\n"),
        u: rate(1.0 - rating),
        dimensions,
        scores: Vec::new(),
        length: String::new(),
    }
}

fn shown(
    pair: &Pair,
    index: usize,
    sample: &Sample,
    uncertainty: Option<&SampleUncertainty>,
    scores: &[SampleScores],
) -> (f64, Shown) {
    let response = &sample.responses[index];
    let u = uncertainty.and_then(|row| row.u.get(index)).copied().unwrap_or(f64::NAN);
    let dimensions = uncertainty
        .into_iter()
        .flat_map(|row| &row.dimensions)
        .filter_map(|(dimension, values)| Some(level(*dimension, *values.get(index)?)))
        .collect();
    let mark = match index {
        i if i == pair.chosen_index => "chosen",
        i if i == pair.rejected_index => "rejected",
        _ => "other",
    };
    let unit = if response.token_ids.is_empty() { "words" } else { "tokens" };
    let cut = if response.finish == Finish::Length { ", cut" } else { "" };
    let shown = Shown {
        index,
        mark,
        text: shortened(&visible(&response.text), CHARACTERS),
        u: rate(u),
        dimensions,
        scores: scores.iter().filter_map(|row| verdict(row, index)).collect(),
        length: format!("{} {unit}{cut}", length(response)),
    };
    (u, shown)
}

/// What a scorer said of one response: its raw uncertainty and its notes.
pub fn verdict(row: &SampleScores, index: usize) -> Option<String> {
    let score = row.scores.get(index)?;
    let notes: Vec<String> =
        score.notes.iter().map(|(name, value)| format!("{} {}", visible(name), number(*value))).collect();
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
    Some(format!("{} {}{notes}", visible(&row.scorer), rate(score.uncertainty)))
}

fn level(dimension: Dimension, value: f64) -> Level {
    Level {
        name: dimension.name(),
        value: rate(value),
        percent: if value.is_finite() { (value.clamp(0.0, 1.0) * 100.0).round() } else { 0.0 },
    }
}

fn turns(text: &PromptText) -> Vec<Turn> {
    let turn = |role: &str, text: &str| Turn { role: visible(role), text: shortened(&visible(text), CHARACTERS) };
    match text {
        PromptText::Text(text) => vec![turn("", text)],
        PromptText::Chat(messages) => messages.iter().map(|m| turn(&m.role, &m.content)).collect(),
    }
}
