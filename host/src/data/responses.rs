//! Responses made elsewhere (`generate.from`): JSONL, one sample a line.
//!
//! A line has a prompt (`prompt`, else `question`: a string or messages), `responses` (texts, or objects with `text`
//! and, where known, `token_ids`, `logprobs`, `entropies`, `finish`), and may have `id` and `group`. Other layouts are
//! named by dotted paths: `generate.prompt_field`, `generate.responses_field`. A run's own `responses.jsonl` is of this form.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value};

use super::bad_lines::BadLines;
use super::{fields, hash, text};
use crate::config::{Encoding, Generate};
use crate::error::UserError;
use crate::records::{Response, Sample};

/// Where the prompt is looked for when the config does not say.
const PROMPT_FIELDS: [&str; 2] = ["prompt", "question"];

/// Log-probabilities of sampled tokens are at most 0; rounding in another program may leave a little more.
const MAX_LOGPROB: f32 = 1e-3;

/// Reads samples; `generate` says under which fields.
pub fn read_responses(path: &Path, generate: &Generate) -> Result<Vec<Sample>> {
    let content = text::read(path, Encoding::Utf8, text::CONVERT)?;
    let mut samples: Vec<Sample> = Vec::new();
    let mut bad = BadLines::default();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (n, line) in text::lines(&content) {
        if line.trim().is_empty() {
            continue;
        }
        let sample = fields::object(line).and_then(|object| sample(&object, generate));
        match sample {
            Err(reason) => bad.push(path, n, &reason, line),
            Ok(sample) => match seen.insert(sample.id.clone(), n) {
                Some(first) => {
                    let reason = format!("the same id as line {first}, `{}`", sample.id);
                    bad.push(path, n, &reason, line);
                }
                None => samples.push(sample),
            },
        }
    }
    bad.check(
        "one object a line: {\"prompt\": …, \"responses\": [\"…\", …]}, all responses of a prompt on its line; \
         `generate.prompt_field` and `generate.responses_field` name other fields, such as \"generations.text\"",
    )?;
    if samples.is_empty() {
        return Err(UserError::new(format!("{}: no responses, the file is empty", path.display()))
            .hint("`generate.from` names a JSONL file with one sample a line")
            .into());
    }
    Ok(samples)
}

/// One sample, as on a line of such a file.
pub fn read_sample(object: &Map<String, Value>) -> Result<Sample, String> {
    sample(object, &Generate::default())
}

fn sample(object: &Map<String, Value>, generate: &Generate) -> Result<Sample, String> {
    let prompt = match &generate.prompt_field {
        Some(field) => {
            fields::prompt(fields::find(object, field).ok_or_else(|| fields::missing(object, field))?, field)?
        }
        None => PROMPT_FIELDS
            .iter()
            .find_map(|field| Some(fields::prompt(fields::find(object, field)?, field)))
            .unwrap_or_else(|| Err(fields::missing(object, PROMPT_FIELDS[0])))?,
    };
    let field = generate.responses_field.as_deref().unwrap_or("responses");
    let Some(value) = fields::find(object, field) else {
        return Err(fields::missing(object, field));
    };
    let Value::Array(values) = value else {
        return Err(format!("`{field}` is {}, not a list", fields::kind(value)));
    };
    if values.is_empty() {
        return Err(format!("`{field}` is an empty list"));
    }
    let responses = values
        .iter()
        .enumerate()
        .map(|(n, value)| response(value).map_err(|reason| format!("`{field}[{n}]`: {reason}")))
        .collect::<Result<_, _>>()?;
    let id = match fields::find(object, "id") {
        None => hash::prompt_id(&prompt),
        Some(Value::String(id)) if !id.trim().is_empty() => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        Some(_) => return Err("`id` is not a string".into()),
    };
    let prompt_token_ids = match fields::find(object, "prompt_token_ids") {
        None => Vec::new(),
        Some(ids) => serde_json::from_value(ids.clone()).map_err(|error| format!("`prompt_token_ids`: {error}"))?,
    };
    Ok(Sample {
        id,
        prompt,
        group: fields::group(fields::find(object, "group"), "group")?,
        prompt_token_ids,
        responses,
    })
}

