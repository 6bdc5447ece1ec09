//! Answers without a model: of the right shape, different for different questions, the same for the same one everywhere.

use sha2::{Digest, Sha256};

use crate::records::{Answer, Question};

/// As long as a small embedder's.
const DIMENSIONS: usize = 32;

pub(super) fn answers(questions: &[Question]) -> Vec<Answer> {
    questions.iter().map(answer).collect()
}

fn answer(question: &Question) -> Answer {
    let mut draw = Draw::of(question);
    match question {
        Question::Embed { .. } => {
            let vector: Vec<f32> = (0..DIMENSIONS).map(|_| draw.next() - 0.5).collect();
            let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
            Answer::Embed(vector.into_iter().map(|x| x / norm).collect())
        }
        Question::Entail { .. } => {
            let [entailment, neutral, contradiction] = [draw.next(), draw.next(), draw.next()];
            let sum = entailment + neutral + contradiction;
            Answer::Entail { entailment: entailment / sum, neutral: neutral / sum, contradiction: contradiction / sum }
        }
        Question::Choose { options, .. } => {
            let weights: Vec<f32> = options.iter().map(|_| draw.next()).collect();
            let sum: f32 = weights.iter().sum();
            Answer::Choose(weights.into_iter().map(|weight| weight / sum).collect())
        }
        Question::Likelihood { continuation, .. } => {
            let tokens = u32::try_from(continuation.split_whitespace().count().max(1)).unwrap_or(u32::MAX);
            Answer::Likelihood { logprob: -3.0 * draw.next() * tokens as f32, tokens }
        }
        Question::Complete { n, .. } => {
            Answer::Complete((0..*n).map(|i| format!("made-up answer {} {i}", (draw.next() * 100.0) as u32)).collect())
        }
    }
}

/// Numbers from the digest of a question, in (0, 1).
struct Draw {
    digest: [u8; 32],
    taken: usize,
}

impl Draw {
    fn of(question: &Question) -> Self {
        // The debug form names every field, and unlike JSON it has a form for every number.
        Self { digest: Sha256::digest(format!("{question:?}").as_bytes()).into(), taken: 0 }
    }

    fn next(&mut self) -> f32 {
        if self.taken == self.digest.len() {
            self.digest = Sha256::digest(self.digest).into();
            self.taken = 0;
        }
        self.taken += 2;
        let bytes = [self.digest[self.taken - 2], self.digest[self.taken - 1]];
        (f32::from(u16::from_le_bytes(bytes)) + 0.5) / 65536.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::PromptText;
    use crate::sandbox::answers_fit;

    #[test]
    fn every_kind_of_question_gets_an_answer_that_fits_and_is_its_own() {
        let prompt = || PromptText::Text("Q".to_owned());
        let questions = [
            Question::Embed { text: "a".to_owned() },
            Question::Embed { text: "b".to_owned() },
            Question::Entail { premise: "a".to_owned(), hypothesis: "b".to_owned() },
            Question::Choose { prompt: prompt(), options: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()] },
            Question::Likelihood { prompt: prompt(), continuation: String::new() },
            Question::Complete { prompt: prompt(), n: 3, temperature: 1.0, max_tokens: 8 },
        ];
        let made = answers(&questions);
        assert_eq!(answers_fit(&questions, &made), Ok(()));
        assert_eq!(made, answers(&questions));
        assert_ne!(made[0], made[1]);
        let Answer::Choose(p) = &made[3] else { panic!("not a choice") };
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}
