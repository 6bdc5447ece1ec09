//! The program: read the command line, do what it says, report how it went.

use std::process::ExitCode;

use udasa::{cli, model};

fn main() -> ExitCode {
    // SAFETY: no other thread has been started.
    unsafe { model::take_large_pages() };
    cli::report_panics();
    match cli::parse().and_then(cli::execute) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::report(&error),
    }
}
