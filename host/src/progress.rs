//! Progress of one room: a bar with rate and ETA on a terminal, a plain line now and then otherwise. Writes to stderr only.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

/// A plain line is written at most this often.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// A bar appears after this time only, so that short work does not flicker.
const BAR_AFTER: Duration = Duration::from_millis(300);

/// Counts towards a total.
pub struct Progress {
    room: String,
    unit: String,
    total: u64,
    started: Instant,
    bar: Option<ProgressBar>,
    counted: Mutex<Counted>,
}

struct Counted {
    done: u64,
    said: Instant,
    note: String,
}

impl Progress {
    /// Starts counting `total` items of `unit` for `room`.
    pub fn start(room: &str, total: u64, unit: &str) -> Self {
        let now = Instant::now();
        Self {
            room: room.to_owned(),
            unit: unit.to_owned(),
            total,
            started: now,
            bar: std::io::stderr().is_terminal().then(|| bar(room, total, unit)),
            counted: Mutex::new(Counted { done: 0, said: now, note: String::new() }),
        }
    }

    /// `n` more are done.
    pub fn advance(&self, n: u64) {
        let Ok(mut counted) = self.counted.lock() else {
            return;
        };
        counted.done += n;
        if let Some(bar) = &self.bar {
            bar.set_position(counted.done);
            if bar.is_hidden() && self.started.elapsed() >= BAR_AFTER {
                bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            }
            return;
        }
        // The last item is followed by the room's closing line anyway.
        if counted.said.elapsed() >= PLAIN_EVERY && counted.done < self.total {
            counted.said = Instant::now();
            eprintln!("{}", self.plain_line(&counted, self.started.elapsed()));
        }
    }

    /// A short remark beside the numbers, such as the loss.
    pub fn note(&self, note: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(note);
        } else if let Ok(mut counted) = self.counted.lock() {
            counted.note = note;
        }
    }

    /// Ends without a word: the caller says what was done.
    pub fn end(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Ends, and says what was done and how long it took.
    pub fn finish(self, what: &str) {
        let (room, took) = (self.room.clone(), self.started.elapsed());
        self.end();
        say(&room, &format!("{what}  ({})", duration(took)));
    }

    fn plain_line(&self, counted: &Counted, elapsed: Duration) -> String {
        let rate = counted.done as f64 / elapsed.as_secs_f64().max(1e-9);
        let left = self.total.saturating_sub(counted.done) as f64 / rate.max(1e-9);
        // A rate of nearly nothing would promise centuries.
        let left = Duration::try_from_secs_f64(left).map_or("long".into(), duration);
        let Counted { done, note, .. } = counted;
        let Self { room, total, unit, .. } = self;
        let rate = if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") };
        let line = format!("{room:>10}  {done}/{total} {unit}  {rate}/s  {left} left  {note}");
        line.trim_end().to_owned()
    }
}

fn bar(room: &str, total: u64, unit: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), indicatif::ProgressDrawTarget::hidden());
    let template = format!("{{prefix:>10}} [{{bar:30}}] {{pos}}/{{len}} {unit}  {{per_sec}}  {{eta}} left  {{msg}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(room.to_owned());
    bar
}

/// One line of a room on stderr.
pub fn say(room: &str, what: &str) {
    eprintln!("{room:>10}  {what}");
}

/// `0.4s`, `12.3s`, `3m 05s`, `2h 10m`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1}s"),
        60..3600 => format!("{}m {:02}s", whole / 60, whole % 60),
        _ => format!("{}h {:02}m", whole / 3600, whole % 3600 / 60),
    }
}

/// A result to stdout. A closed pipe (`udasa plan … | head`) is the reader's wish, not an error.
pub fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("writing to stdout"),
        _ => Ok(()),
    }
}

/// `812 B`, `3.4 MiB`.
pub fn size(bytes: u64) -> String {
    let mut amount = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if amount < 1024.0 {
            return match unit {
                "B" => format!("{bytes} B"),
                _ => format!("{amount:.1} {unit}"),
            };
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_read_well_from_tiny_to_large() {
        for (seconds, shown) in
            [(0.04, "0.0s"), (59.4, "59.4s"), (59.7, "1m 00s"), (185.0, "3m 05s"), (7800.0, "2h 10m")]
        {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), shown);
        }
        for (bytes, shown) in [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 40, "3.0 TiB")] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn a_plain_line_survives_a_rate_of_zero() {
        let progress = Progress::start("score", 10, "samples");
        let counted = Counted { done: 0, said: Instant::now(), note: String::new() };
        let line = progress.plain_line(&counted, Duration::ZERO);
        assert!(line.starts_with("     score  0/10 samples  0.0/s"), "{line}");
    }
}
