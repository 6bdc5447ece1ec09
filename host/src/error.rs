//! The one distinction that decides the exit code: is it the user's input (1), or ours (2)?

/// Something in the user's input: config, data, model folder or plugin. Names the thing and the reason; `hint` is the cure.
///
/// Anything else that reaches `main` is a defect of ours or of the machine.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct UserError {
    /// The thing and the reason; no full stop at the end.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl UserError {
    /// An error without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// Adds the cure.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
