//! Bad and good input data through the binary: each bad file ends with exit code 1 and a message that names the file,
//! the line, the reason and the cure; a corrected file goes through.

use std::path::Path;

use std::process::Command;

use crate::support::{expect_user_error, scratch, shared_data, udasa, write};

/// A config over one prompt file, with more keys for `[data]`. The new model it describes is never made: the command
/// stops after the data room.
fn read_prompts(dir: &Path, file: &Path, keys: &str) -> Command {
    let corpus = write(dir, "corpus.txt", "a b c d\n");
    let config = write(
        dir,
        "config.toml",
        format!(
            r#"name = "data-test"

[data]
paths = ['{}']
{keys}

[model]
device = "cpu"

[sft]
paths = ['{}']
steps = 1
learning_rate = 1e-3

[sft.tokenizer]
kind = "word"
vocabulary = 16

[sft.model]
hidden = 8
layers = 1
heads = 1
feed_forward = 8
"#,
            file.display(),
            corpus.display()
        ),
    );
    let mut command = udasa();
    command.arg("run").arg(config).args(["--until", "data", "--out"]).arg(dir.join("run"));
    command
}

/// A config over responses made elsewhere.
fn read_responses(dir: &Path, file: &Path, keys: &str) -> Command {
    let config = write(
        dir,
        "config.toml",
        format!("name = \"responses-test\"\n\n[generate]\nfrom = '{}'\n{keys}\n", file.display()),
    );
    let mut command = udasa();
    command.arg("generate").arg(config).arg("--out").arg(dir.join("run"));
    command
}

/// The lines of a file in the run folder.
fn lines(dir: &Path, name: &str) -> Vec<String> {
    let path = dir.join("run").join(name);
    let text = std::fs::read_to_string(&path).expect("the run folder has the file");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn an_empty_prompt_file_is_named() {
    let dir = scratch();
    for (name, content) in [("prompts.jsonl", ""), ("prompts.txt", "\n \n"), ("prompts.csv", "")] {
        let file = write(dir.path(), name, content);
        expect_user_error(&mut read_prompts(dir.path(), &file, ""), &[name, "no prompts", "at least one prompt"]);
    }
}

#[test]
fn every_line_that_is_not_json_is_named_and_the_corrected_file_goes_through() {
    let dir = scratch();
    let bad = "{\"prompt\": \"one\"}\nhello there\n{\"prompt\": \"two\"\n{\"question\": \"three\"}\n";
    let file = write(dir.path(), "prompts.jsonl", bad);
    expect_user_error(
        &mut read_prompts(dir.path(), &file, ""),
        &[
            "3 lines cannot be read",
            "prompts.jsonl:2: not JSON",
            "`hello there`",
            "prompts.jsonl:3: not JSON",
            "prompts.jsonl:4: no field `prompt` among `question`",
            "one object a line",
        ],
    );
    write(dir.path(), "prompts.jsonl", "{\"prompt\": \"one\"}\n{\"prompt\": \"two\"}\n");
    let output = read_prompts(dir.path(), &file, "").output().expect("udasa starts");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(lines(dir.path(), "prompts.jsonl").len(), 2);
}

#[test]
fn more_bad_lines_than_anybody_reads_are_counted() {
    let dir = scratch();
    let file = write(dir.path(), "prompts.jsonl", "x\n".repeat(45));
    let stderr = expect_user_error(
        &mut read_prompts(dir.path(), &file, ""),
        &["45 lines cannot be read", "prompts.jsonl:20:", "and 25 more"],
    );
    assert!(!stderr.contains("prompts.jsonl:21:"), "{stderr}");
}

#[test]
fn a_latin_1_file_asks_for_its_encoding_and_is_read_with_it() {
    let dir = scratch();
    let file = write(dir.path(), "prompts.txt", b"plain\nna\xefve\n");
    expect_user_error(
        &mut read_prompts(dir.path(), &file, ""),
        &["prompts.txt:2: byte 3 of the line, 0xEF", "encoding = \"latin-1\""],
    );
    let output = read_prompts(dir.path(), &file, "encoding = \"latin-1\"").output().expect("udasa starts");
    assert!(output.status.success(), "{output:?}");
    assert!(lines(dir.path(), "prompts.jsonl")[1].contains("naïve"));
}

#[test]
fn a_csv_without_the_column_lists_those_it_has() {
    let dir = scratch();
    let file = write(dir.path(), "prompts.csv", "id,Question\n1,why\n");
    expect_user_error(
        &mut read_prompts(dir.path(), &file, ""),
        &["prompts.csv: no column `prompt`", "`data.field`", "`Question`"],
    );
}

#[test]
fn a_csv_with_an_open_quote_or_a_short_row_is_named_by_line() {
    let dir = scratch();
    let open = write(dir.path(), "open.csv", "prompt\nfine\n\"never closed\nmore\n");
    expect_user_error(
        &mut read_prompts(dir.path(), &open, ""),
        &["open.csv:3: a quoted cell begins here and never ends"],
    );
    let short = write(dir.path(), "short.csv", "id,prompt\n1,fine\n2\n");
    expect_user_error(&mut read_prompts(dir.path(), &short, ""), &["short.csv:3: 1 cells, the header has 2"]);
}

#[test]
fn duplicates_are_reported_with_their_lines_and_kept_once() {
    let dir = scratch();
    let file = write(dir.path(), "prompts.txt", "one\ntwo\none\n");
    let output = read_prompts(dir.path(), &file, "").output().expect("udasa starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("prompts.txt:3: the same prompt as line 1"), "{stderr}");
    assert_eq!(lines(dir.path(), "prompts.jsonl").len(), 2);
}

#[test]
fn bad_responses_made_elsewhere_are_named_by_line() {
    let dir = scratch();
    let bad = "{\"prompt\": \"q\", \"responses\": [\"a\", \"b\"]}\n{\"prompt\": \"r\", \"answers\": [\"a\"]}\n{\"prompt\": \"s\", \"responses\": []}\n";
    let file = write(dir.path(), "made.jsonl", bad);
    expect_user_error(
        &mut read_responses(dir.path(), &file, ""),
        &[
            "2 lines cannot be read",
            "made.jsonl:2: no field `responses` among `answers`, `prompt`",
            "made.jsonl:3: `responses` is an empty list",
            "generate.responses_field",
        ],
    );
}

#[test]
fn real_llama_samples_are_read_by_dotted_paths() {
    let Some(file) = shared_data("triviaqa-llama13b/generations.jsonl") else {
        return;
    };
    let dir = scratch();
    let keys = "prompt_field = \"question\"\nresponses_field = \"generations.text_cleaned\"";
    let output = read_responses(dir.path(), &file, keys).output().expect("udasa starts");
    assert!(output.status.success(), "{output:?}");
    let samples = lines(dir.path(), "responses.jsonl");
    assert_eq!(samples.len(), 250);
    assert!(samples[0].starts_with("{\"id\":\"qw_8385\""), "{}", samples[0]);
    assert!(samples.iter().all(|line| line.matches("\"text\":").count() == 20));
}
