//! How failures are shown: `error:` with the chain of causes, `hint:` lines below, and an exit code that says whose it is.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Error;

use crate::error::UserError;
use crate::model::will_be_caught;
use crate::sandbox::PluginFault;

const USERS: u8 = 1;
const OURS: u8 = 2;

/// Writes an error to stderr and gives the exit code.
pub fn report(error: &Error) -> ExitCode {
    let paint = Paint::for_stderr();
    let shown = show(error);
    eprintln!("{} {}", paint.bold_red("error:"), shown.message);
    for hint in &shown.hints {
        eprintln!("{} {hint}", paint.bold_cyan("hint:"));
    }
    ExitCode::from(shown.code)
}

/// After a panic: a short message and exit code 2. A panic is always a defect of ours.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        if will_be_caught(&panic.to_string()) {
            return;
        }
        eprintln!("error: udasa has a defect: {panic}");
        eprintln!("hint: please report it, with the command line and the config");
        // Threads of a pool would otherwise leave the main thread waiting for them.
        std::process::exit(i32::from(OURS));
    }));
}

struct Shown {
    message: String,
    hints: Vec<String>,
    code: u8,
}

fn show(error: &Error) -> Shown {
    let mut shown = Shown { message: String::new(), hints: Vec::new(), code: OURS };
    for cause in error.chain() {
        let text = cause.to_string();
        // Wrappers often repeat what they wrap.
        if !shown.message.ends_with(&text) {
            if !shown.message.is_empty() {
                shown.message += ": ";
            }
            shown.message += &text;
        }
        if let Some(user) = cause.downcast_ref::<UserError>() {
            shown.code = USERS;
            shown.hints.extend(user.hint.clone());
        }
        // A plugin is the user's to choose, whoever wrote it.
        if let Some(fault) = cause.downcast_ref::<PluginFault>() {
            shown.code = USERS;
            shown.hints.push(fault.hint());
        }
    }
    if shown.code == OURS && shown.hints.is_empty() {
        shown.hints.push("this is not about your input; please report it".into());
    }
    shown
}

struct Paint(bool);

impl Paint {
    fn for_stderr() -> Self {
        let asked_not = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(std::io::stderr().is_terminal() && !asked_not)
    }

    fn bold_red(&self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn bold_cyan(&self, text: &str) -> String {
        self.with("1;36", text)
    }

    fn with(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn a_user_error_anywhere_in_the_chain_is_the_users() {
        let error = Error::from(UserError::new("a.jsonl is empty").hint("add prompts")).context("reading prompts");
        let shown = show(&error);
        assert_eq!(shown.message, "reading prompts: a.jsonl is empty");
        assert_eq!(shown.hints, ["add prompts"]);
        assert_eq!(shown.code, USERS);
    }

    #[test]
    fn anything_else_is_ours_and_says_so() {
        let error = Err::<(), _>(anyhow!("disk full")).context("writing");
        let shown = error.map_err(|e| show(&e)).expect_err("an error");
        assert_eq!(shown.message, "writing: disk full");
        assert_eq!(shown.code, OURS);
        assert!(shown.hints[0].contains("report"));
    }
}
