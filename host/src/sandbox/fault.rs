//! What can go wrong in a plugin, told as plugin, version, digest, function, prompt, cause and cure.

use std::fmt;
use std::sync::Arc;

use wasmtime::Trap;

use crate::config::Limits;
use crate::error::UserError;
use crate::records::QuestionKind;

use super::contract::CONTRACT_VERSION;
use super::store::MemoryLimit;
use super::words::{NAME, SENTENCE, on_one_line, shown};

/// A call of a plugin that gave nothing usable. The plugin's other calls are not touched by it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub struct PluginFault {
    /// The plugin.
    pub plugin: Arc<Identity>,
    /// The function of the contract.
    pub function: &'static str,
    /// The prompt's id, where the call was about one.
    pub prompt: Option<String>,
    /// What happened.
    #[source]
    pub cause: Cause,
}

/// Who a plugin is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The plugin's name, or its file where it could not even say its name.
    pub name: String,
    /// Its version, where known.
    pub version: Option<String>,
    /// Hex SHA-256 of its file.
    pub sha256: String,
}

/// What happened in a call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The plugin said itself that it cannot handle this input.
    #[error("{message}")]
    Fault {
        /// Its words.
        message: String,
        /// Its cure.
        hint: Option<String>,
    },
    /// Endless loop, or too much work.
    #[error("ran out of fuel ({} units, about as many instructions)", grouped(*.limit))]
    OutOfFuel {
        /// Units a call may use.
        limit: u64,
    },
    /// The backstop behind fuel.
    #[error("ran for more than {limit} s")]
    OutOfTime {
        /// Seconds a call may take.
        limit: u64,
    },
    /// Too much linear memory.
    #[error("ran out of memory: wanted {} MiB of at most {limit}", .wanted.div_ceil(1 << 20))]
    OutOfMemory {
        /// Bytes it asked for.
        wanted: u64,
        /// MiB it may have.
        limit: u64,
    },
    /// The native stack.
    #[error("overflowed its stack of {limit} KiB")]
    StackOverflow {
        /// KiB it may use.
        limit: u64,
    },
    /// In Rust plugins: the stack inside linear memory.
    #[error(
        "touched memory out of bounds; in a Rust plugin this is a stack overflow, in others perhaps a stray pointer"
    )]
    OutOfBounds,
    /// A panic or an abort.
    #[error("panicked{}", .message.as_ref().map_or(" without a message".to_owned(), |m| format!(": {m}")))]
    Panic {
        /// What the panic hook logged.
        message: Option<String>,
    },
    /// Any other trap.
    #[error("trapped: {0}")]
    Trap(String),
    /// Its result, or a log line, was larger than it may be.
    #[error("handed over more than {limit} MiB at once")]
    OutputTooLarge {
        /// MiB that may cross at once.
        limit: u64,
    },
    /// Its result does not have the contract's form.
    #[error("returned something unreadable: {0}")]
    Unreadable(String),
    /// Its result breaks a rule of the contract.
    #[error("{0}")]
    BadOutput(String),
    /// It asked what the config does not let it ask.
    #[error("asked a question of kind `{0}`, which the config does not grant it")]
    NotGranted(&'static str),
    /// It asked what it does not declare.
    #[error("asked a question of kind `{0}`, which its description does not declare")]
    NotDeclared(&'static str),
    /// It never comes to an end.
    #[error("asked another round of questions after {limit} rounds")]
    TooManyRounds {
        /// Rounds it may ask for a sample.
        limit: u32,
    },
    /// It asks too much at once.
    #[error("asked {asked} questions in one round; at most {limit} are allowed")]
    TooManyQuestions {
        /// Its questions.
        asked: usize,
        /// Questions it may ask in a round.
        limit: usize,
    },
    /// It wants too much text at once.
    #[error("asked for texts of {asked} tokens in one `complete` question; at most {limit} are allowed")]
    TooManyTokens {
        /// Texts times tokens of each.
        asked: u64,
        /// Tokens that it may ask for.
        limit: u64,
    },
    /// The host failed, not the plugin.
    #[error("could not be called: {0}")]
    Host(String),
}

impl Cause {
    /// The plugin's own words, as far as they can be shown.
    pub(super) fn fault(message: &str, hint: Option<&str>) -> Self {
        let message = match shown(message, SENTENCE) {
            empty if empty.trim().is_empty() => "gave a fault without a message".to_owned(),
            words => words,
        };
        let hint = hint.map(|hint| shown(hint, SENTENCE)).filter(|hint| !hint.trim().is_empty());
        Self::Fault { message, hint }
    }
}

impl PluginFault {
    /// What to do about it.
    pub fn hint(&self) -> String {
        let instead = self.instead();
        // A plugin that has not said who it is yet is called under limits of the host's own, whatever the config says.
        let raise = |limit: &str, or: &str| match self.plugin.version {
            Some(_) => format!("raise `limits.{limit}`{or}"),
            None => format!("{instead}; no limit of a config has a part in how a file is looked at"),
        };
        match &self.cause {
            Cause::Fault { hint: Some(hint), .. } => hint.clone(),
            Cause::Fault { hint: None, .. } | Cause::OutOfBounds => instead.to_owned(),
            Cause::OutOfFuel { .. } => format!("an endless loop in the plugin? If not, {}", raise("fuel", "")),
            Cause::OutOfTime { .. } => format!("a busy machine, or a slow plugin; {}", raise("seconds", "")),
            Cause::OutOfMemory { .. } => raise("memory_mib", ", or give the plugin less at once"),
            Cause::StackOverflow { .. } => format!("endless recursion in the plugin? If not, {}", raise("stack_kib", "")),
            Cause::OutputTooLarge { .. } => raise("output_mib", ", or have the plugin return less"),
            Cause::Panic { .. } if self.function == "score" => {
                "this is a defect of the plugin; run this sample natively under `cargo test`, if it is in Rust, or leave such samples out with `on_fault = \"skip\"`".to_owned()
            }
            Cause::Panic { .. } | Cause::Trap(_) | Cause::Unreadable(_) | Cause::BadOutput(_) | Cause::NotDeclared(_) => {
                format!("this is a defect of the plugin; {instead}")
            }
            Cause::NotGranted(kind) => format!("if it may, add \"{kind}\" to the scorer's `grant`"),
            Cause::TooManyRounds { .. } => "does the plugin ever answer? If so, raise `limits.rounds`".to_owned(),
            Cause::TooManyQuestions { .. } => "raise `limits.questions`, or have the plugin ask in several rounds".to_owned(),
            Cause::TooManyTokens { .. } => "raise `limits.complete_tokens`, or have the plugin ask for less".to_owned(),
            Cause::Host(_) => "try again; if it stays, this is a defect of udasa".to_owned(),
        }
    }

    /// How to do without what failed.
    fn instead(&self) -> &'static str {
        match self.function {
            "score" => "`on_fault = \"skip\"` leaves such samples out",
            "next-stage" => "`stage.policy` names another one",
            _ => "get or build another version of it, or take it out of the plugin directory",
        }
    }
}

