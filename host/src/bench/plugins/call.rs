//! What a call costs beside the scorer's own work.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, Row, least};
use crate::records::{PromptText, Response, Sample};
use crate::sandbox::Scorer;

const RESPONSES: usize = 8;
const TOKENS: u32 = 64;
const BATCHES: usize = 400;
const CALLS: u32 = 200;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let (bare, idle) = (bench.scorer("bad", &[])?, bench.scorer("idle", &[])?);
    let (none, full) = (sample(0), sample(RESPONSES));
    let row = |name: &'static str, time: Duration, note: &str| Row {
        name: name.into(),
        value: time.as_secs_f64() * 1e6,
        unit: "µs",
        note: note.to_owned(),
    };
    Ok(vec![
        row("call: empty", time(&bare, &none)?, "no responses, no SDK"),
        row("call: bare", time(&bare, &full)?, "8 responses × 64 tokens, no SDK"),
        row("call: SDK", time(&idle, &full)?, "8 responses × 64 tokens through the SDK; target: at most 2"),
    ])
}

/// One call, in a warm instance.
fn time(scorer: &Scorer, sample: &Sample) -> Result<Duration> {
    let batch = || (0..CALLS).try_for_each(|_| scorer.score(sample, &[]).map(drop).map_err(Into::into));
    Ok(least(BATCHES, batch)? / CALLS)
}

/// Responses of 320 characters and as many tokens as a short answer has, with all that is known of each token.
fn sample(responses: usize) -> Sample {
    let response = Response {
        text: "word ".repeat(TOKENS as usize),
        token_ids: (0..TOKENS).collect(),
        logprobs: vec![-1.0; TOKENS as usize],
        entropies: vec![1.0; TOKENS as usize],
        ..Response::default()
    };
    Sample {
        id: "bench".to_owned(),
        prompt: PromptText::Text("Where does the river end ?".to_owned()),
        group: None,
        prompt_token_ids: Vec::new(),
        responses: vec![response; responses],
    }
}
