//! What a run recorded, as a test's input: its samples (`responses.jsonl`) and its models' answers (`answers/*.jsonl`).

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Answer, Entailment, Likelihood, Message, Prompt, Question, Response, Sample};

/// The answers that a run kept, found by the content of a question.
///
/// ```no_run
/// # use udasa_plugin_sdk::{Answer, Dimension, Fault, Sample, Score, SimpleScorer};
/// # struct MyScorer;
/// # impl SimpleScorer for MyScorer {
/// #     type Settings = std::collections::BTreeMap<String, f64>;
/// #     const NAME: &'static str = "mine";
/// #     const VERSION: &'static str = "0.1.0";
/// #     const SUMMARY: &'static str = "Mine";
/// #     const DIMENSION: Dimension = Dimension::Factual;
/// #     fn scores(_: &Self::Settings, _: &Sample, _: &[Answer]) -> Result<Vec<Score>, Fault> { Ok(Vec::new()) }
/// # }
/// use udasa_plugin_sdk::test_kit::{self, Recorded};
///
/// let samples = test_kit::read_samples("runs/mini").expect("a run");
/// let recorded = Recorded::open("runs/mini").expect("a run that asked a model");
/// test_kit::check_scorer::<MyScorer>("{}", &samples, |question| recorded.answer(question));
/// ```
#[derive(Debug, Clone)]
pub struct Recorded {
    answers: HashMap<String, Answer>,
    path: PathBuf,
}

impl Recorded {
    /// Reads a run folder, its `answers` folder, or one file of that. A torn last line is left out.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Unreadable> {
        let path = path.as_ref();
        let folder = if path.join("answers").is_dir() { path.join("answers") } else { path.to_owned() };
        let mut files = Vec::new();
        if folder.is_dir() {
            for entry in fs::read_dir(&folder).map_err(|e| Unreadable::new(&folder, &e))? {
                files.push(entry.map_err(|e| Unreadable::new(&folder, &e))?.path());
            }
            files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
            files.sort();
        } else {
            files.push(folder);
        }
        let mut answers = HashMap::new();
        for file in files {
            let lines: Vec<AnswerLine> = read_lines(&file)?;
            answers.extend(lines.into_iter().map(|line| (line.key, line.answer.into())));
        }
        Ok(Self { answers, path: path.to_owned() })
    }

    /// How many answers there are.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// The answer to a question, where one was recorded.
    pub fn get(&self, question: &Question) -> Option<&Answer> {
        self.answers.get(&question_key(question))
    }

    /// The answer to a question, for [`run_scorer`](super::run_scorer) and [`check_scorer`](super::check_scorer).
    ///
    /// # Panics
    /// Where none was recorded: the scorer, its settings or the samples are others than the run's.
    pub fn answer(&self, question: &Question) -> Answer {
        let Some(answer) = self.get(question) else {
            panic!("{} holds no answer to {question:?}", self.path.display());
        };
        answer.clone()
    }
}

/// The samples of a run folder, or of a file such as its `responses.jsonl`. A torn last line is left out.
pub fn read_samples(path: impl AsRef<Path>) -> Result<Vec<Sample>, Unreadable> {
    let path = path.as_ref();
    let file = if path.is_dir() { path.join("responses.jsonl") } else { path.to_owned() };
    Ok(read_lines::<SampleLine>(&file)?.into_iter().map(Into::into).collect())
}

