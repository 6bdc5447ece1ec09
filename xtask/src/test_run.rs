//! `cargo xtask test`: formatting, lints and every test, and one closing line that counts.
//!
//! All three always run, so that one run shows everything that is wrong.

use crate::error::UserError;
use crate::places::Places;
use crate::programs::{cargo, output, run_visibly};
use crate::setup::Ready;
use crate::tally::Tally;
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

/// The package of tests that know the host as a program only.
const OUTSIDE: &str = "udasa-tests";

pub fn run(places: &Places, ready: &Ready, filter: Option<&str>) -> Result<ExitCode> {
    require_component(places, "fmt", "rustfmt")?;
    require_component(places, "clippy", "clippy")?;
    let mut broken = Vec::new();

    eprintln!("test: formatting");
    if !run_visibly(cargo(places).args(["fmt", "--all", "--check", "--", "-l"]))?.success() {
        broken.push("formatting (cargo fmt --all)");
    }

    eprintln!("test: lints (about 2 minutes the first time, seconds afterwards)");
    let clippy = ["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
    if !run_visibly(ready.build(places).args(clippy))?.success() {
        broken.push("lints (cargo clippy --release --workspace --all-targets)");
    }

    eprintln!("test: every test (about 20 minutes the first time, most of it compiling)");
    let mut tally = Tally::default();
    let targets = ["--lib", "--bins", "--tests", "--examples"];
    // What drives the binary from outside turns on features that the host does without: apart, or the host's
    // dependencies would be compiled twice.
    let within = [&["--workspace", "--exclude", OUTSIDE], &targets[..]].concat();
    let within_passes = cargo_test(places, ready, &within, filter, &mut tally)?;
    let outside_passes = cargo_test(places, ready, &["--package", OUTSIDE, "--tests"], filter, &mut tally)?;
    // Doc tests are linked without the host's run path, and so apart.
    let docs_pass = cargo_test(places, ready, &["--workspace", "--exclude", OUTSIDE, "--doc"], filter, &mut tally)?;
    if !(within_passes && outside_passes && docs_pass) && tally.failed == 0 {
        broken.push("the build of the tests (cargo's messages are above)");
    }
    close(tally, &broken, filter)
}

/// The last words. What is broken besides the tests counts among the failures, so that the closing line never
/// looks better than the run.
fn close(mut tally: Tally, broken: &[&str], filter: Option<&str>) -> Result<ExitCode> {
    if tally.ignored > 0 {
        println!("{} ignored", tally.ignored);
    }
    if tally.skipped > 0 {
        println!("{} skipped; their reasons are above", tally.skipped);
    }
    for thing in broken {
        println!("failed: {thing}");
    }
    tally.failed += broken.len() as u64;
    let nothing_ran = tally.passed + tally.failed == 0;
    if let Some(filter) = filter.filter(|_| nothing_ran) {
        return Err(UserError::new(
            format!("no test's name contains `{filter}`"),
            "run `cargo xtask test` without a filter to see the names",
        )
        .into());
    }
    println!("{}", tally.closing_line());
    Ok(match tally.failed == 0 && !nothing_ran {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Runs `cargo test` over the workspace and adds to the tally what streams past. True when cargo is content.
fn cargo_test(
    places: &Places,
    ready: &Ready,
    targets: &[&str],
    filter: Option<&str>,
    tally: &mut Tally,
) -> Result<bool> {
    let mut command = ready.build(places);
    command
        .args(["test", "--release", "--no-fail-fast"])
        .args(targets)
        .args(filter)
        // Two OpenMP threads on a busy machine can be hundreds of times slower on small operations.
        .env("OMP_NUM_THREADS", "1")
        .env("UDASA_BIN", &ready.host)
        .env("UDASA_PLUGINS", &places.plugins);
    if targets.contains(&"--doc") {
        command.env("LD_LIBRARY_PATH", ready.libtorch.join("lib"));
    }
    let status = stream(&mut command, tally)?;
    tally.close();
    Ok(status)
}

fn stream(command: &mut Command, tally: &mut Tally) -> Result<bool> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting cargo test")?;
    let stdout = child.stdout.take().context("cargo test has no output")?;
    // A test may print anything, so bytes and not text.
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("reading what cargo test prints")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.line(&line);
    }
    Ok(child.wait().context("waiting for cargo test")?.success())
}

fn require_component(places: &Places, subcommand: &str, component: &str) -> Result<()> {
    match output(cargo(places).args([subcommand, "--version"])) {
        Ok(_) => Ok(()),
        Err(_) => Err(UserError::new(
            format!("cargo {subcommand} is not installed, and the tests include it"),
            format!("rustup component add {component}"),
        )
        .into()),
    }
}
