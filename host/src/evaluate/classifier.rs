//! A bag-of-words classifier for measuring: a logistic regression that neither the scorers nor the training ever saw.
//!
//! Trained here from labelled texts in a few seconds; full-batch and without random numbers, so that it is the same every time.

use anyhow::Result;

use super::features::{Features, Sparse};
use super::tally::{Better, Tally, mean};
use crate::config;
use crate::data::read_texts;
use crate::records::{Measure, Prompt, PromptText, Sample};

/// Strength of the L2 penalty on the mean loss, and the passes over the data. Between 1e-4 and 1e-6 the accuracy on other
/// texts is the same (.74 for sentences after training on whole reviews); less penalty spreads the probabilities further from ½.
const PENALTY: f64 = 3e-6;
const PASSES: usize = 250;

/// P(the class | a text).
pub struct Classifier {
    features: Features,
    weights: Vec<f64>,
    bias: f64,
}

/// How well the classifier does on labelled texts that it did not see: without it, its measure says nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accuracy {
    /// Mean accuracy over the two classes.
    pub accuracy: f64,
    /// Texts of the class.
    pub of_class: usize,
    /// Texts of the other.
    pub of_other: usize,
    /// Mean P(class) on texts of the class: what a model that always wrote such texts would measure.
    pub mean_of_class: f64,
    /// Mean P(class) on the others.
    pub mean_of_other: f64,
}

impl Classifier {
    /// Trains on texts of a class and texts of the other.
    pub fn train(class: &[String], other: &[String]) -> Self {
        let features = Features::learn(class.iter().chain(other).map(String::as_str));
        let rows: Vec<(Sparse, f64, f64)> = [(class, 1.0), (other, 0.0)]
            .into_iter()
            .flat_map(|(texts, label)| texts.iter().map(move |text| (text, label, 0.5 / texts.len() as f64)))
            .map(|(text, label, weight)| (features.of(text), label, weight))
            .collect();
        let (weights, bias) = fit(&rows, features.len());
        let mut classifier = Self { features, weights, bias };
        classifier.bias -= classifier.line_offset(class, other);
        classifier
    }

    /// P(class).
    pub fn probability(&self, text: &str) -> f64 {
        sigmoid(self.logit(text))
    }

    /// Its accuracy on labelled texts.
    pub fn check(&self, class: &[String], other: &[String]) -> Accuracy {
        let of = |texts: &[String]| -> Vec<f64> { texts.iter().map(|text| self.probability(text)).collect() };
        let (of_class, of_other) = (of(class), of(other));
        let share =
            |ps: &[f64], right: fn(f64) -> bool| ps.iter().filter(|p| right(**p)).count() as f64 / ps.len() as f64;
        let mean = |ps: &[f64]| ps.iter().sum::<f64>() / ps.len() as f64;
        Accuracy {
            accuracy: (share(&of_class, |p| p > 0.5) + share(&of_other, |p| p <= 0.5)) / 2.0,
            of_class: class.len(),
            of_other: other.len(),
            mean_of_class: mean(&of_class),
            mean_of_other: mean(&of_other),
        }
    }

    fn logit(&self, text: &str) -> f64 {
        dot(&self.weights, &self.features.of(text)) + self.bias
    }

    /// What is measured is short, the training texts may be long, and long texts use the columns differently: so ½ is placed
    /// midway between the two classes' median *lines* (.728 → .74 on sentences).
    fn line_offset(&self, class: &[String], other: &[String]) -> f64 {
        let median = |texts: &[String]| {
            let mut logits: Vec<f64> = texts
                .iter()
                .flat_map(|text| text.lines())
                .filter(|line| !line.trim().is_empty())
                .map(|line| self.logit(line))
                .collect();
            logits.sort_by(f64::total_cmp);
            logits.get(logits.len() / 2).copied().unwrap_or(0.0)
        };
        (median(class) + median(other)) / 2.0
    }
}

/// Minimises Σ weight · log-loss + PENALTY/2 · |w|² by Nesterov's accelerated gradient (FISTA's momentum). Rows have unit length, and
/// a bias column of 1, so the gradient's Lipschitz constant is at most ¼ · 2 + PENALTY.
fn fit(rows: &[(Sparse, f64, f64)], columns: usize) -> (Vec<f64>, f64) {
    let step = 1.0 / (0.5 + PENALTY);
    let mut weights = vec![0.0; columns + 1]; // the bias is last, and is not penalised
    let mut ahead = weights.clone();
    let mut momentum = 1.0f64;
    let mut gradient = vec![0.0; columns + 1];
    for _ in 0..PASSES {
        for (slope, weight) in gradient.iter_mut().zip(&ahead) {
            *slope = PENALTY * weight;
        }
        gradient[columns] = 0.0;
        for (row, label, weight) in rows {
            let error = weight * (sigmoid(dot(&ahead, row) + ahead[columns]) - label);
            for (column, value) in row {
                gradient[*column as usize] += error * f64::from(*value);
            }
            gradient[columns] += error;
        }
        let next_momentum = (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) / 2.0;
        let carry = (momentum - 1.0) / next_momentum;
        momentum = next_momentum;
        for ((weight, ahead), slope) in weights.iter_mut().zip(&mut ahead).zip(&gradient) {
            let next = *ahead - step * slope;
            *ahead = next + carry * (next - *weight);
            *weight = next;
        }
    }
    let bias = weights.pop().unwrap_or(0.0);
    (weights, bias)
}

