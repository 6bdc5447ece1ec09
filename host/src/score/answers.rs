//! Answers to scorers' questions: each question is put to the model once, whoever asks it and however often.
//!
//! One file per answerer, `answers/<identity>.jsonl`, of lines `{"key", "answer"}`. The key is the SHA-256 of the
//! question's JSON. Answers are appended in chunks: a killed run keeps what was answered.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::data::{jsonl, sha256_hex};
use crate::progress::Progress;
use crate::records::{Answer, Question};
use crate::sandbox::{answer_fits, answers_fit};

/// Questions put to the answerer in one go: enough for full batches, few enough that little is lost and progress shows.
const CHUNK: usize = 1024;

/// Whoever answers questions: the policy model by default.
pub trait Answerer {
    /// Names the model, its weights and everything else that an answer depends on.
    fn identity(&self) -> String;

    /// One answer per question, in order, each of its question's kind.
    fn answer(&mut self, questions: &[Question]) -> Result<Vec<Answer>>;
}

#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    pub key: String,
    pub answer: Answer,
}

/// The answers so far, and the way to new ones.
pub struct AnswerCache<'m, 'a> {
    known: HashMap<String, Answer>,
    file: jsonl::Appender<Line>,
    identity: String,
    answerer: Option<Box<dyn Answerer + 'a>>,
    make: Box<dyn FnMut() -> Result<Box<dyn Answerer + 'a>> + 'm>,
}

impl<'m, 'a> AnswerCache<'m, 'a> {
    /// Loads what `identity` answered before. `make` is called when a question has no answer yet.
    pub fn open(
        folder: &Path,
        identity: &str,
        make: impl FnMut() -> Result<Box<dyn Answerer + 'a>> + 'm,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let path = file_in(folder, identity);
        let (lines, file) = jsonl::Appender::<Line>::open(&path)?;
        Ok(Self {
            known: lines.into_iter().map(|l| (l.key, l.answer)).collect(),
            file,
            identity: identity.to_owned(),
            answerer: None,
            make: Box::new(make),
        })
    }

    /// One answer per question, and how many of them the model had to give.
    pub fn answer<Q: Borrow<Question>>(&mut self, questions: &[Q]) -> Result<(Vec<Answer>, usize)> {
        let mut keys = Vec::with_capacity(questions.len());
        let mut new: Vec<(String, Question)> = Vec::new();
        let mut waiting: HashSet<String> = HashSet::new();
        for question in questions {
            let question = question.borrow();
            let key = key_of(question)?;
            // A file can be changed by anyone; an answer that does not fit its question is none.
            let known = self.known.get(&key).is_some_and(|answer| answer_fits(question, answer).is_ok());
            if !known && waiting.insert(key.clone()) {
                new.push((key.clone(), question.clone()));
            }
            keys.push(key);
        }
        let asked = new.len();
        if asked > 0 {
            self.ask(new)?;
        }
        let answers = keys
            .iter()
            .map(|key| self.known.get(key).cloned())
            .collect::<Option<Vec<_>>>()
            .context("a question was left without an answer")?;
        Ok((answers, asked))
    }

    fn ask(&mut self, new: Vec<(String, Question)>) -> Result<()> {
        let answerer = match &mut self.answerer {
            Some(answerer) => answerer,
            empty => {
                let made = (self.make)()?;
                // Answers of one model filed under another's name would be believed for ever.
                ensure!(
                    made.identity() == self.identity,
                    "answers are kept for `{}`, but `{}` would answer",
                    self.identity,
                    made.identity()
                );
                empty.insert(made)
            }
        };
        let progress = Progress::start("score", new.len() as u64, "questions");
        let total = new.len();
        let (mut keys, questions): (Vec<_>, Vec<_>) = new.into_iter().unzip();
        for chunk in questions.chunks(CHUNK) {
            let answers = answerer.answer(chunk)?;
            ensure!(answers.len() == chunk.len(), "{} questions got {} answers", chunk.len(), answers.len());
            answers_fit(chunk, &answers).map_err(|wrong| anyhow::anyhow!("the model's {wrong}"))?;
            let rest = keys.split_off(chunk.len());
            let lines: Vec<Line> = std::mem::replace(&mut keys, rest)
                .into_iter()
                .zip(answers)
                .map(|(key, answer)| Line { key, answer })
                .collect();
            self.file.append(&lines)?;
            self.known.extend(lines.into_iter().map(|l| (l.key, l.answer)));
            progress.advance(chunk.len() as u64);
        }
        progress.finish(&format!("{total} questions answered by the model"));
        Ok(())
    }
}

