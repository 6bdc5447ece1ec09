//! Asking a model to judge by a choice of two, in both orders.
//!
//! Models favour the first option, or one letter. So the question is put twice with the labels swapped, and the two
//! probabilities are averaged; how far they are apart is worth a note.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Answers, Fault, Problem, Prompt, Question, template};

/// How a judge question reaches the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// One user message, rendered by the host with the model's own template.
    #[default]
    Chat,
    /// Raw text, for base models.
    Text,
}

/// The wording of a question with two options.
#[derive(Debug, Clone, Copy)]
pub struct Wording<'a> {
    /// How it reaches the model.
    pub form: Form,
    /// The text; `{first}` and `{second}` stand for the labels in the order of the options.
    pub template: &'a str,
    /// The two continuations.
    pub options: &'a [String; 2],
    /// The two labels, the reliable one first ("True", "False").
    pub labels: &'a [String; 2],
}

/// What the judge said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Probability of the first label, mean of both orders, in [0, 1].
    pub probability: f64,
    /// |difference| between the orders: 0 for a judge that reads the labels, 1 for one that only sees the letters.
    pub disagreement: f64,
}

impl Wording<'_> {
    /// The question with the labels as they are, then swapped. Besides the labels, `places` are filled.
    pub fn questions(&self, places: &[(&str, &str)]) -> [Question; 2] {
        let [good, bad] = self.labels;
        [(good, bad), (bad, good)].map(|(first, second)| {
            let mut all = places.to_vec();
            all.extend([("first", first.as_str()), ("second", second.as_str())]);
            let text = template::fill(self.template, &all);
            let prompt = match self.form {
                Form::Chat => Prompt::user(text),
                Form::Text => Prompt::Text(text),
            };
            Question::Choose { prompt, options: self.options.to_vec() }
        })
    }

    /// What is wrong with the wording. `needed` are the places besides the labels that the template must have.
    pub fn check(&self, needed: &[&str], allowed: &[&str]) -> Vec<Problem> {
        let needed: Vec<&str> = needed.iter().copied().chain(["first", "second"]).collect();
        let mut problems = template::check("template", self.template, &needed, allowed);
        for (path, pair) in [("options", self.options), ("labels", self.labels)] {
            if pair[0] == pair[1] {
                problems.push(Problem::new(path, format!("both are `{}`, two different ones are needed", pair[0])));
            }
            if pair.iter().any(String::is_empty) {
                problems.push(Problem::new(path, "an empty text cannot be chosen"));
            }
        }
        problems
    }
}

/// Reads the two answers to [`Wording::questions`].
pub fn read(answers: &mut Answers<'_>) -> Result<Verdict, Fault> {
    let straight = f64::from(answers.choose(2)?[0]);
    let swapped = f64::from(answers.choose(2)?[1]);
    Ok(Verdict {
        // An f32 probability may be a rounding above 1.
        probability: (0.5 * (straight + swapped)).clamp(0.0, 1.0),
        disagreement: (straight - swapped).abs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Answer;

    fn both(a: &str, b: &str) -> [String; 2] {
        [a.to_owned(), b.to_owned()]
    }

    #[test]
    fn labels_are_swapped_and_options_are_not() {
        let (options, labels) = (both(" A", " B"), both("yes", "no"));
        let wording = Wording {
            form: Form::Text,
            template: "{response} ? A {first} B {second} :",
            options: &options,
            labels: &labels,
        };
        let [straight, swapped] = wording.questions(&[("response", "r")]);
        let text = |s: &str| Question::Choose { prompt: Prompt::Text(s.to_owned()), options: options.to_vec() };
        assert_eq!(straight, text("r ? A yes B no :"));
        assert_eq!(swapped, text("r ? A no B yes :"));
        assert!(wording.check(&["response"], &[]).is_empty());
    }

    #[test]
    fn a_judge_that_only_sees_the_letter_is_undecided_and_disagrees_with_itself() {
        let given = [Answer::Choose(vec![1.0, 0.0]), Answer::Choose(vec![1.0, 0.0])];
        let verdict = read(&mut Answers::new(&given));
        assert_eq!(verdict, Ok(Verdict { probability: 0.5, disagreement: 1.0 }));
        let given = [Answer::Choose(vec![0.75, 0.25]), Answer::Choose(vec![0.5, 0.5])];
        assert_eq!(read(&mut Answers::new(&given)), Ok(Verdict { probability: 0.625, disagreement: 0.25 }));
        assert!(read(&mut Answers::new(&given[..1])).is_err());
    }

    #[test]
    fn equal_options_and_missing_places_are_problems() {
        let (options, labels) = (both("A", "A"), both("yes", ""));
        let wording = Wording { form: Form::Chat, template: "{first}", options: &options, labels: &labels };
        let paths: Vec<String> = wording.check(&["response"], &[]).into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["template", "template", "options", "labels"]);
    }
}
