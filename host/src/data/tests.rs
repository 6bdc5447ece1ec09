//! The room as a whole, on small files.

use super::test_folder::TestFolder;
use super::*;
use crate::config::{Data, DataFormat, Encoding, Part};
use crate::records::Message;

fn data(paths: Vec<PathBuf>) -> Data {
    Data {
        paths,
        format: None,
        field: "prompt".into(),
        group_field: "group".into(),
        encoding: Encoding::Utf8,
        limit: None,
        part: None,
        prefix_words: None,
    }
}

/// Reads one file of this name and content.
fn read_one(name: &str, content: &str, change: impl FnOnce(&mut Data)) -> Result<DataRead> {
    let folder = TestFolder::new()?;
    let path = folder.write(name, content.as_bytes())?;
    let mut data = data(vec![path]);
    change(&mut data);
    read(&data, 1)
}

fn texts(read: &DataRead) -> Vec<&str> {
    read.prompts
        .iter()
        .map(|prompt| match &prompt.prompt {
            PromptText::Text(text) => text.as_str(),
            PromptText::Chat(_) => "(chat)",
        })
        .collect()
}

fn error(result: Result<DataRead>) -> UserError {
    match result.expect_err("should fail").downcast::<UserError>() {
        Ok(error) => error,
        Err(other) => panic!("not the user's error: {other}"),
    }
}

#[test]
fn jsonl_holds_strings_and_dialogues_with_optional_groups() -> Result<()> {
    let read = read_one(
        "a.jsonl",
        "{\"prompt\":\"x\",\"group\":\"g\"}\r\n\n{\"prompt\":[{\"role\":\"user\",\"content\":\"y\"}],\"other\":1}\n",
        |_| {},
    )?;
    assert_eq!(read.prompts[0].group.as_deref(), Some("g"));
    assert_eq!(read.prompts[1].prompt, PromptText::Chat(vec![Message { role: "user".into(), content: "y".into() }]));
    assert_eq!(read.prompts[1].group, None);
    Ok(())
}

#[test]
fn all_bad_lines_are_reported_at_once_with_their_numbers() {
    let error = error(read_one(
        "a.jsonl",
        "{\"prompt\":\"x\"}\nhello\n{\"promt\":\"x\"}\n{\"prompt\":\"x\",\"group\":[]}\n",
        |_| {},
    ));
    for part in [
        "3 lines cannot be read",
        "a.jsonl:2: not JSON",
        "`hello`",
        "a.jsonl:3: no field `prompt` among `promt`",
        "a.jsonl:4: `group` is a list",
    ] {
        assert!(error.message.contains(part), "{part} is not in {error}");
    }
    assert!(error.hint.is_some_and(|hint| hint.contains("data.field")));
}

#[test]
fn duplicates_are_kept_once_and_named_by_line() -> Result<()> {
    let read = read_one("a.txt", "x\ny\nx\n", |_| {})?;
    assert_eq!(texts(&read), ["x", "y"]);
    assert_eq!((read.duplicates[0].line, read.duplicates[0].first_line), (3, 1));
    assert!(read.notes()[0].ends_with("a.txt:3: the same prompt as line 1; kept once"));
    Ok(())
}

#[test]
fn ids_depend_on_content_not_on_place_format_or_group() -> Result<()> {
    let a = read_one("a.txt", "y\nx\n", |_| {})?;
    let b = read_one("b.jsonl", "{\"prompt\":\"x\",\"group\":\"g\"}\n", |_| {})?;
    assert_eq!(a.prompts[1].id, b.prompts[0].id);
    assert_eq!(a.prompts[1].id.len(), 16);
    Ok(())
}

#[test]
fn csv_quotes_commas_and_line_ends_inside_cells() -> Result<()> {
    let read =
        read_one("a.csv", "id,prompt,group\r\n1,\"a, \"\"b\"\"\r\nc\",g\r\n\r\n2,\"d\",\r\n3,\"d\",h\r\n", |_| {})?;
    assert_eq!(texts(&read), ["a, \"b\"\r\nc", "d"]);
    assert_eq!(read.prompts[0].group.as_deref(), Some("g"));
    assert_eq!(read.prompts[1].group, None);
    assert_eq!((read.duplicates[0].line, read.duplicates[0].first_line), (6, 5));
    Ok(())
}

