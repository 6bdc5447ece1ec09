//! Whether answers fit their questions: checked before they are given to a plugin, and after they were read from a cache.

use crate::records::{Answer, Question};

use super::words::{SENTENCE, shown};

/// Says what is wrong with the first answer that does not fit.
pub fn answers_fit(questions: &[Question], answers: &[Answer]) -> Result<(), String> {
    if questions.len() != answers.len() {
        return Err(format!("{} answers to {} questions", answers.len(), questions.len()));
    }
    for (i, (question, answer)) in questions.iter().zip(answers).enumerate() {
        answer_fits(question, answer).map_err(|wrong| format!("answer {i} {wrong}"))?;
    }
    Ok(())
}

/// Says what is wrong with an answer to one question.
pub fn answer_fits(question: &Question, answer: &Answer) -> Result<(), String> {
    let ok = match (question, answer) {
        (Question::Embed { .. }, Answer::Embed(vector)) => !vector.is_empty() && vector.iter().all(|x| x.is_finite()),
        (Question::Entail { .. }, Answer::Entail { entailment, neutral, contradiction }) => {
            are_probabilities(&[*entailment, *neutral, *contradiction])
        }
        (Question::Choose { options, .. }, Answer::Choose(probabilities)) => {
            if options.len() != probabilities.len() {
                return Err(format!("has {} probabilities for {} options", probabilities.len(), options.len()));
            }
            are_probabilities(probabilities)
        }
        // Positive values are nonsense, but for rounding; −∞ is none that a record can hold.
        (Question::Likelihood { .. }, Answer::Likelihood { logprob, tokens }) => {
            logprob.is_finite() && *logprob <= 1e-3 && *tokens > 0
        }
        (Question::Complete { n, .. }, Answer::Complete(texts)) => {
            if texts.len() != *n as usize {
                return Err(format!("has {} texts of {n}", texts.len()));
            }
            true
        }
        _ => return Err(format!("is not of kind {:?}", question.kind())),
    };
    match ok {
        true => Ok(()),
        false => Err(format!("holds numbers that it cannot: {}", shown(&format!("{answer:?}"), SENTENCE))),
    }
}

fn are_probabilities(values: &[f32]) -> bool {
    // Softmax in f32 may miss 1 by rounding, the more so the more options there are.
    let sum: f64 = values.iter().map(|&p| f64::from(p)).sum();
    values.iter().all(|p| (0.0..=1.0 + 1e-4).contains(p)) && (sum - 1.0).abs() < 1e-2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::PromptText;

    #[test]
    fn an_answer_has_the_kind_and_the_size_of_its_question() {
        let choose = [Question::Choose {
            prompt: PromptText::Text("Q".to_owned()),
            options: vec!["a".to_owned(), "b".to_owned()],
        }];
        assert!(answers_fit(&choose, &[Answer::Choose(vec![0.25, 0.75])]).is_ok());
        assert!(answers_fit(&choose, &[Answer::Choose(vec![1.0])]).is_err());
        assert!(answers_fit(&choose, &[Answer::Choose(vec![f32::NAN, 0.5])]).is_err());
        assert!(answers_fit(&choose, &[Answer::Embed(vec![1.0])]).is_err());
        assert!(answers_fit(&choose, &[Answer::Choose(vec![0.0, 0.0])]).is_err());
        assert!(answers_fit(&choose, &[]).is_err());
    }
}
