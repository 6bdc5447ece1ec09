//! The one error type that decides something: what the user can mend, with the cure.

/// What is wrong and why, and what to do about it. Anything else that fails is a plain `anyhow` error, ours to mend.
#[derive(Debug)]
pub struct UserError {
    message: String,
    pub hint: String,
}

impl UserError {
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl std::fmt::Display for UserError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for UserError {}
