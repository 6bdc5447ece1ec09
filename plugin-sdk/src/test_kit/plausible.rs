//! Made-up answers that a model could have given.

use crate::rng::Rng;
use crate::{Answer, Entailment, Likelihood, Question};

/// Entries of a made-up embedding.
const DIMENSIONS: usize = 16;

/// An answer of the question's kind, well formed, drawn from the question's text: the same question, the same answer.
///
/// ```
/// use udasa_plugin_sdk::{Answer, Question, test_kit::plausible};
/// let question = Question::Embed("Paris".to_owned());
/// assert_eq!(plausible(&question), plausible(&question));
/// assert_ne!(plausible(&question), plausible(&Question::Embed("Rome".to_owned())));
/// ```
pub fn plausible(question: &Question) -> Answer {
    let mut rng = Rng::keyed(0, &format!("{question:?}"));
    match question {
        Question::Embed(_) => Answer::Embed(unit(&mut rng)),
        Question::Entail { .. } => {
            let p = shares(&mut rng, 3);
            Answer::Entail(Entailment { entailment: p[0], neutral: p[1], contradiction: p[2] })
        }
        Question::Choose { options, .. } => Answer::Choose(shares(&mut rng, options.len())),
        Question::Likelihood { continuation, .. } => {
            let tokens = 1 + u32::try_from(continuation.len() / 4).unwrap_or(u32::MAX - 1);
            Answer::Likelihood(Likelihood { logprob: -(tokens as f32) * (0.1 + 2.0 * rng.uniform() as f32), tokens })
        }
        Question::Complete { n, .. } => {
            Answer::Complete((0..*n).map(|_| format!("Answer {}.", rng.below(5))).collect())
        }
    }
}

fn unit(rng: &mut Rng) -> Vec<f32> {
    let vector: Vec<f64> = (0..DIMENSIONS).map(|_| rng.uniform() - 0.5).collect();
    let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    vector.into_iter().map(|x| (x / norm) as f32).collect()
}

/// n positive numbers with the sum 1.
fn shares(rng: &mut Rng, n: usize) -> Vec<f32> {
    let parts: Vec<f64> = (0..n).map(|_| 0.01 + rng.uniform()).collect();
    let all: f64 = parts.iter().sum();
    parts.into_iter().map(|part| (part / all) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Prompt;

    #[test]
    fn every_answer_has_its_questions_kind_size_and_range() {
        let prompt = Prompt::user("Which?");
        let options: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let questions = [
            Question::Embed("x".to_owned()),
            Question::Entail { premise: "p".to_owned(), hypothesis: "h".to_owned() },
            Question::Choose { prompt: prompt.clone(), options },
            Question::Likelihood { prompt: prompt.clone(), continuation: "yes".to_owned() },
            Question::Complete { prompt, n: 4, temperature: 1.0, max_tokens: 8 },
        ];
        for question in &questions {
            let answer = plausible(question);
            assert_eq!(answer.kind(), question.kind());
            let sum = |p: &[f32]| p.iter().copied().map(f64::from).sum::<f64>();
            match answer {
                Answer::Embed(v) => assert!((v.iter().map(|x| f64::from(x * x)).sum::<f64>() - 1.0).abs() < 1e-5),
                Answer::Entail(e) => {
                    assert!((sum(&[e.entailment, e.neutral, e.contradiction]) - 1.0).abs() < 1e-6);
                }
                Answer::Choose(p) => assert!(p.len() == 3 && (sum(&p) - 1.0).abs() < 1e-6),
                Answer::Likelihood(l) => assert!(l.logprob < 0.0 && l.tokens == 1),
                Answer::Complete(texts) => assert_eq!(texts.len(), 4),
            }
        }
    }
}
