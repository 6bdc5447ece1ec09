//! The command line: words in, one [`Command`] out, or an error with a suggestion.

use crate::error::UserError;
use anyhow::Result;

pub const HELP: &str = "\
Set-up and chores of this repository

Usage: cargo xtask <COMMAND>

Commands:
  demo [-- ARGS]              set up, then pre-train, align and measure the mini world (configs/mini.toml)
  test [FILTER]               set up, then check formatting and lints, and run every test
  bench NAME [--json] [ARGS]  set up, then run one benchmark
  setup                       only the set-up: libtorch, the wasm target, the host and the plugins
  help                        this page

ARGS of demo go to `udasa run`, for example: cargo xtask demo -- --set stage.policy=unstaged

Environment:
  LIBTORCH                libtorch 2.11 to use instead of fetching one
  UDASA_CACHE             where fetched things are kept (default: $XDG_CACHE_HOME/udasa or ~/.cache/udasa)
  UDASA_WASM_FALLBACK=1   build plugins with the distribution's compiler even where rustup has the wasm target
  CARGO_TARGET_DIR        where the build goes, as with cargo itself
";

const NAMES: [&str; 5] = ["demo", "test", "bench", "setup", "help"];

#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Demo { extra: Vec<String> },
    Test { filter: Option<String> },
    Bench { name: String, extra: Vec<String> },
    Setup,
    Help,
}

impl Command {
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Self> {
        let mut words: Vec<String> = words.collect();
        if words.is_empty() {
            return Ok(Self::Help);
        }
        let name = words.remove(0);
        match name.as_str() {
            "help" | "--help" | "-h" => Ok(Self::Help),
            "setup" => {
                nothing_more("setup", &words)?;
                Ok(Self::Setup)
            }
            "demo" => {
                if words.first().is_some_and(|word| word == "--") {
                    words.remove(0);
                }
                Ok(Self::Demo { extra: words })
            }
            "test" => {
                let filter = (!words.is_empty()).then(|| words.remove(0));
                if let Some(flag) = filter.as_ref().filter(|word| word.starts_with('-')) {
                    return Err(UserError::new(
                        format!("`cargo xtask test` takes no option, but was given `{flag}`"),
                        "give a part of a test's name, or nothing to run them all",
                    )
                    .into());
                }
                nothing_more("test", &words)?;
                Ok(Self::Test { filter })
            }
            "bench" => match words.first() {
                Some(name) if !name.starts_with('-') => Ok(Self::Bench { name: words.remove(0), extra: words }),
                _ => Err(UserError::new(
                    "`cargo xtask bench` needs the name of a benchmark",
                    "`cargo xtask bench list` names them",
                )
                .into()),
            },
            other => Err(unknown(other).into()),
        }
    }
}

fn nothing_more(command: &str, words: &[String]) -> Result<()> {
    match words.first() {
        None => Ok(()),
        Some(word) => Err(UserError::new(
            format!("`cargo xtask {command}` does not know what to do with `{word}`"),
            "see `cargo xtask help`",
        )
        .into()),
    }
}

fn unknown(name: &str) -> UserError {
    let list = NAMES.join(", ");
    let hint = match nearest(name) {
        Some(near) => format!("did you mean `{near}`? The commands are: {list}"),
        None => format!("the commands are: {list}"),
    };
    UserError::new(format!("unknown command `{name}`"), hint)
}

/// The command within two edits of what was typed.
fn nearest(typed: &str) -> Option<&'static str> {
    NAMES
        .iter()
        .map(|name| (edit_distance(typed, name), *name))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, name)| name)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    fn problem(line: &str) -> (String, String) {
        let error = parse(line).expect_err("the line is wrong");
        let user = error.downcast_ref::<UserError>().expect("the user's error");
        (user.to_string(), user.hint.clone())
    }

    #[test]
    fn nothing_is_a_request_for_help() {
        assert_eq!(parse("").expect("parses"), Command::Help);
    }

    #[test]
    fn demo_passes_everything_after_the_dashes() {
        let Command::Demo { extra } = parse("demo -- --set seed=2").expect("parses") else {
            panic!("not the demo");
        };
        assert_eq!(extra, ["--set", "seed=2"]);
    }

    #[test]
    fn a_filter_is_one_word_and_no_option() {
        assert_eq!(parse("test pairs").expect("parses"), Command::Test { filter: Some("pairs".into()) });
        assert!(problem("test --nocapture").0.contains("--nocapture"));
        assert!(problem("test one two").0.contains("two"));
    }

    #[test]
    fn a_benchmark_needs_a_name() {
        assert!(problem("bench --json").0.contains("needs the name"));
        let Command::Bench { name, extra } = parse("bench generate --json").expect("parses") else {
            panic!("not a benchmark");
        };
        assert_eq!((name.as_str(), extra), ("generate", vec!["--json".into()]));
    }

    #[test]
    fn a_misspelt_command_gets_a_suggestion_and_the_list() {
        let (message, hint) = problem("tset");
        assert_eq!(message, "unknown command `tset`");
        assert!(hint.contains("did you mean `test`"));
        assert!(hint.contains("demo, test, bench, setup, help"));
        assert!(!problem("frobnicate").1.contains("did you mean"));
    }
}
