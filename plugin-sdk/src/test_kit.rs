//! Runs a plugin natively, under a debugger if need be, and holds it to the contract: the same input twice gives the
//! same output, scores are finite, in range and one per response, only declared kinds of question are asked, stages
//! hold each pair once at the most and come to an end.
//!
//! The `try_` forms return what is wrong; the plain forms panic with it, as a test wants.

mod scorer;
mod staging;

pub use scorer::{ScorerRun, no_questions, run_scorer, try_run_scorer};
pub use staging::{pairs, run_policy, try_run_policy};

use crate::{Message, Prompt, Response, Sample};

/// A sample with a raw-text prompt.
pub fn sample(prompt: &str, responses: &[&str]) -> Sample {
    Sample {
        id: "test".to_owned(),
        prompt: Prompt::Text(prompt.to_owned()),
        group: None,
        responses: responses.iter().map(|text| Response { text: (*text).to_owned(), ..Response::default() }).collect(),
    }
}

/// A sample with a dialogue as its prompt: (role, content) turns.
pub fn chat_sample(turns: &[(&str, &str)], responses: &[&str]) -> Sample {
    let turn = |(role, content): &(&str, &str)| Message { role: (*role).to_owned(), content: (*content).to_owned() };
    Sample { prompt: Prompt::Chat(turns.iter().map(turn).collect()), ..sample("", responses) }
}
