//! Preference rows made elsewhere (`pairs.from`): JSONL, or Parquet by the ending `.parquet`, in TRL's schema.
//!
//! A row has `chosen` and `rejected` (texts, or lists of messages) and `prompt`; where `prompt` is missing it is what both begin with, as
//! TRL extracts it. It may have token ids, ratings, and whatever else `udasa export` writes. Other columns are left alone. Knows no
//! tokenizer: what becomes of the texts is `pair`'s business.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use serde_json::{Map, Value};

use super::bad_lines::BadLines;
use super::{fields, parquet, text};
use crate::config::{Encoding, Pairs};
use crate::error::UserError;
use crate::records::{Dimension, Message, PromptText};

/// One row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Preference {
    /// Its line (JSONL) or row (Parquet), from 1.
    pub line: usize,
    /// The pair's id, where the row has one.
    pub id: Option<String>,
    /// The prompt's id, likewise.
    pub prompt_id: Option<String>,
    /// The prompt's group.
    pub group: Option<String>,
    /// Prompt, chosen and rejected, all texts or all dialogues. None only where there are token ids.
    pub texts: Option<[PromptText; 3]>,
    /// Of prompt, chosen and rejected; they are trained on as they are.
    pub token_ids: Option<[Vec<u32>; 3]>,
    /// Of chosen and rejected, in [0, 1].
    pub ratings: Option<[f64; 2]>,
    /// Δu as the row has it, where it agrees with the ratings: their difference, but for rounding.
    pub gap: Option<f64>,
    /// Scaled uncertainties of chosen and rejected.
    pub dimensions: BTreeMap<Dimension, [f64; 2]>,
    /// Which of its prompt's responses chosen and rejected are.
    pub indices: Option<[usize; 2]>,
}

/// Under which names token ids are looked for: ours, and those of TRL's prepared data sets.
const TOKEN_IDS: [[&str; 3]; 2] =
    [["prompt_token_ids", "chosen_token_ids", "rejected_token_ids"], ["prompt_ids", "chosen_ids", "rejected_ids"]];

/// Under which names ratings are looked for: ours, and UltraFeedback's.
const RATINGS: [[&str; 2]; 2] = [["chosen_rating", "rejected_rating"], ["score_chosen", "score_rejected"]];

/// Columns that change what TRL renders. A row that uses one would be trained on as something else.
const NOT_RENDERED: [&str; 4] = ["tools", "chat_template_kwargs", "images", "image"];

/// How far a row's gap may be from the difference of its ratings, to be the same number rounded elsewhere.
const SAME_GAP: f64 = 1e-9;

/// The name of a dimension's column of one side.
pub fn dimension_column(dimension: Dimension, side: &str) -> String {
    format!("u_{}_{side}", dimension.name())
}

/// Reads the rows, in order. All bad ones at once.
pub fn read_preferences(section: &Pairs) -> Result<Vec<Preference>> {
    let path = &section.from;
    let mut rows: Vec<Preference> = Vec::new();
    let mut bad = BadLines::default();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut take = |n: usize, object: Result<Map<String, Value>, String>, shown: &str| {
        let row = object.and_then(|object| row(&object, section.rating_range));
        match row.map(|row| Preference { line: n, ..row }) {
            Err(reason) => bad.push(path, n, &reason, shown),
            Ok(row) => match row.id.as_ref().and_then(|id| seen.insert(id.clone(), n)) {
                Some(first) => bad.push(path, n, &format!("the same id as line {first}"), shown),
                None => rows.push(row),
            },
        }
    };
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet")) {
        parquet::each_row(path, |n, object| take(n, Ok(object), ""))?;
    } else {
        let content = text::read(path, Encoding::Utf8, text::CONVERT)?;
        for (n, line) in text::lines(&content).filter(|(_, line)| !line.trim().is_empty()) {
            take(n, fields::object(line), line);
        }
    }
    bad.check(
        "one row a line in TRL's schema: {\"prompt\": …, \"chosen\": …, \"rejected\": …}, all texts or all lists of messages; \
         `prompt` may be left out where `chosen` and `rejected` begin with it",
    )?;
    if rows.is_empty() {
        return Err(UserError::new(format!("{}: no rows, the file is empty", path.display()))
            .hint("`pairs.from` names a file with at least one preference row")
            .into());
    }
    Ok(rows)
}