#[test]
fn csv_without_the_column_lists_the_columns() {
    let error = error(read_one("a.csv", "id,Question\n1,x\n", |data| {
        data.field = "question".into();
    }));
    assert!(error.message.ends_with("a.csv: no column `question`"), "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("`id`, `Question`")));
}

#[test]
fn csv_rows_of_the_wrong_length_and_open_quotes_are_named() {
    let short = error(read_one("a.csv", "id,prompt\n1,x\n2\n3,\n", |_| {}));
    assert!(short.message.contains("a.csv:3: 1 cells, the header has 2"), "{short}");
    assert!(short.message.contains("a.csv:4: `prompt` is empty"), "{short}");
    let open = error(read_one("a.csv", "prompt\nx\n\"y\nz\n", |_| {}));
    assert!(open.message.ends_with("a.csv:3: a quoted cell begins here and never ends"));
}

#[test]
fn a_group_field_that_no_line_has_is_an_error() {
    for (name, content) in [("a.jsonl", "{\"prompt\":\"x\"}\n"), ("a.csv", "prompt\nx\n")] {
        let error = error(read_one(name, content, |data| data.group_field = "task".into()));
        assert!(error.message.contains("`task`"), "{error}");
    }
}

#[test]
fn empty_data_is_an_error_whatever_the_format() {
    for name in ["a.jsonl", "a.csv", "a.txt"] {
        let error = error(read_one(name, "\n", |_| {}));
        assert!(error.message.contains("no prompts"), "{error}");
    }
}

#[test]
fn an_unknown_ending_asks_for_the_format() -> Result<()> {
    let unknown = error(read_one("a.pos", "x\n", |_| {}));
    assert!(unknown.hint.is_some_and(|hint| hint.contains("data.format")));
    let read = read_one("a.pos", "x\n", |data| data.format = Some(DataFormat::Text))?;
    assert_eq!(texts(&read), ["x"]);
    Ok(())
}

#[test]
fn a_limit_keeps_the_first_and_counts_the_rest() -> Result<()> {
    let read = read_one("a.txt", "a\nb\na\nc\n", |data| data.limit = Some(2))?;
    assert_eq!(texts(&read), ["a", "b"]);
    assert_eq!((read.dropped.over_limit, read.duplicates.len()), (1, 1));
    Ok(())
}

#[test]
fn a_part_is_the_same_lines_whatever_the_format() -> Result<()> {
    let lines: Vec<String> = (0..200).map(|n| format!("line {n}")).collect();
    let part = |data: &mut Data| data.part = Some(Part { from: 0.2, to: 0.6 });
    let text = read_one("a.txt", &lines.join("\n"), part)?;
    let jsonl: Vec<String> = lines.iter().map(|l| format!("{{\"prompt\":\"{l}\"}}")).collect();
    let jsonl = read_one("a.jsonl", &jsonl.join("\n"), part)?;
    assert_eq!(text, jsonl);
    assert_eq!(text.prompts.len() + text.dropped.other_part, 200);
    Ok(())
}

#[test]
fn an_empty_part_says_where_the_lines_went() {
    let error = error(read_one("a.txt", "x\ny\n", |data| {
        data.part = Some(Part { from: 0.0, to: 1e-9 });
    }));
    assert!(error.message.contains("none of the 2 prompts is left (2 lines outside `part`)"));
}

#[test]
fn prefixes_are_cut_merged_and_counted() -> Result<()> {
    let content = "a b c\na b d\none two\nx\n";
    let read = read_one("a.txt", content, |data| data.prefix_words = Some([2, 8]))?;
    assert_eq!(texts(&read), ["a b"]);
    assert_eq!((read.dropped.same_prefix, read.dropped.too_few_words), (1, 2));
    assert_eq!(read.prompts[0].id, prompt_id(&PromptText::Text("a b".into())));
    Ok(())
}

#[test]
fn prefixes_of_dialogues_are_refused() {
    let chat = "{\"prompt\":[{\"role\":\"user\",\"content\":\"a b c\"}]}\n";
    let error = error(read_one("a.jsonl", chat, |data| data.prefix_words = Some([1, 2])));
    assert!(error.message.contains("a.jsonl:1: `prefix_words` cuts text prompts"));
}