/// The key under which a run keeps the answer to a question: the SHA-256, in hex, of the question as JSON.
pub fn question_key(question: &Question) -> String {
    let json = serde_json::to_string(&QuestionJson::from(question)).expect("strings and numbers are JSON");
    Sha256::digest(json.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file of a run that could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable(String);

impl Unreadable {
    fn new(path: &Path, why: &dyn fmt::Display) -> Self {
        Self(format!("{}: {why}", path.display()))
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

fn read_lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, Unreadable> {
    let text = fs::read_to_string(path).map_err(|e| Unreadable::new(path, &e))?;
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let mut read = Vec::new();
    for (index, line) in text[..whole].lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let parsed = serde_json::from_str(line);
        read.push(parsed.map_err(|e| Unreadable::new(path, &format!("line {}: {e}", index + 1)))?);
    }
    // A file that somebody wrote by hand may end without a line end.
    read.extend(serde_json::from_str(&text[whole..]).ok());
    Ok(read)
}

// The host's records, as far as they are read here. Order and names of the fields are part of a question's key.

#[derive(Serialize, Deserialize)]
struct Turn<T> {
    role: T,
    content: T,
}

#[derive(Serialize)]
#[serde(untagged)]
enum PromptOut<'a> {
    Text(&'a str),
    Chat(Vec<Turn<&'a str>>),
}

impl<'a> From<&'a Prompt> for PromptOut<'a> {
    fn from(prompt: &'a Prompt) -> Self {
        match prompt {
            Prompt::Text(text) => Self::Text(text),
            Prompt::Chat(turns) => {
                Self::Chat(turns.iter().map(|turn| Turn { role: &*turn.role, content: &*turn.content }).collect())
            }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum QuestionJson<'a> {
    Embed { text: &'a str },
    Entail { premise: &'a str, hypothesis: &'a str },
    Choose { prompt: PromptOut<'a>, options: &'a [String] },
    Likelihood { prompt: PromptOut<'a>, continuation: &'a str },
    Complete { prompt: PromptOut<'a>, n: u32, temperature: f32, max_tokens: u32 },
}

impl<'a> From<&'a Question> for QuestionJson<'a> {
    fn from(question: &'a Question) -> Self {
        match question {
            Question::Embed(text) => Self::Embed { text },
            Question::Entail { premise, hypothesis } => Self::Entail { premise, hypothesis },
            Question::Choose { prompt, options } => Self::Choose { prompt: prompt.into(), options },
            Question::Likelihood { prompt, continuation } => Self::Likelihood { prompt: prompt.into(), continuation },
            Question::Complete { prompt, n, temperature, max_tokens } => {
                Self::Complete { prompt: prompt.into(), n: *n, temperature: *temperature, max_tokens: *max_tokens }
            }
        }
    }
}

#[derive(Deserialize)]
struct AnswerLine {
    key: String,
    answer: AnswerJson,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum AnswerJson {
    Embed(Vec<f32>),
    Entail { entailment: f32, neutral: f32, contradiction: f32 },
    Choose(Vec<f32>),
    Likelihood { logprob: f32, tokens: u32 },
    Complete(Vec<String>),
}

impl From<AnswerJson> for Answer {
    fn from(answer: AnswerJson) -> Self {
        match answer {
            AnswerJson::Embed(vector) => Self::Embed(vector),
            AnswerJson::Entail { entailment, neutral, contradiction } => {
                Self::Entail(Entailment { entailment, neutral, contradiction })
            }
            AnswerJson::Choose(probabilities) => Self::Choose(probabilities),
            AnswerJson::Likelihood { logprob, tokens } => Self::Likelihood(Likelihood { logprob, tokens }),
            AnswerJson::Complete(texts) => Self::Complete(texts),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PromptIn {
    Text(String),
    Chat(Vec<Turn<String>>),
}

#[derive(Deserialize)]
struct SampleLine {
    id: String,
    prompt: PromptIn,
    #[serde(default)]
    group: Option<String>,
    responses: Vec<ResponseLine>,
}

#[derive(Deserialize)]
struct ResponseLine {
    text: String,
    #[serde(default)]
    token_ids: Vec<u32>,
    #[serde(default)]
    logprobs: Vec<f32>,
    #[serde(default)]
    entropies: Vec<f32>,
    #[serde(default)]
    finish: Option<String>,
}

impl From<SampleLine> for Sample {
    fn from(line: SampleLine) -> Self {
        let turn = |turn: Turn<String>| Message { role: turn.role, content: turn.content };
        let response = |response: ResponseLine| Response {
            text: response.text,
            token_ids: response.token_ids,
            logprobs: response.logprobs,
            entropies: response.entropies,
            truncated: response.finish.as_deref() == Some("length"),
        };
        Self {
            id: line.id,
            prompt: match line.prompt {
                PromptIn::Text(text) => Prompt::Text(text),
                PromptIn::Chat(turns) => Prompt::Chat(turns.into_iter().map(turn).collect()),
            },
            group: line.group,
            responses: line.responses.into_iter().map(response).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of the test's own, removed with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("udasa-sdk-{}-{name}", std::process::id()));
            fs::create_dir_all(path.join("answers")).expect("a folder");
            Self(path)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.0.join(name), text).expect("a file");
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn choose() -> Question {
        Question::Choose { prompt: Prompt::user("Is it?"), options: vec![" A".to_owned(), " B".to_owned()] }
    }

    #[test]
    fn an_answer_is_found_by_the_content_of_its_question() {
        let folder = Folder::new("answers");
        let line =
            |question: &Question, answer: &str| format!(r#"{{"key":"{}","answer":{answer}}}"#, question_key(question));
        let embed = Question::Embed("naïve".to_owned());
        folder.write("answers/one.jsonl", &format!("{}\n", line(&choose(), r#"{"choose":[0.25,0.75]}"#)));
        folder.write("answers/two.jsonl", &format!("{}\n{{\"key\":\"torn", line(&embed, r#"{"embed":[1.0,0.0]}"#)));
        let recorded = Recorded::open(&folder.0).expect("a run");
        assert_eq!(recorded.len(), 2);
        assert_eq!(recorded.answer(&choose()), Answer::Choose(vec![0.25, 0.75]));
        assert_eq!(recorded.answer(&embed), Answer::Embed(vec![1.0, 0.0]));
        assert_eq!(recorded.get(&Question::Embed("naive".to_owned())), None);
    }

    #[test]
    fn samples_are_read_as_a_run_writes_them() {
        let folder = Folder::new("samples");
        folder.write(
            "responses.jsonl",
            r#"{"id":"a","prompt":[{"role":"user","content":"Why?"}],"group":"g","prompt_token_ids":[1],"responses":[{"text":"So","token_ids":[5],"logprobs":[-0.5],"entropies":[0.1],"finish":"length"}]}
{"id":"b","prompt":"How?","responses":[{"text":"Thus"}]}"#,
        );
        let samples = read_samples(&folder.0).expect("a run");
        assert_eq!(samples.len(), 2);
        assert_eq!((samples[0].prompt.question(), samples[0].group.as_deref()), ("Why?", Some("g")));
        let response = &samples[0].responses[0];
        assert_eq!((response.truncated, response.logprobs.as_slice()), (true, [-0.5].as_slice()));
        assert_eq!(samples[1].responses[0], Response { text: "Thus".to_owned(), ..Response::default() });
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        let folder = Folder::new("broken");
        folder.write("responses.jsonl", "\n{\"id\":7}\n");
        let error = read_samples(&folder.0).expect_err("not a sample").to_string();
        assert!(error.contains("responses.jsonl: line 2: invalid type"), "{error}");
        assert!(Recorded::open("/nowhere").is_err());
    }
}