fn row(object: &Map<String, Value>, range: [f64; 2]) -> Result<Preference, String> {
    if let Some(name) = NOT_RENDERED.iter().find(|name| fields::find(object, name).is_some()) {
        return Err(format!("`{name}` is there, which is not rendered here"));
    }
    let token_ids = token_ids(object)?;
    let none = ["prompt", "chosen", "rejected"].iter().all(|name| fields::find(object, name).is_none());
    let texts = if none && token_ids.is_some() { None } else { Some(texts(object)?) };
    let ratings = ratings(object, range)?;
    let gap = number(object, "gap")?
        .filter(|gap| ratings.is_some_and(|[chosen, rejected]| (chosen - rejected - gap).abs() <= SAME_GAP));
    let mut dimensions = BTreeMap::new();
    for dimension in Dimension::ALL {
        let side = |side: &str| number(object, &dimension_column(dimension, side));
        if let (Some(chosen), Some(rejected)) = (side("chosen")?, side("rejected")?) {
            dimensions.insert(dimension, [chosen, rejected]);
        }
    }
    let index = |name: &str| fields::find(object, name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    Ok(Preference {
        line: 0,
        id: fields::group(fields::find(object, "id"), "id")?,
        prompt_id: fields::group(fields::find(object, "prompt_id"), "prompt_id")?,
        group: fields::group(fields::find(object, "group"), "group")?,
        texts,
        token_ids,
        ratings,
        gap,
        dimensions,
        indices: index("chosen_index").zip(index("rejected_index")).map(|(chosen, rejected)| [chosen, rejected]),
    })
}

fn token_ids(object: &Map<String, Value>) -> Result<Option<[Vec<u32>; 3]>, String> {
    for names in TOKEN_IDS {
        if names.iter().all(|name| fields::find(object, name).is_none()) {
            continue;
        }
        let ids = |name: &str| -> Result<Vec<u32>, String> {
            let value = fields::find(object, name).ok_or_else(|| fields::missing(object, name))?;
            let ids: Vec<u32> = serde_json::from_value(value.clone()).map_err(|error| format!("`{name}`: {error}"))?;
            if ids.is_empty() { Err(format!("`{name}` is empty")) } else { Ok(ids) }
        };
        let [prompt, chosen, rejected] = names;
        return Ok(Some([ids(prompt)?, ids(chosen)?, ids(rejected)?]));
    }
    Ok(None)
}

fn texts(object: &Map<String, Value>) -> Result<[PromptText; 3], String> {
    let side = |name: &str| completion(fields::find(object, name).ok_or_else(|| fields::missing(object, name))?, name);
    let (chosen, rejected) = (side("chosen")?, side("rejected")?);
    let texts = match fields::find(object, "prompt") {
        Some(prompt) => [fields::prompt(prompt, "prompt")?, chosen, rejected],
        None => extract_prompt(&chosen, &rejected)
            .ok_or("no field `prompt`, and `chosen` and `rejected` do not begin with one they share")?,
    };
    let is_chat = |text: &PromptText| matches!(text, PromptText::Chat(_));
    if texts.iter().any(|text| is_chat(text) != is_chat(&texts[0])) {
        return Err("`prompt`, `chosen` and `rejected` must all be texts or all be lists of messages".into());
    }
    Ok(texts)
}

/// A text, which may be empty, or a list of messages.
fn completion(value: &Value, name: &str) -> Result<PromptText, String> {
    match value {
        Value::String(text) => Ok(PromptText::Text(text.clone())),
        other => fields::prompt(other, name),
    }
}

/// The prompt that both share, and what is left of each, as TRL's `extract_prompt` divides them: at the first difference; a text's
/// space before it goes with the responses. None where nothing is shared, for which TRL has no sound answer.
fn extract_prompt(chosen: &PromptText, rejected: &PromptText) -> Option<[PromptText; 3]> {
    match (chosen, rejected) {
        (PromptText::Chat(chosen), PromptText::Chat(rejected)) => {
            let at = difference(chosen, rejected)?;
            let part = |messages: &[Message]| PromptText::Chat(messages.to_vec());
            Some([part(&chosen[..at]), part(&chosen[at..]), part(&rejected[at..])])
        }
        (PromptText::Text(chosen), PromptText::Text(rejected)) => {
            let characters = |text: &str| text.chars().collect::<Vec<char>>();
            let (chosen, rejected) = (characters(chosen), characters(rejected));
            let mut at = difference(&chosen, &rejected)?;
            if chosen[at - 1] == ' ' && chosen.get(at) != rejected.get(at) {
                at -= 1;
            }
            let part = |text: &[char]| PromptText::Text(text.iter().collect());
            (at > 0).then(|| [part(&chosen[..at]), part(&chosen[at..]), part(&rejected[at..])])
        }
        _ => None,
    }
}

/// Where two lists differ first; one short of the shorter's end where it is all shared, so that something is left. None for 0.
fn difference<T: PartialEq>(one: &[T], other: &[T]) -> Option<usize> {
    let shortest = one.len().min(other.len());
    let at = (0..shortest).find(|&i| one[i] != other[i]).unwrap_or(shortest.saturating_sub(1));
    (at > 0).then_some(at)
}

/// Both ratings, mapped from `range` to [0, 1].
fn ratings(object: &Map<String, Value>, [low, high]: [f64; 2]) -> Result<Option<[f64; 2]>, String> {
    for names in RATINGS {
        let [chosen, rejected] = [number(object, names[0])?, number(object, names[1])?];
        let (Some(chosen), Some(rejected)) = (chosen, rejected) else {
            if chosen.is_some() || rejected.is_some() {
                return Err(format!("`{}` and `{}` stand together or not at all", names[0], names[1]));
            }
            continue;
        };
        for (name, rating) in names.into_iter().zip([chosen, rejected]) {
            if !(low..=high).contains(&rating) {
                return Err(format!("`{name}` is {rating}, outside of pairs.rating_range = [{low}, {high}]"));
            }
        }
        // (x − 0) / 1 is x to the last bit: our own ratings come back as they were.
        return Ok(Some([chosen, rejected].map(|rating| (rating - low) / (high - low))));
    }
    Ok(None)
}

fn number(object: &Map<String, Value>, name: &str) -> Result<Option<f64>, String> {
    match fields::find(object, name) {
        None => Ok(None),
        Some(Value::Number(number)) => Ok(number.as_f64()),
        Some(other) => Err(format!("`{name}` is {}, not a number", fields::kind(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::test_folder::TestFolder;

    fn read(lines: &str) -> Result<Vec<Preference>> {
        let folder = TestFolder::new()?;
        let from = folder.write("rows.jsonl", lines.as_bytes())?;
        read_preferences(&Pairs { rating_range: [0.0, 10.0], ..Pairs::of(from) })
    }

    fn texts_of(line: &str) -> Vec<String> {
        let row = read(line).expect("a sound row").remove(0);
        row.texts.expect("texts").iter().map(|text| serde_json::to_string(text).expect("JSON")).collect()
    }

    #[test]
    fn a_prompt_that_is_left_out_is_what_both_begin_with() {
        // What TRL 1.16's extract_prompt gives for the same rows.
        let implicit = r#"{"chosen":"The sky is blue.","rejected":"The sky is green."}"#;
        assert_eq!(texts_of(implicit), [r#""The sky is""#, r#"" blue.""#, r#"" green.""#]);
        let chat = r#"{"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"b"}]}"#;
        assert_eq!(
            texts_of(chat),
            [
                r#"[{"role":"user","content":"q"}]"#,
                r#"[{"role":"assistant","content":"a"}]"#,
                r#"[{"role":"assistant","content":"b"}]"#
            ]
        );
        let longer = r#"{"chosen":"abcd","rejected":"ab"}"#;
        assert_eq!(texts_of(longer), [r#""a""#, r#""bcd""#, r#""b""#], "all of the shorter is shared");
        let explicit = r#"{"prompt":"The","chosen":" sky","rejected":" sea"}"#;
        assert_eq!(texts_of(explicit), [r#""The""#, r#"" sky""#, r#"" sea""#]);
    }

    #[test]
    fn token_ids_stand_alone_or_beside_the_texts_under_either_name() -> Result<()> {
        let rows = read(
            "{\"prompt_ids\":[1],\"chosen_ids\":[2],\"rejected_ids\":[3]}\n\
             {\"prompt\":\"p\",\"chosen\":\"\",\"rejected\":\"b\",\"prompt_token_ids\":[1],\"chosen_token_ids\":[2],\"rejected_token_ids\":[3]}\n",
        )?;
        assert!(rows[0].texts.is_none() && rows[1].texts.is_some());
        assert!(rows.iter().all(|row| row.token_ids == Some([vec![1], vec![2], vec![3]])));
        Ok(())
    }

    #[test]
    fn ratings_are_mapped_to_one_scale_and_a_gap_is_kept_where_it_is_theirs() -> Result<()> {
        let row = |rest: &str| read(&format!(r#"{{"prompt":"p","chosen":"a","rejected":"b"{rest}}}"#));
        let rated = &row(r#","score_chosen":9,"score_rejected":4,"gap":3"#)?[0];
        assert_eq!((rated.ratings, rated.gap), (Some([0.9, 0.4]), None));
        assert_eq!(row(r#","chosen_rating":9,"rejected_rating":4,"gap":0.5000000001"#)?[0].gap, Some(0.500_000_000_1));
        assert_eq!(row("")?[0].ratings, None);
        Ok(())
    }

    #[test]
    fn every_bad_row_says_why() {
        let lines = [
            r#"{"prompt":"a","chosen":"b"}"#,
            r#"{"prompt":"a","chosen":[{"role":"assistant","content":"x"}],"rejected":"y"}"#,
            r#"{"chosen":"a","rejected":"b"}"#,
            r#"{"prompt":"","chosen":"a","rejected":"b"}"#,
            r#"{"prompt":"a","chosen":"b","rejected":"c","tools":"[]"}"#,
            r#"{"prompt":"a","chosen":"b","rejected":"c","chosen_rating":1}"#,
            r#"{"prompt":"a","chosen":"b","rejected":"c","chosen_rating":11,"rejected_rating":1}"#,
            r#"{"prompt_ids":[1],"chosen_ids":[],"rejected_ids":[2]}"#,
            r#"{"prompt_ids":[1],"chosen_ids":[-1],"rejected_ids":[2]}"#,
            r#"{"id":"x","prompt":"a","chosen":"b","rejected":"c"}"#,
            r#"{"id":"x","prompt":"a","chosen":"b","rejected":"c"}"#,
            "not json",
        ];
        let error = read(&lines.join("\n")).expect_err("bad rows").to_string();
        for part in [
            "11 lines cannot be read",
            "rows.jsonl:1: no field `rejected` among ",
            "rows.jsonl:2: `prompt`, `chosen` and `rejected` must all be texts or all be lists of messages",
            "rows.jsonl:3: no field `prompt`, and",
            "rows.jsonl:4: `prompt` is empty",
            "rows.jsonl:5: `tools` is there",
            "rows.jsonl:6: `chosen_rating` and `rejected_rating` stand together",
            "rows.jsonl:7: `chosen_rating` is 11, outside of pairs.rating_range = [0, 10]",
            "rows.jsonl:8: `chosen_ids` is empty",
            "rows.jsonl:9: `chosen_ids`: ",
            "rows.jsonl:11: the same id as line 10",
            "rows.jsonl:12: not JSON (expected ident, column 2)",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
