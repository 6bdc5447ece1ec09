//! What a scorer is given: a prompt and its responses, as they cross the sandbox.

/// One turn of a dialogue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// What stands before a continuation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub enum Prompt {
    /// Raw text.
    Text(String),
    /// A dialogue, which the host renders with the template of the model that answers, up to the point where the
    /// continuation begins.
    Chat(Vec<Message>),
}

impl Prompt {
    /// A dialogue of one user message.
    pub fn user(content: impl Into<String>) -> Self {
        Self::Chat(vec![Message { role: "user".to_owned(), content: content.into() }])
    }

    /// What was asked, as one text: a raw prompt as it is; of a dialogue, the last user message (the last message
    /// of any role where no user speaks).
    pub fn question(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Chat(messages) => messages
                .iter()
                .rev()
                .find(|message| message.role == "user")
                .or(messages.last())
                .map_or("", |message| &message.content),
        }
    }
}

/// One sampled output. The vocabulary axis never crosses: one number per token does.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub struct Response {
    /// The text.
    pub text: String,
    /// The ids that were sampled.
    pub token_ids: Vec<u32>,
    /// log p of each token, nats, at temperature 1. Empty where the responses were made elsewhere without it.
    pub logprobs: Vec<f32>,
    /// Entropy of the distribution each token was drawn from, nats, at temperature 1. May be empty, as above.
    pub entropies: Vec<f32>,
    /// The token limit ended it, not an end-of-sequence token or a stop string.
    pub truncated: bool,
}

/// A prompt with its N responses.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize, serde::Deserialize))]
pub struct Sample {
    /// The prompt's id.
    pub id: String,
    /// The prompt.
    pub prompt: Prompt,
    /// Its task or cluster, where it has one.
    pub group: Option<String>,
    /// The responses, in the order in which they were sampled.
    pub responses: Vec<Response>,
}

impl Sample {
    /// The responses' texts, in order.
    pub fn texts(&self) -> Vec<&str> {
        self.responses.iter().map(|response| response.text.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: &str, content: &str) -> Message {
        Message { role: role.to_owned(), content: content.to_owned() }
    }

    #[test]
    fn the_question_of_a_dialogue_is_its_last_user_message() {
        let chat = vec![message("system", "s"), message("user", "a"), message("assistant", "b"), message("user", "c")];
        assert_eq!(Prompt::Chat(chat).question(), "c");
        assert_eq!(Prompt::Chat(vec![message("user", "a"), message("assistant", "b")]).question(), "a");
    }

    #[test]
    fn a_dialogue_without_a_user_or_without_messages_still_has_a_question() {
        assert_eq!(Prompt::Chat(vec![message("system", "s")]).question(), "s");
        assert_eq!(Prompt::Chat(vec![]).question(), "");
    }
}
