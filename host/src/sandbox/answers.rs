//! Whether answers fit their questions: checked before they are given to a plugin, and after they were read from a cache.

use crate::records::{Answer, Question};

/// Says what is wrong with the first answer that does not fit.
pub fn answers_fit(questions: &[Question], answers: &[Answer]) -> Result<(), String> {
    if questions.len() != answers.len() {
        return Err(format!("{} answers to {} questions", answers.len(), questions.len()));
    }
    for (i, (question, answer)) in questions.iter().zip(answers).enumerate() {
        fits(question, answer).map_err(|wrong| format!("answer {i} {wrong}"))?;
    }
    Ok(())
}

fn fits(question: &Question, answer: &Answer) -> Result<(), String> {
    let ok = match (question, answer) {
        (Question::Embed { .. }, Answer::Embed(vector)) => !vector.is_empty() && vector.iter().all(|x| x.is_finite()),
        (Question::Entail { .. }, Answer::Entail { entailment, neutral, contradiction }) => {
            [entailment, neutral, contradiction].into_iter().all(is_probability)
        }
        (Question::Choose { options, .. }, Answer::Choose(probabilities)) => {
            if options.len() != probabilities.len() {
                return Err(format!("has {} probabilities for {} options", probabilities.len(), options.len()));
            }
            probabilities.iter().all(is_probability)
        }
        // A log-probability of −∞ is a certain "never"; NaN and positive values are nonsense.
        (Question::Likelihood { .. }, Answer::Likelihood { logprob, tokens }) => *logprob <= 1e-3 && *tokens > 0,
        (Question::Complete { n, .. }, Answer::Complete(texts)) => {
            if texts.len() != *n as usize {
                return Err(format!("has {} texts of {n}", texts.len()));
            }
            true
        }
        _ => return Err(format!("is not of kind {:?}", question.kind())),
    };
    if ok { Ok(()) } else { Err(format!("is not a valid number: {answer:?}")) }
}

fn is_probability(p: &f32) -> bool {
    // Softmax in f32 may exceed 1 by rounding.
    (0.0..=1.0 + 1e-4).contains(p)
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
        assert!(answers_fit(&choose, &[]).is_err());
    }
}
