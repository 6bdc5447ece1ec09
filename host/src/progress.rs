//! Progress of one room: a bar with rate and ETA on a terminal, a plain line now and then otherwise. Writes to stderr only.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Where a plain line is written at most this often.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Counts towards a total.
pub struct Progress {
    room: String,
    unit: String,
    total: u64,
    started: Instant,
    bar: Option<ProgressBar>,
    plain: Mutex<Plain>,
}

struct Plain {
    done: u64,
    last: Instant,
    note: String,
}

impl Progress {
    /// Starts counting `total` items of `unit` for `room`.
    pub fn start(room: &str, total: u64, unit: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let template =
                format!("{{prefix:>10}} [{{bar:30}}] {{pos}}/{{len}} {unit}  {{per_sec}}  {{eta}} left  {{msg}}");
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(room.to_owned());
            bar
        });
        let now = Instant::now();
        Self {
            room: room.to_owned(),
            unit: unit.to_owned(),
            total,
            started: now,
            bar,
            plain: Mutex::new(Plain { done: 0, last: now, note: String::new() }),
        }
    }

    /// `n` more are done.
    pub fn advance(&self, n: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(n);
            return;
        }
        let Ok(mut plain) = self.plain.lock() else {
            return;
        };
        plain.done += n;
        if plain.last.elapsed() >= PLAIN_EVERY {
            plain.last = Instant::now();
            let rate = plain.done as f64 / self.started.elapsed().as_secs_f64();
            let left = (self.total.saturating_sub(plain.done)) as f64 / rate.max(1e-9);
            eprintln!(
                "{:>10}  {}/{} {}  {rate:.0}/s  {left:.0}s left  {}",
                self.room, plain.done, self.total, self.unit, plain.note
            );
        }
    }

    /// A short remark beside the numbers, such as the loss.
    pub fn note(&self, note: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(note);
        } else if let Ok(mut plain) = self.plain.lock() {
            plain.note = note;
        }
    }

    /// Says what was done and how long it took.
    pub fn finish(self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{:>10}  {what}  ({:.1}s)", self.room, self.started.elapsed().as_secs_f64());
    }
}