fn dot(weights: &[f64], row: &Sparse) -> f64 {
    row.iter().map(|(column, value)| weights[*column as usize] * f64::from(*value)).sum()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A classifier and the prompts whose sampled continuations it measures.
pub struct ClassifierTask {
    pub(super) class: String,
    pub(super) prompts: Vec<Prompt>,
    classifier: Classifier,
    accuracy: Option<Accuracy>,
}

impl ClassifierTask {
    /// Reads the labelled texts and trains. `prompts` are those of `section.prompts`, read by the data room.
    ///
    /// # Errors
    /// A path that cannot be read.
    pub fn train(section: &config::Classifier, prompts: Vec<Prompt>) -> Result<Self> {
        let class = read_texts(&section.texts, section.encoding, None)?;
        let other = read_texts(&section.other_texts, section.encoding, None)?;
        let check = match &section.check {
            Some([class, other]) => Some((
                read_texts(std::slice::from_ref(class), section.encoding, None)?,
                read_texts(std::slice::from_ref(other), section.encoding, None)?,
            )),
            None => None,
        };
        let classifier = Classifier::train(&class, &other);
        Ok(Self {
            class: section.class.clone(),
            prompts,
            accuracy: check.map(|(class, other)| classifier.check(&class, &other)),
            classifier,
        })
    }

    /// How well it does on the config's `check` texts.
    pub fn accuracy(&self) -> Option<Accuracy> {
        self.accuracy
    }

    /// The same as measures, so that whoever reads the class's number can see what it is worth.
    pub(super) fn own_measures(&self) -> Vec<(String, Measure)> {
        let measure = |name: &str, value: f64, n: usize| {
            let n = n as u64;
            (format!("{}/{name}", self.class), Measure { value, n, ..mean(&[]) })
        };
        self.accuracy
            .map(|own| {
                vec![
                    measure("accuracy", own.accuracy, own.of_class + own.of_other),
                    measure("check", own.mean_of_class, own.of_class),
                    measure("check-other", own.mean_of_other, own.of_other),
                ]
            })
            .unwrap_or_default()
    }

    /// Adds one number per prompt: mean P(class) of the continuations alone, share of them above ½, and mean P(class) with the prompt.
    pub(super) fn add(&self, samples: &[Sample], tally: &mut Tally) {
        for sample in samples.iter().filter(|sample| !sample.responses.is_empty()) {
            let n = sample.responses.len() as f64;
            let ps: Vec<f64> = sample.responses.iter().map(|r| self.classifier.probability(&r.text)).collect();
            tally.add(&self.class, Better::Up, ps.iter().sum::<f64>() / n);
            tally.add(&format!("{}/share", self.class), Better::Up, ps.iter().filter(|p| **p > 0.5).count() as f64 / n);
            if let PromptText::Text(prompt) = &sample.prompt {
                let whole = |text: &str| self.classifier.probability(&format!("{prompt} {text}"));
                let sum: f64 = sample.responses.iter().map(|r| whole(&r.text)).sum();
                tally.add(&format!("{}/with-prompt", self.class), Better::Up, sum / n);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<String> {
        (0..4).flat_map(|_| texts.iter().map(|text| (*text).to_owned())).collect()
    }

    #[test]
    fn it_learns_words_that_tell_and_is_undecided_on_unknown_ones() {
        let good = lines(&["a fine film", "fine and moving", "it is fine"]);
        let bad = lines(&["a dull film", "dull and long", "it is dull"]);
        let classifier = Classifier::train(&good, &bad);
        assert!(classifier.probability("fine") > 0.7);
        assert!(classifier.probability("dull") < 0.3);
        assert!((classifier.probability("xyzzy") - 0.5).abs() < 0.1);
        assert_eq!(classifier.check(&good, &bad).accuracy, 1.0);
    }

    #[test]
    fn training_twice_gives_the_same_bits() {
        let (good, bad) = (lines(&["a b c", "a c"]), lines(&["b d", "d e f"]));
        let p = || Classifier::train(&good, &bad).probability("a d c");
        assert_eq!(p().to_bits(), p().to_bits());
    }

    /// Whole reviews in, sentences of other reviews measured. Needs the two NLTK packages of configs/reviews.toml.
    #[test]
    #[ignore = "needs UDASA_NLTK: a folder with NLTK's movie_reviews and sentence_polarity, unpacked"]
    fn trained_on_movie_reviews_it_tells_sentences_of_other_reviews() -> Result<()> {
        let root = std::path::PathBuf::from(std::env::var("UDASA_NLTK")?);
        let read = |path: &str| read_texts(&[root.join(path)], config::Encoding::Latin1, None);
        let started = std::time::Instant::now();
        let classifier = Classifier::train(&read("movie_reviews/pos")?, &read("movie_reviews/neg")?);
        let seconds = started.elapsed().as_secs_f64();
        let accuracy =
            classifier.check(&read("sentence_polarity/rt-polarity.pos")?, &read("sentence_polarity/rt-polarity.neg")?);
        println!("{accuracy:?} after {seconds:.1}s");
        assert!(accuracy.accuracy >= 0.72, "{accuracy:?}");
        Ok(())
    }
}
