//! The documents and the shipped configs keep their word: what they tell a user to type exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::support::{repository, udasa};

/// Each shipped config with the tests that run it.
const CONFIGS: [(&str, &str); 2] = [("mini.toml", "small.rs"), ("reviews.toml", "reviews.rs")];

#[test]
fn every_shipped_config_is_run_by_a_test_and_opens_with_its_own_command() {
    let folder = repository().join("configs");
    let entries = fs::read_dir(&folder).expect("configs/ is there");
    let shipped: BTreeSet<String> =
        entries.map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned()).collect();
    let tested: BTreeSet<String> = CONFIGS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(shipped, tested, "a config that no test runs, or a test of a config that is not there");
    for (name, tests) in CONFIGS {
        let tests = fs::read_to_string(repository().join("tests/it").join(tests)).expect("the tests are there");
        assert!(tests.contains(&format!("configs/{name}")), "{name} is not run there");
        let config = fs::read_to_string(folder.join(name)).expect("it can be read");
        let header = config.lines().take_while(|line| line.starts_with('#')).collect::<Vec<_>>().join("\n");
        assert!(header.contains(&format!("udasa run configs/{name} --plugins plugins-built")), "{name}:\n{header}");
    }
}

/// The README, the pages of `docs/` and the configs' headers.
fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["docs", "configs"]
        .iter()
        .flat_map(|folder| fs::read_dir(repository().join(folder)).expect("it is there"))
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md" || ending == "toml"))
        .collect();
    found.extend([repository().join("README.md")].into_iter().filter(|path| path.exists()));
    found.sort();
    found
}

/// Command lines of `program` in a document: lines of their own in a fenced block or a comment, and `code` in sentences.
fn commands(text: &str, program: &str) -> Vec<String> {
    let start = format!("{program} ");
    let whole_lines = text.lines().filter_map(|line| {
        let line = line.trim_start_matches(['#', '$', ' ']);
        line.starts_with(&start).then(|| line.split(" #").next().unwrap_or(line).trim().to_owned())
    });
    let in_sentences = text.split('`').skip(1).step_by(2).filter(|code| code.starts_with(&start));
    whole_lines.chain(in_sentences.map(str::to_owned)).collect()
}

#[test]
fn every_command_in_the_documents_exists_with_its_options() {
    let mut help = BTreeMap::<Vec<String>, String>::new();
    let mut checked = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).expect("it can be read");
        for command in commands(&text, "udasa") {
            // Redirections and further commands are the shell's.
            let own = command.split(['|', '>', ';', '&']).next().unwrap_or_default();
            let words: Vec<&str> = own.split_whitespace().skip(1).take_while(|word| *word != "…").collect();
            let depth = if matches!(words.first(), Some(&("plugin" | "model"))) { 2 } else { 1 };
            let is_name =
                |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
            let names: Vec<String> =
                words.iter().take(depth).take_while(is_name).map(|&word| word.to_owned()).collect();
            assert!(!names.is_empty(), "{document:?}: `{command}` has no subcommand");
            let text = help.entry(names.clone()).or_insert_with(|| {
                let output = udasa().args(&names).arg("--help").output().expect("udasa starts");
                assert!(output.status.success(), "{document:?}: `{command}`: {output:?}");
                String::from_utf8(output.stdout).expect("UTF-8")
            });
            for option in words.iter().filter(|word| word.starts_with("--")) {
                assert!(text.contains(option), "{document:?}: `{command}` has no option {option}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 5, "the documents name {checked} commands; are they still found?");
}

#[test]
fn every_file_that_the_documents_point_to_is_there() {
    let mut checked = 0;
    for document in documents().into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "md")) {
        let text = fs::read_to_string(&document).expect("it can be read");
        let folder = document.parent().expect("a file has a folder");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.map(|link| link.split('#').next().unwrap_or_default()) {
            if link.is_empty() || link.contains("://") || link.contains(char::is_whitespace) {
                continue;
            }
            assert!(folder.join(link).exists(), "{document:?} points to {link}");
            checked += 1;
        }
        for name in text.split('`').skip(1).step_by(2).filter(|code| code.starts_with("configs/")) {
            assert!(repository().join(name).exists(), "{document:?} names {name}");
            checked += 1;
        }
    }
    assert!(checked >= 1, "the documents point to nothing; are links still found?");
}