fn response(value: &Value) -> Result<Response, String> {
    let response: Response = match value {
        Value::String(text) => Response { text: text.clone(), ..Response::default() },
        Value::Object(_) => serde_json::from_value(value.clone()).map_err(|error| error.to_string())?,
        other => return Err(format!("{}, not a text or an object", fields::kind(other))),
    };
    let tokens = response.token_ids.len();
    for (name, n) in [("logprobs", response.logprobs.len()), ("entropies", response.entropies.len())] {
        if n > 0 && tokens > 0 && n != tokens {
            return Err(format!("{tokens} `token_ids`, but {n} `{name}`"));
        }
    }
    let too_high = |p: &&f32| !p.is_finite() || **p > MAX_LOGPROB;
    if let Some(p) = response.logprobs.iter().find(too_high) {
        return Err(format!("`logprobs` holds {p}, and a log-probability is at most 0"));
    }
    if let Some(h) = response.entropies.iter().find(|h| !(h.is_finite() && **h >= -MAX_LOGPROB)) {
        return Err(format!("`entropies` holds {h}, and an entropy is at least 0"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::test_folder::TestFolder;
    use crate::records::{Finish, PromptText};

    fn read(lines: &str, generate: &Generate) -> Result<Vec<Sample>> {
        let folder = TestFolder::new()?;
        let path = folder.write("r.jsonl", lines.as_bytes())?;
        read_responses(&path, generate)
    }

    #[test]
    fn texts_and_objects_are_responses() -> Result<()> {
        let samples = read(
            "{\"question\":\"q\",\"responses\":[\"a\",{\"text\":\"b\",\"token_ids\":[1,2],\"logprobs\":[-1,-0.5],\"finish\":\"length\"}],\"group\":3}\n",
            &Generate::default(),
        )?;
        let sample = &samples[0];
        assert_eq!(sample.id, hash::prompt_id(&PromptText::Text("q".into())));
        assert_eq!(sample.group.as_deref(), Some("3"));
        assert_eq!(sample.responses[0].text, "a");
        assert_eq!(sample.responses[1].logprobs, [-1.0, -0.5]);
        assert_eq!(sample.responses[1].finish, Finish::Length);
        Ok(())
    }

    #[test]
    fn nested_fields_are_found_by_dotted_paths() -> Result<()> {
        let generate = Generate {
            prompt_field: Some("question".into()),
            responses_field: Some("generations.text_cleaned".into()),
            ..Generate::default()
        };
        let line = r#"{"id":"qw_1","question":"q","prompt":"Answer: q","generations":{"text_cleaned":[" a",""]}}"#;
        let samples = read(line, &generate)?;
        assert_eq!(samples[0].id, "qw_1");
        assert_eq!(samples[0].prompt, PromptText::Text("q".into()));
        assert_eq!(samples[0].responses[1].text, "");
        Ok(())
    }

    #[test]
    fn a_runs_own_responses_are_read_back_unchanged() -> Result<()> {
        let sample = Sample {
            id: "abc".into(),
            prompt: PromptText::Text("p".into()),
            group: None,
            prompt_token_ids: vec![5],
            responses: vec![Response {
                text: "t".into(),
                token_ids: vec![1],
                logprobs: vec![-0.1],
                entropies: vec![0.3],
                finish: Finish::Length,
            }],
        };
        let line = serde_json::to_string(&sample)?;
        assert_eq!(read(&line, &Generate::default())?, [sample]);
        Ok(())
    }

    #[test]
    fn every_bad_line_says_why() {
        let lines = [
            r#"{"prompt":"a"}"#,
            r#"{"prompt":"b","responses":"x"}"#,
            r#"{"prompt":"c","responses":[]}"#,
            r#"{"prompt":"d","responses":[1]}"#,
            r#"{"prompt":"e","responses":[{"text":"x","token_ids":[1],"logprobs":[-1,-2]}]}"#,
            r#"{"prompt":"f","responses":[{"text":"x","logprobs":[0.5]}]}"#,
            r#"{"prompt":"g","responses":["x"]}"#,
            r#"{"prompt":"g","responses":["y"]}"#,
            "not json",
        ];
        let error = read(&lines.join("\n"), &Generate::default()).expect_err("bad lines");
        let message = error.to_string();
        for part in [
            "8 lines cannot be read",
            "r.jsonl:1: no field `responses` among `prompt`",
            "r.jsonl:2: `responses` is a string, not a list",
            "r.jsonl:3: `responses` is an empty list",
            "r.jsonl:4: `responses[0]`: a number, not a text or an object",
            "r.jsonl:5: `responses[0]`: 1 `token_ids`, but 2 `logprobs`",
            "r.jsonl:6: `responses[0]`: `logprobs` holds 0.5",
            "r.jsonl:8: the same id as line 7",
            "r.jsonl:9: not JSON",
        ] {
            assert!(message.contains(part), "{part} is not in\n{message}");
        }
    }

    #[test]
    fn an_empty_file_is_an_error() {
        let error = read("\n", &Generate::default()).expect_err("empty");
        assert!(error.to_string().contains("no responses"));
    }
}
