//! P(True): the model is shown its own response and asked whether it is true, in both orders of the options.

use udasa_plugin_sdk::{Question, Sample};

use crate::Settings;

/// Two questions a response, in the order of the responses.
pub fn questions(settings: &Settings, sample: &Sample) -> Vec<Question> {
    let wording = settings.wording();
    let prompt = sample.prompt.question();
    sample
        .responses
        .iter()
        .flat_map(|response| wording.questions(&[("prompt", prompt), ("response", response.text.trim())]))
        .collect()
}
