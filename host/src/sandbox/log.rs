//! The log sink, a plugin's only import: lines for a person, capped, never read back by a plugin.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, WasmStr};

use super::bindings::scorer::udasa::plugin::log::Level;
use super::store::State;
use super::words;

/// A longer line is cut here.
const LINE_BYTES: usize = 4096;
/// Fuel for a line and for a byte of it: a flood of lines runs out of fuel like any other loop, and at the same point on
/// every machine.
const LINE_FUEL: u64 = 10_000;
const BYTE_FUEL: u64 = 10;

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For the plugin's author.
    Debug,
    /// For the user.
    Info,
    /// Something the user may want to change.
    Warn,
    /// Something failed.
    Error,
}

/// A line that a plugin wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How serious it is.
    pub level: LogLevel,
    /// The text, as [`words`] shows it.
    pub text: String,
}

/// The lines of all instances of one plugin.
pub(super) struct LogSink {
    lines: Mutex<Vec<LogLine>>,
    most: usize,
    dropped: AtomicU64,
}

impl LogSink {
    pub fn new(most: usize) -> Self {
        Self { lines: Mutex::new(Vec::new()), most, dropped: AtomicU64::new(0) }
    }

    pub fn lines(&self) -> Vec<LogLine> {
        self.lines.lock().map(|l| l.clone()).unwrap_or_default()
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// A line of a native plugin.
    pub fn take(&self, level: LogLevel, text: &str) {
        self.push(LogLine { level, text: words::shown(text, LINE_BYTES) });
    }

    fn push(&self, line: LogLine) {
        if let Ok(mut lines) = self.lines.lock()
            && lines.len() < self.most
        {
            lines.push(line);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Gives a plugin its log.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance("udasa:plugin/log@0.1.0")?.func_wrap(
        "write",
        // `WasmStr` is read in place: a huge message is never copied whole.
        |mut store: StoreContextMut<State>, (level, message): (Level, WasmStr)| {
            let (text, cost) = {
                let text = message.to_str(&store)?;
                let bytes = text.len() as u64;
                (words::printable(&text, LINE_BYTES), LINE_FUEL + BYTE_FUEL.saturating_mul(bytes))
            };
            let line = LogLine { level: level_of(level), text: words::shown(&text, LINE_BYTES) };
            let fuel = store.get_fuel()?;
            let state = store.data_mut();
            if line.level == LogLevel::Error {
                state.last_error = Some(text);
            }
            state.log.push(line);
            match fuel.checked_sub(cost) {
                Some(rest) => store.set_fuel(rest),
                None => Err(wasmtime::Trap::OutOfFuel.into()),
            }
        },
    )
}

fn level_of(level: Level) -> LogLevel {
    match level {
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_over_the_cap_are_counted_not_kept() {
        let sink = LogSink::new(2);
        for _ in 0..5 {
            sink.push(LogLine { level: LogLevel::Info, text: "x".to_owned() });
        }
        assert_eq!((sink.lines().len(), sink.dropped()), (2, 3));
    }
}
