//! The error types that decide something: what the user can mend, with the cure, and what has been said already.

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

/// The host has failed and has said why; its exit code becomes ours, and nothing is added.
#[derive(Debug)]
pub struct HostFailed {
    pub code: Option<i32>,
}

impl std::fmt::Display for HostFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            Some(code) => write!(f, "udasa failed with exit code {code}"),
            None => write!(f, "udasa was ended by a signal"),
        }
    }
}

impl std::error::Error for HostFailed {}
