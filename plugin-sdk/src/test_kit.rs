//! Runs a plugin natively, under a debugger if need be, and holds it to the contract.
//!
//! [`check_scorer`] and [`check_policy`] do everything in one call. [`run_scorer`] and [`run_policy`] run one input, for a
//! test that looks at the numbers: the same input twice gives the same output, scores are finite, in range and one per
//! response, only declared kinds of question are asked, stages hold each pair once at the most and come to an end.
//!
//! Questions are answered by a closure: a script of the test's own, [`plausible`] made-up answers, or the [`Recorded`]
//! ones of a run. The `try_` forms return what is wrong; the plain forms panic with it, as a test wants.

mod plausible;
mod recorded;
mod scorer;
mod staging;
mod whole;

pub use plausible::plausible;
pub use recorded::{Recorded, Unreadable, question_key, read_samples};
pub use scorer::{ScorerRun, fault_of, no_questions, run_scorer, try_run_scorer};
pub use staging::{pairs, run_policy, run_policy_with, try_run_policy, try_run_policy_with};
pub use whole::{check_policy, check_scorer, try_check_policy, try_check_scorer};

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
