//! Who answers which kind of question: the policy model, or a model that was given for that kind. Each has a cache of its own.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::answers::{AnswerCache, Answerer};
use crate::records::{Answer, Question, QuestionKind};

/// The identities of those who answer: digests of everything that an answer depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answerers {
    /// The policy model's.
    pub policy: String,
    /// The policy model's where it samples: the seed is part of it.
    pub sampling: String,
    /// The embedder's, where one is given.
    pub embed: Option<String>,
    /// The cross-encoder's, where one is given.
    pub entail: Option<String>,
}

impl Answerers {
    /// One who answers everything.
    pub fn one(identity: impl Into<String>) -> Self {
        let policy = identity.into();
        Self { sampling: policy.clone(), policy, ..Self::default() }
    }

    /// Who answers a kind.
    pub fn of(&self, kind: QuestionKind) -> &str {
        let given = match kind {
            QuestionKind::Embed => self.embed.as_ref(),
            QuestionKind::Entail => self.entail.as_ref(),
            QuestionKind::Complete => Some(&self.sampling),
            QuestionKind::Choose | QuestionKind::Likelihood => None,
        };
        given.unwrap_or(&self.policy)
    }

    /// All of them, each once.
    pub fn identities(&self) -> BTreeSet<&str> {
        QuestionKind::ALL.into_iter().map(|kind| self.of(kind)).collect()
    }
}

/// Makes the one who answers a kind.
pub type Make<'m, 'a> = &'m dyn Fn(QuestionKind) -> Result<Box<dyn Answerer + 'a>>;

/// Those who answer, and what they have answered so far.
pub struct Panel<'m, 'a> {
    folder: PathBuf,
    answerers: &'m Answerers,
    make: Make<'m, 'a>,
    caches: HashMap<&'m str, AnswerCache<'m, 'a>>,
}

impl<'m, 'a> Panel<'m, 'a> {
    /// Over the folder in which the answers are kept. `make` is called when a question has no answer yet.
    pub fn open(folder: &Path, answerers: &'m Answerers, make: Make<'m, 'a>) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(Self { folder: folder.to_owned(), answerers, make, caches: HashMap::new() })
    }

    /// One answer per question, in order, and how many of them a model had to give.
    pub fn answer(&mut self, questions: &[Question]) -> Result<(Vec<Answer>, usize)> {
        let mut answers: Vec<Option<Answer>> = vec![None; questions.len()];
        let mut asked = 0;
        let mut done = BTreeSet::new();
        for kind in QuestionKind::ALL {
            let who = self.answerers.of(kind);
            if !done.insert(who) {
                continue;
            }
            let own: Vec<usize> =
                (0..questions.len()).filter(|&i| self.answerers.of(questions[i].kind()) == who).collect();
            if own.is_empty() {
                continue;
            }
            let own_questions: Vec<&Question> = own.iter().map(|&i| &questions[i]).collect();
            let (given, new) = self.cache(who, kind)?.answer(&own_questions)?;
            asked += new;
            for (i, answer) in own.into_iter().zip(given) {
                answers[i] = Some(answer);
            }
        }
        let answers = answers.into_iter().collect::<Option<_>>().context("a question was left without an answer")?;
        Ok((answers, asked))
    }

    fn cache(&mut self, who: &'m str, kind: QuestionKind) -> Result<&mut AnswerCache<'m, 'a>> {
        use std::collections::hash_map::Entry;
        match self.caches.entry(who) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let make = self.make;
                Ok(entry.insert(AnswerCache::open(&self.folder, who, move || make(kind))?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::data::test_folder::TestFolder;
    use crate::records::PromptText;

    /// Says who it is in its answers.
    struct Named(String);

    impl Answerer for Named {
        fn identity(&self) -> String {
            self.0.clone()
        }

        fn answer(&mut self, questions: &[Question]) -> Result<Vec<Answer>> {
            Ok(questions
                .iter()
                .map(|question| match question {
                    Question::Embed { text } => Answer::Embed(vec![self.0.len() as f32, text.len() as f32]),
                    Question::Complete { .. } => Answer::Complete(vec![self.0.clone()]),
                    _ => Answer::Likelihood { logprob: -(self.0.len() as f32), tokens: 1 },
                })
                .collect())
        }
    }

    #[test]
    fn each_kind_goes_to_whom_it_belongs_and_the_order_stays() -> Result<()> {
        let folder = TestFolder::new()?;
        let answerers =
            Answerers { sampling: "policy-7".into(), embed: Some("emb".into()), ..Answerers::one("policy") };
        let made = RefCell::new(Vec::new());
        let make = |kind| -> Result<Box<dyn Answerer>> {
            made.borrow_mut().push(kind);
            Ok(Box::new(Named(answerers.of(kind).to_owned())))
        };
        let prompt = || PromptText::Text("p".into());
        let likelihood = Question::Likelihood { prompt: prompt(), continuation: "c".into() };
        let complete = Question::Complete { prompt: prompt(), n: 1, temperature: 1.0, max_tokens: 1 };
        let embed = |text: &str| Question::Embed { text: text.into() };
        let questions = [embed("a"), likelihood, embed("bb"), complete, embed("a")];
        let (answers, asked) = Panel::open(folder.path(), &answerers, &make)?.answer(&questions)?;
        let likely = Answer::Likelihood { logprob: -6.0, tokens: 1 };
        let embedded = |length: f32| Answer::Embed(vec![3.0, length]);
        assert_eq!(
            answers,
            [embedded(1.0), likely, embedded(2.0), Answer::Complete(vec!["policy-7".into()]), embedded(1.0)]
        );
        assert_eq!((asked, made.borrow().len()), (4, 3));
        let none = |_| -> Result<Box<dyn Answerer>> { anyhow::bail!("no model is needed") };
        assert_eq!(Panel::open(folder.path(), &answerers, &none)?.answer(&questions)?, (answers, 0));
        // Another embedder has other answers; the others' are kept.
        let other = Answerers { embed: Some("other".into()), ..answerers.clone() };
        assert!(Panel::open(folder.path(), &other, &none)?.answer(&questions[..1]).is_err());
        assert_eq!(Panel::open(folder.path(), &other, &none)?.answer(&questions[1..2])?.1, 0);
        Ok(())
    }
}
