//! `cargo xtask`: sets up a fresh machine, then runs a chore of this repository.
//!
//! In: a command line. Out: a set-up tree (libtorch in the user's cache, the host and the plugins built) and the
//! chore's own result. It knows nothing of the product: it fetches, builds and starts programs.

mod command;
mod error;
mod places;
mod programs;
mod setup;

mod bench;
mod demo;
mod tally;
mod test_run;

use command::Command;
use error::{HostFailed, UserError};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let command = Command::parse(std::env::args().skip(1))?;
    if let Command::Help = command {
        print!("{}", command::HELP);
        return Ok(ExitCode::SUCCESS);
    }
    let places = places::Places::find()?;
    let ready = setup::set_up(&places)?;
    match command {
        Command::Help => Ok(ExitCode::SUCCESS),
        Command::Setup => {
            ready.explain(&places);
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo { extra } => demo::run(&places, &ready, &extra),
        Command::Test { filter } => test_run::run(&places, &ready, filter.as_deref()),
        Command::Bench { name, extra } => bench::run(&places, &ready, &name, &extra),
    }
}

/// Prints the error and its cure; 1 when the user can mend it, 2 when it is ours.
fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(HostFailed { code: Some(code) }) = error.downcast_ref() {
        return ExitCode::from(u8::try_from(*code).unwrap_or(2));
    }
    match error.downcast_ref::<UserError>() {
        Some(user) => {
            eprintln!("error: {error:#}");
            eprintln!("hint: {}", user.hint);
            ExitCode::from(1)
        }
        None => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
