//! The host's own memory, measured: a plugin that hands over much makes the host no larger than its limits say.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::trial::Trial;
use crate::support::skip;

/// The peak resident memory of a command, MiB, and its exit code. Read while it runs: the peak only ever rises.
fn peak(command: &mut Command) -> (u64, Option<i32>) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("udasa starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) / 1024);
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            return (peak, status.code());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn whatever_a_plugin_hands_over_the_host_stays_within_the_limits() {
    if !fs::exists("/proc/self/status").is_ok_and(|exists| exists) {
        return skip("the peak of a process is read from /proc, which is not here");
    }
    let measured = |sin: &str, limits: &str| {
        let trial = Trial::bad(sin, limits);
        peak(trial.score("stop").env("RAYON_NUM_THREADS", "1"))
    };
    let (usual, code) = measured("", "");
    assert_eq!(code, Some(0));
    for (sin, memory, output) in [
        ("log-flood", 64, 16),
        ("log-huge", 64, 16),
        ("panic-in-many-words", 64, 16),
        ("huge-output", 256, 16),
        ("huge-fault", 64, 16),
        ("many-scores", 256, 16),
        ("many-notes", 64, 16),
        ("huge-note", 64, 16),
        ("million-questions", 512, 16),
        ("many-questions", 64, 16),
        ("many-problems", 64, 16),
        ("huge-problem", 64, 16),
    ] {
        let limits = format!("fuel = 2_000_000_000\nmemory_mib = {memory}\noutput_mib = {output}");
        let (peak, code) = measured(sin, &limits);
        assert!(code.is_some_and(|code| code < 2), "{sin}: {code:?}");
        // The plugin's own memory; what it handed over, and the host's copy of it in another form; the rest is slack for a
        // few buffers of a line.
        let allowed = usual + memory + 3 * output + 16;
        println!("{sin}: {peak} MiB, usually {usual}, allowed {allowed}");
        assert!(peak <= allowed, "{sin}: {peak} MiB, {allowed} allowed; {usual} without a sin");
    }
}
