//! The host's side: a [`Table`] as a safe object.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::message::{Description, Failure, LogLine, Reply, ScoreArguments, StageArguments};
use super::{ABI, Bytes, CONTRACT, Kind, Table};
use crate::{Answer, Fault, Pair, PastStage, Problem, Sample, Stage, Step};

/// A native plugin that can be called. Calls may run side by side on any threads.
pub struct Plugin {
    table: &'static Table,
    kind: Kind,
}

/// Why a table cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Built with another version of this border.
    Abi {
        /// Its number.
        found: u32,
    },
    /// Built for another version of the contract.
    Contract {
        /// The version.
        found: String,
    },
    /// Neither a scorer nor a staging policy.
    Kind,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abi { found } => write!(f, "was built for number {found} of the native border; this host has {ABI}"),
            Self::Contract { found } => {
                write!(f, "was built for version {found} of the plugin contract; this host has {CONTRACT}")
            }
            Self::Kind => f.write_str("is neither a scorer nor a staging policy"),
        }
    }
}

impl std::error::Error for Refusal {}

/// A call's result, and the lines that the plugin logged meanwhile.
#[derive(Debug, Clone, PartialEq)]
pub struct Returned<T> {
    /// What the plugin logged.
    pub log: Vec<LogLine>,
    /// What it returned.
    pub result: Result<T, Failure>,
}

impl Plugin {
    /// Checks the numbers in front of a table; nothing is called.
    ///
    /// # Safety
    /// `table` must be what a plugin exports under a [`SYMBOL`](super::SYMBOL) name, and its library must stay loaded for
    /// the rest of the process.
    pub unsafe fn new(table: *const Table) -> Result<Self, Refusal> {
        // SAFETY: a table of any version begins with its number, by the caller's promise; nothing else is read yet.
        let abi = unsafe { table.cast::<u32>().read() };
        if abi != ABI {
            return Err(Refusal::Abi { found: abi });
        }
        // SAFETY: with this number it has this layout, and it is a static of a library that stays loaded.
        let table: &'static Table = unsafe { &*table };
        if !compatible(&table.contract) {
            let found = String::from_utf8_lossy(&table.contract).trim_end_matches('\0').to_owned();
            return Err(Refusal::Contract { found });
        }
        let kind = match table.kind {
            0 => Kind::Scorer,
            1 => Kind::StagingPolicy,
            _ => return Err(Refusal::Kind),
        };
        Ok(Self { table, kind })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What it says of itself.
    pub fn describe(&self) -> Returned<Description> {
        // SAFETY: the function takes nothing.
        self.received(unsafe { (self.table.describe)() })
    }

    /// All that is wrong with the settings.
    pub fn check_settings(&self, settings: &str) -> Returned<Vec<Problem>> {
        self.called(self.table.check_settings, settings.as_bytes())
    }

    /// One step of a scorer. Of a staging policy, an unreadable call.
    pub fn score(&self, settings: &str, sample: &Sample, rounds: &[Vec<Answer>]) -> Returned<Result<Step, Fault>> {
        self.sent(Kind::Scorer, &ScoreArguments { settings, sample, rounds })
    }

    /// The next stage of a staging policy. Of a scorer, an unreadable call.
    pub fn next_stage(
        &self,
        settings: &str,
        seed: u64,
        pairs: &[Pair],
        history: &[PastStage],
    ) -> Returned<Result<Option<Stage>, Fault>> {
        self.sent(Kind::StagingPolicy, &StageArguments { settings, seed, pairs, history })
    }

    fn sent<T: DeserializeOwned>(&self, kind: Kind, arguments: &impl Serialize) -> Returned<T> {
        if kind != self.kind {
            return unreadable(format!("the plugin is a {:?}, not a {kind:?}", self.kind));
        }
        match postcard::to_allocvec(arguments) {
            Ok(bytes) => self.called(self.table.call, &bytes),
            Err(error) => unreadable(format!("the arguments: {error}")),
        }
    }

    fn called<T: DeserializeOwned>(
        &self,
        function: unsafe extern "C" fn(*const u8, usize) -> Bytes,
        input: &[u8],
    ) -> Returned<T> {
        // SAFETY: `input` is readable and unchanged until the function returns.
        self.received(unsafe { function(input.as_ptr(), input.len()) })
    }

    /// Reads what a function returned, and gives it back to be freed.
    pub(super) fn received<T: DeserializeOwned>(&self, bytes: Bytes) -> Returned<T> {
        let read = if bytes.data.is_null() || bytes.len == 0 {
            Err(postcard::Error::DeserializeUnexpectedEnd)
        } else {
            // SAFETY: the plugin lends these bytes until they are freed, below.
            postcard::from_bytes(unsafe { std::slice::from_raw_parts(bytes.data, bytes.len) })
        };
        // SAFETY: they came from this library, and nothing read from them borrows.
        unsafe { (self.table.free)(bytes) };
        match read {
            Ok(Reply { log, result }) => Returned { log, result },
            Err(error) => unreadable(format!("the result: {error}")),
        }
    }
}

fn unreadable<T>(what: String) -> Returned<T> {
    Returned { log: Vec::new(), result: Err(Failure::Unreadable(what)) }
}

/// Additive changes of the contract raise the patch version: one major and minor version is one contract.
fn compatible(found: &[u8; 16]) -> bool {
    let minor = |version: &str| version.trim_end_matches('\0').rsplit_once('.').map(|(minor, _)| minor.to_owned());
    std::str::from_utf8(found).ok().and_then(minor) == minor(CONTRACT)
}
