//! Entailment as a language model judges it: a choice between three letters, in both orders of what they stand for, averaged, for a model
//! prefers one letter to another whatever it means. The wording is in docs/models.md.

use crate::records::{Answer, Message, PromptText, Question};

/// What the letters A, B and C stand for; the second question has it the other way round.
const MEANINGS: [&str; 3] = ["entailed by the premise", "neither", "contradicted by the premise"];

/// The two `choose` questions that stand for one of entailment; for a model with a chat template they are a user's message.
pub(super) fn as_choices(premise: &str, hypothesis: &str, chat: bool) -> [Question; 2] {
    let [a, b, c] = MEANINGS;
    [[a, b, c], [c, b, a]].map(|[a, b, c]| {
        let text = format!(
            "Premise: {premise}\nHypothesis: {hypothesis}\nThe hypothesis is\nA: {a}\nB: {b}\nC: {c}\nAnswer with a letter.\n"
        );
        let (prompt, before) = match chat {
            true => (PromptText::Chat(vec![Message { role: "user".into(), content: text }]), ""),
            false => (PromptText::Text(text + "Answer:"), " "),
        };
        Question::Choose { prompt, options: ["A", "B", "C"].map(|letter| format!("{before}{letter}")).to_vec() }
    })
}

/// The mean of both answers.
pub(super) fn from_choices(first: &Answer, second: &Answer) -> Answer {
    let of = |answer: &Answer, letter: usize| match answer {
        Answer::Choose(probabilities) => probabilities.get(letter).copied().unwrap_or_default(),
        _ => 0.0,
    };
    let [entailment, neutral, contradiction] = [0, 1, 2].map(|i| 0.5 * (of(first, i) + of(second, 2 - i)));
    Answer::Entail { entailment, neutral, contradiction }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_is_preferred_whatever_it_means_says_nothing() {
        let a = Answer::Choose(vec![0.8, 0.1, 0.1]);
        let Answer::Entail { entailment, neutral, contradiction } = from_choices(&a, &a) else { panic!() };
        assert_eq!(entailment, contradiction);
        assert!((entailment + neutral + contradiction - 1.0).abs() < 1e-6);
    }

    #[test]
    fn both_orders_are_asked_and_each_letter_is_read_as_it_was_meant() {
        for chat in [false, true] {
            let [first, second] = as_choices("It rains.", "It is wet.", chat).map(|question| format!("{question:?}"));
            assert!(first.contains("A: entailed") && first.contains("C: contradicted") && first.contains("It rains."));
            assert!(second.contains("A: contradicted") && second.contains("C: entailed"));
        }
        let meant = from_choices(&Answer::Choose(vec![1.0, 0.0, 0.0]), &Answer::Choose(vec![0.0, 0.0, 1.0]));
        assert_eq!(meant, Answer::Entail { entailment: 1.0, neutral: 0.0, contradiction: 0.0 });
    }
}