/// Where the answers of `identity` are kept.
pub fn file_in(folder: &Path, identity: &str) -> PathBuf {
    folder.join(format!("{}.jsonl", file_name(identity)))
}

/// Under which an answer is kept.
pub(super) fn key_of(question: &Question) -> Result<String> {
    Ok(sha256_hex(serde_json::to_string(question)?.as_bytes()))
}

/// The identity where it is fit for a file name, else its digest.
fn file_name(identity: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=80).contains(&identity.len()) && identity.chars().all(plain) {
        return identity.to_owned();
    }
    let mut digest = sha256_hex(identity.as_bytes());
    digest.truncate(16);
    digest
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use anyhow::bail;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::data::test_folder::TestFolder;
    use crate::records::PromptText;

    /// Answers each question with its length, and counts; fails behind `fails_after` calls.
    struct Counting {
        seen: Rc<Cell<usize>>,
        fails_after: usize,
    }

    impl Answerer for Counting {
        fn identity(&self) -> String {
            "m".into()
        }

        fn answer(&mut self, questions: &[Question]) -> Result<Vec<Answer>> {
            ensure!(self.fails_after > 0, "the machine went away");
            self.fails_after -= 1;
            self.seen.set(self.seen.get() + questions.len());
            Ok(questions
                .iter()
                .map(|question| Answer::Likelihood { logprob: -(format!("{question:?}").len() as f32), tokens: 1 })
                .collect())
        }
    }

    fn question(text: impl Into<String>) -> Question {
        Question::Likelihood { prompt: PromptText::Text("p".into()), continuation: text.into() }
    }

    #[test]
    fn each_question_is_put_once_over_duplicates_and_runs() -> Result<()> {
        let folder = TestFolder::new()?;
        let seen = Rc::new(Cell::new(0));
        let mut make =
            || -> Result<Box<dyn Answerer>> { Ok(Box::new(Counting { seen: seen.clone(), fails_after: 9 })) };
        let questions = [question("a"), question("bb"), question("a")];
        let (first, asked) = AnswerCache::open(folder.path(), "m", &mut make)?.answer(&questions)?;
        assert_eq!((asked, seen.get()), (2, 2));
        assert_eq!(first[0], first[2]);
        let mut none = || -> Result<Box<dyn Answerer>> { bail!("no model is needed") };
        let (again, asked) = AnswerCache::open(folder.path(), "m", &mut none)?.answer(&questions)?;
        assert_eq!((again, asked), (first, 0));
        assert!(AnswerCache::open(folder.path(), "other", &mut none)?.answer(&questions).is_err());
        Ok(())
    }

    #[test]
    fn an_interrupted_run_keeps_the_chunks_that_were_answered() -> Result<()> {
        let folder = TestFolder::new()?;
        let questions: Vec<_> = (0..CHUNK + 5).map(|n| question(n.to_string())).collect();
        let seen = Rc::new(Cell::new(0));
        for (fails_after, want) in [(1, CHUNK), (9, CHUNK + 5)] {
            let seen = seen.clone();
            let mut make =
                || -> Result<Box<dyn Answerer>> { Ok(Box::new(Counting { seen: seen.clone(), fails_after })) };
            let result = AnswerCache::open(folder.path(), "m", &mut make)?.answer(&questions);
            assert_eq!((result.is_ok(), seen.get()), (fails_after > 1, want));
        }
        Ok(())
    }

    #[test]
    fn no_question_makes_no_model() -> Result<()> {
        let folder = TestFolder::new()?;
        let mut none = || -> Result<Box<dyn Answerer>> { bail!("no model is needed") };
        let (answers, asked) = AnswerCache::open(folder.path(), "m", &mut none)?.answer::<Question>(&[])?;
        assert_eq!((answers.len(), asked), (0, 0));
        Ok(())
    }

    #[test]
    fn an_answerer_of_another_name_is_refused() -> Result<()> {
        let folder = TestFolder::new()?;
        let mut make =
            || -> Result<Box<dyn Answerer>> { Ok(Box::new(Counting { seen: Rc::default(), fails_after: 1 })) };
        let mut cache = AnswerCache::open(folder.path(), "x", &mut make)?;
        assert!(cache.answer(&[question("a")]).is_err());
        Ok(())
    }

    #[test]
    fn a_kept_answer_that_does_not_fit_its_question_is_asked_anew() -> Result<()> {
        let folder = TestFolder::new()?;
        let seen = Rc::new(Cell::new(0));
        let mut make =
            || -> Result<Box<dyn Answerer>> { Ok(Box::new(Counting { seen: seen.clone(), fails_after: 9 })) };
        let (right, _) = AnswerCache::open(folder.path(), "m", &mut make)?.answer(&[question("a"), question("b")])?;
        let path = folder.path().join("m.jsonl");
        let line = std::fs::read_to_string(&path)?.lines().next().context("a line")?.to_owned();
        for wrong in [
            r#"{"embed":[1.0]}"#,
            r#"{"likelihood":{"logprob":-1.0,"tokens":0}}"#,
            r#"{"likelihood":{"logprob":2.0,"tokens":1}}"#,
        ] {
            let (key, _) = line.split_once("\"answer\":").context("a key")?;
            let garbled = format!("{key}\"answer\":{wrong}}}\n");
            std::fs::write(&path, std::fs::read_to_string(&path)?.replacen(&format!("{line}\n"), &garbled, 1))?;
            let (again, asked) =
                AnswerCache::open(folder.path(), "m", &mut make)?.answer(&[question("a"), question("b")])?;
            assert_eq!((&again, asked), (&right, 1), "{wrong}");
            // The answer stands behind the garbled one now, and counts.
            let mut none = || -> Result<Box<dyn Answerer>> { bail!("no model is needed") };
            AnswerCache::open(folder.path(), "m", &mut none)?.answer(&[question("a")])?;
            std::fs::write(&path, format!("{line}\n"))?;
            AnswerCache::open(folder.path(), "m", &mut make)?.answer(&[question("b")])?;
        }
        Ok(())
    }

    fn changed() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
        proptest::collection::vec((any::<Index>(), 0..5_u8, any::<u8>()), 1..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(100),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// An error that names the file and the cure, or answers that fit, asked anew where need be.
        #[test]
        fn a_file_of_answers_may_hold_anything(changes in changed()) {
            let folder = TestFolder::new().expect("a folder");
            let seen = Rc::new(Cell::new(0));
            let mut make =
                || -> Result<Box<dyn Answerer>> { Ok(Box::new(Counting { seen: seen.clone(), fails_after: 99 })) };
            let questions: Vec<_> = ["a", "b", "c"].into_iter().map(question).collect();
            let answer = |make: &mut dyn FnMut() -> Result<Box<dyn Answerer>>| -> Result<_> {
                AnswerCache::open(folder.path(), "m", make)?.answer(&questions)
            };
            answer(&mut make).expect("it answers");
            let path = folder.path().join("m.jsonl");
            let mut bytes = std::fs::read(&path)?;
            for (at, what, byte) in changes {
                let at = at.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
                match what {
                    _ if bytes.is_empty() => bytes.push(byte),
                    0 => bytes.truncate(at),
                    1 => bytes[at] ^= 1 << (byte % 8),
                    2 => bytes[at] = byte,
                    3 => bytes.insert(at, b"0-.e,:n\n\"}"[usize::from(byte % 10)]),
                    _ => drop(bytes.remove(at)),
                }
            }
            std::fs::write(&path, &bytes)?;
            match answer(&mut make) {
                Ok((answers, _)) => prop_assert_eq!(answers_fit(&questions, &answers), Ok(())),
                Err(error) => {
                    let user = error.downcast_ref::<crate::error::UserError>();
                    prop_assert!(user.is_some_and(|user| user.message.contains("m.jsonl:") && user.hint.is_some()), "{error:#}");
                    // The cure in the hint works.
                    std::fs::remove_file(&path)?;
                    prop_assert!(answer(&mut make).is_ok());
                }
            }
        }
    }

    #[test]
    fn identities_become_safe_file_names() {
        assert_eq!(file_name("policy-1a2b"), "policy-1a2b");
        assert_eq!(file_name("../x").len(), 16);
        assert_ne!(file_name("a/b"), file_name("a/c"));
        assert_eq!(file_name("").len(), 16);
    }
}