impl fmt::Display for PluginFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { name, version, sha256 } = &*self.plugin;
        write!(f, "plugin `{}`", on_one_line(name, SENTENCE))?;
        if let Some(version) = version {
            write!(f, " {version}")?;
        }
        let digest = sha256.get(..12).unwrap_or(sha256);
        write!(f, " ({digest}): `{}` failed", self.function)?;
        if let Some(prompt) = &self.prompt {
            write!(f, " on prompt `{}`", on_one_line(prompt, NAME))?;
        }
        write!(f, ": {}", self.cause)
    }
}

impl From<PluginFault> for UserError {
    fn from(fault: PluginFault) -> Self {
        UserError::new(fault.to_string()).hint(fault.hint())
    }
}

/// The name under which a kind is granted in the config.
pub fn kind_name(kind: QuestionKind) -> &'static str {
    match kind {
        QuestionKind::Embed => "embed",
        QuestionKind::Entail => "entail",
        QuestionKind::Choose => "choose",
        QuestionKind::Likelihood => "likelihood",
        QuestionKind::Complete => "complete",
    }
}

/// Why wasmtime ended a call. `logged` is the last error line of that call.
pub(super) fn classify(error: &wasmtime::Error, limits: &Limits, logged: Option<String>) -> Cause {
    if let Some(MemoryLimit { wanted }) = error.downcast_ref() {
        return Cause::OutOfMemory { wanted: *wanted as u64, limit: limits.memory_mib };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Cause::OutOfFuel { limit: limits.fuel },
        Some(Trap::Interrupt) => Cause::OutOfTime { limit: limits.seconds },
        Some(Trap::StackOverflow) => Cause::StackOverflow { limit: limits.stack_kib },
        Some(Trap::MemoryOutOfBounds) => Cause::OutOfBounds,
        // What Rust's abort compiles to.
        Some(Trap::UnreachableCodeReached) => {
            Cause::Panic { message: logged.map(|logged| shown(&words_of_panic(logged), SENTENCE)) }
        }
        Some(
            trap @ (Trap::StringOutOfBounds
            | Trap::ListOutOfBounds
            | Trap::InvalidChar
            | Trap::InvalidDiscriminant
            | Trap::UnalignedPointer),
        ) => Cause::Unreadable(trap_text(*trap)),
        Some(trap) => Cause::Trap(trap_text(*trap)),
        None => unreadable(error, limits),
    }
}

