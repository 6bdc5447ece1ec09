//! Scores without a model: what a scorer says from the answers that are already there. Writes nothing.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;

use super::answers::{Line, file_in, key_of};
use super::panel::Answerers;
use super::rounds::MAX_ROUNDS;
use super::scorer::{ScoreSample, Step};
use crate::data::jsonl;
use crate::error::UserError;
use crate::records::{Answer, Question, Sample, Score};

/// The answers that those who answer have given.
#[derive(Default)]
pub struct KnownAnswers {
    answerers: Answerers,
    given: HashMap<String, HashMap<String, Answer>>,
}

impl KnownAnswers {
    /// Reads what they answered; nothing of one who was never asked.
    pub fn read(folder: &Path, answerers: &Answerers) -> Result<Self> {
        let mut given = HashMap::new();
        for identity in answerers.identities() {
            let lines = jsonl::read_whole_lines::<Line>(&file_in(folder, identity))?.unwrap_or_default();
            given.insert(identity.to_owned(), lines.into_iter().map(|line| (line.key, line.answer)).collect());
        }
        Ok(Self { answerers: answerers.clone(), given })
    }

    fn one(&self, question: &Question) -> Option<&Answer> {
        self.given.get(self.answerers.of(question.kind()))?.get(&key_of(question).ok()?)
    }

    /// The answers, or how many of the questions have none.
    fn to(&self, questions: &[Question]) -> Result<Vec<Answer>, usize> {
        let known: Vec<Option<&Answer>> = questions.iter().map(|question| self.one(question)).collect();
        match known.iter().filter(|answer| answer.is_none()).count() {
            0 => Ok(known.into_iter().flatten().cloned().collect()),
            missing => Err(missing),
        }
    }
}

/// What a scorer says of one sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Rescored {
    /// One score per response.
    Scores(Vec<Score>),
    /// What went wrong.
    Fault(String),
    /// So many of its questions have no answer yet.
    Unanswered(usize),
}

/// One scorer on every sample, in order.
pub fn rescore(samples: &[Sample], scorer: &dyn ScoreSample, answers: &KnownAnswers) -> Vec<Rescored> {
    samples.par_iter().map(|sample| one(sample, scorer, answers)).collect()
}

fn one(sample: &Sample, scorer: &dyn ScoreSample, answers: &KnownAnswers) -> Rescored {
    let mut rounds = Vec::new();
    for _ in 0..MAX_ROUNDS {
        match scorer.score(sample, &rounds) {
            Ok(Step::Done(scores)) => return Rescored::Scores(scores),
            Ok(Step::Ask(questions)) => match answers.to(&questions) {
                Ok(round) => rounds.push(round),
                Err(missing) => return Rescored::Unanswered(missing),
            },
            Err(UserError { message, hint }) => {
                return Rescored::Fault(match hint {
                    Some(hint) => format!("{message} ({hint})"),
                    None => message,
                });
            }
        }
    }
    Rescored::Fault(format!("scorer `{}` asked in more than {MAX_ROUNDS} rounds", scorer.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::test_folder::TestFolder;
    use crate::score::test_scorers::{Echo, LENGTHS, sample};
    use crate::score::{AnswerCache, Answerer};

    #[test]
    fn what_was_answered_is_scored_the_rest_is_counted_and_nothing_is_written() -> Result<()> {
        let folder = TestFolder::new()?;
        let old = [sample("a", &["x", "yy"])];
        let questions: Vec<Question> = match LENGTHS.score(&old[0], &[])? {
            Step::Ask(questions) => questions,
            Step::Done(_) => Vec::new(),
        };
        let mut make = || -> Result<Box<dyn Answerer>> { Ok(Box::new(Echo)) };
        AnswerCache::open(folder.path(), "echo", &mut make)?.answer(&questions)?;
        let files = || std::fs::read_dir(folder.path()).map(|entries| entries.count());
        let before = files()?;

        let samples = [old[0].clone(), sample("b", &["x", "new"]), sample("c", &["fault"])];
        let found = rescore(&samples, &LENGTHS, &KnownAnswers::read(folder.path(), &Answerers::one("echo"))?);
        let Rescored::Scores(scores) = &found[0] else { panic!("{found:?}") };
        assert_eq!(scores.iter().map(|score| score.uncertainty).collect::<Vec<_>>(), [0.01, 0.02]);
        // Another prompt: neither of its two questions was asked before.
        assert_eq!(found[1], Rescored::Unanswered(2));
        assert_eq!(found[2], Rescored::Fault("`lengths` failed on `c` (cure)".into()));
        let nobody = rescore(&samples[..1], &LENGTHS, &KnownAnswers::read(folder.path(), &Answerers::one("other"))?);
        assert_eq!(nobody, [Rescored::Unanswered(2)]);
        assert_eq!(files()?, before);
        Ok(())
    }

    #[test]
    fn a_scorer_that_never_ends_is_a_fault() {
        let samples = [sample("a", &[])];
        let found = rescore(&samples, &LENGTHS.rounds(usize::MAX), &KnownAnswers::default());
        assert!(matches!(&found[0], Rescored::Fault(why) if why.contains("rounds")), "{found:?}");
    }
}