/// Why an instance could not even be made. What is unreadable then is the plugin's types: nothing has been returned yet.
pub(super) fn classify_start(error: &wasmtime::Error, limits: &Limits, logged: Option<String>) -> Cause {
    match classify(error, limits, logged) {
        Cause::Unreadable(text) => {
            Cause::BadOutput(format!("does not keep to the plugin contract {CONTRACT_VERSION}: {text}"))
        }
        cause => cause,
    }
}

fn trap_text(trap: Trap) -> String {
    trap.to_string().trim_start_matches("wasm trap: ").to_owned()
}

/// wasmtime keeps the types of these errors private, so their text decides here. It decides nothing but the wording: the
/// call has failed in any case.
fn unreadable(error: &wasmtime::Error, limits: &Limits) -> Cause {
    let text = shown(&error.root_cause().to_string(), SENTENCE);
    if text.contains("fuel allocated for hostcalls") {
        Cause::OutputTooLarge { limit: limits.output_mib }
    } else if text.contains("resource limit exceeded") || text.contains("cannot allocate another handle") {
        Cause::Trap(text)
    } else {
        Cause::Unreadable(text)
    }
}

/// Rust's panic text, `panicked at PLACE:\nMESSAGE`, as `MESSAGE (PLACE)`; any other text as it is.
fn words_of_panic(logged: String) -> String {
    let rust = logged.strip_prefix("panicked at ").and_then(|rest| rest.split_once(":\n"));
    match rust {
        Some((place, message)) => format!("{} ({place})", message.trim_end()),
        None => logged,
    }
}

/// 10000000 → 10,000,000
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_plugin_version_digest_function_prompt_and_cause() {
        let fault = PluginFault {
            plugin: Arc::new(Identity {
                name: "value".to_owned(),
                version: Some("0.1.0".to_owned()),
                sha256: "0123456789abcdef".to_owned(),
            }),
            function: "score",
            prompt: Some("p1".to_owned()),
            cause: Cause::OutOfFuel { limit: 10_000_000 },
        };
        assert_eq!(
            fault.to_string(),
            "plugin `value` 0.1.0 (0123456789ab): `score` failed on prompt `p1`: ran out of fuel (10,000,000 units, about as many instructions)"
        );
    }

    #[test]
    fn a_panic_is_told_message_first() {
        let logged = "panicked at src/lib.rs:7:5:\nno such token".to_owned();
        assert_eq!(words_of_panic(logged), "no such token (src/lib.rs:7:5)");
        assert_eq!(words_of_panic("out of luck".to_owned()), "out of luck");
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
