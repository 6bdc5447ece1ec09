//! One evaluation: samples, classifies, asks, and adds up.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Result, ensure};

use super::Subject;
use super::classifier::ClassifierTask;
use super::items::{Generation, Items, Question as Asked};
use super::patterns::Verdict;
use super::tally::{Better, Tally, auc, average, mean};
use crate::error::UserError;
use crate::records::{Answer, EvalPoint, Finish, Measure, Prompt, Question, Sample};

/// Measures a model on every item, with this many sampled responses per prompt.
///
/// # Errors
/// Whatever stops the subject, and a header that names measures which nothing measures.
pub fn measure(at: &str, items: &Items, subject: &mut dyn Subject, responses: usize) -> Result<EvalPoint> {
    let mut tally = Tally::default();
    let mut sampled = Vec::new();
    if !items.generation.is_empty() {
        sampled.extend(generation(&items.generation, subject, responses, &mut tally)?);
    }
    if let Some(task) = &items.classifier {
        let samples = subject.sample(&task.prompts, responses)?;
        task.add(&samples, &mut tally);
        sampled.extend(samples);
    }
    let areas = choose(&items.choose, subject, &mut tally)?;
    let mut measures = tally.finish();
    measures.extend(areas);
    measures.extend(items.classifier.iter().flat_map(ClassifierTask::own_measures));
    if !sampled.is_empty() {
        measures.extend(of_all_responses(&sampled));
        measures.insert("kl".into(), kl(subject.kl(&sampled)?, &sampled));
    }
    averages_and_headline(items, &mut measures)?;
    Ok(EvalPoint { at: at.to_owned(), measures })
}

/// Samples every distinct prompt once, and counts its responses for every item that has it.
fn generation(
    items: &[Generation],
    subject: &mut dyn Subject,
    responses: usize,
    tally: &mut Tally,
) -> Result<Vec<Sample>> {
    let mut seen = BTreeSet::new();
    let prompts: Vec<Prompt> =
        items.iter().map(|item| &item.prompt).filter(|prompt| seen.insert(&prompt.id)).cloned().collect();
    let samples = subject.sample(&prompts, responses)?;
    ensure!(
        samples.len() == prompts.len(),
        "{} prompts were given, {} samples came back",
        prompts.len(),
        samples.len()
    );
    let by_id: HashMap<&str, &Sample> = samples.iter().map(|sample| (sample.id.as_str(), sample)).collect();
    for item in items {
        if let Some(sample) = by_id.get(item.prompt.id.as_str()) {
            item_rates(item, sample, tally);
        }
    }
    Ok(samples)
}

/// An item's rates: one number per measure and kind of response, the mean over its responses.
fn item_rates(item: &Generation, sample: &Sample, tally: &mut Tally) {
    let verdicts: Vec<Verdict> =
        sample.responses.iter().map(|response| item.patterns.classify(&response.text)).collect();
    if verdicts.is_empty() {
        return;
    }
    let rate = |wanted: Verdict| verdicts.iter().filter(|v| **v == wanted).count() as f64 / verdicts.len() as f64;
    for name in &item.measures {
        tally.add(name, Better::Up, rate(Verdict::Good));
        for label in item.patterns.labels() {
            tally.add(&format!("{name}/{label}"), Better::Neither, rate(Verdict::Label(label)));
        }
        tally.add(&format!("{name}/other"), Better::Neither, rate(Verdict::Other));
        if item.patterns.knows_garbled() {
            tally.add(&format!("{name}/garbled"), Better::Down, rate(Verdict::Garbled));
        }
    }
    if item.patterns.knows_garbled() {
        tally.add("well-formed", Better::Up, 1.0 - rate(Verdict::Garbled));
    }
}

/// Accuracy of every question, and the AUC of the measures whose questions all say which answer means yes.
fn choose(items: &[Asked], subject: &mut dyn Subject, tally: &mut Tally) -> Result<BTreeMap<String, Measure>> {
    let questions: Vec<Question> = items
        .iter()
        .flat_map(|item| &item.orders)
        .map(|order| Question::Choose { prompt: order.choose.prompt.clone(), options: order.choose.options.clone() })
        .collect();
    if questions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let answers = subject.answer(&questions)?;
    ensure!(
        answers.len() == questions.len(),
        "{} questions were asked, {} answers came back",
        questions.len(),
        answers.len()
    );
    let mut answers = answers.iter();
    let mut yes: BTreeMap<&str, [Vec<f64>; 2]> = BTreeMap::new();
    let mut without_yes = BTreeSet::new();
    for item in items {
        let (right, wrong) = correct_and_best_other(item, &mut answers)?;
        for name in &item.measures {
            // A tie is no knowledge: it counts half.
            let accuracy = if right > wrong {
                1.0
            } else if right < wrong {
                0.0
            } else {
                0.5
            };
            tally.add(name, Better::Up, accuracy);
            match item.positive {
                Some(positive) => {
                    let p_yes = if positive { right } else { 1.0 - right };
                    yes.entry(name).or_default()[usize::from(positive)].push(p_yes);
                }
                None => {
                    without_yes.insert(name.as_str());
                }
            }
        }
    }
    Ok(yes
        .into_iter()
        .filter(|(name, _)| !without_yes.contains(name))
        .filter_map(|(name, [no, yes])| Some((format!("{name}/auc"), auc(&yes, &no)?)))
        .collect())
}

/// P(correct) and the largest other probability, each averaged over the question's option orders.
fn correct_and_best_other<'a>(item: &Asked, answers: &mut impl Iterator<Item = &'a Answer>) -> Result<(f64, f64)> {
    let (mut right, mut wrong) = (0.0, 0.0);
    for order in &item.orders {
        let probabilities = match answers.next() {
            Some(Answer::Choose(probabilities)) => probabilities,
            _ => anyhow::bail!("a `choose` question was not answered by probabilities"),
        };
        ensure!(
            probabilities.len() == order.choose.options.len(),
            "{} options were given, {} probabilities came back",
            order.choose.options.len(),
            probabilities.len()
        );
        right += f64::from(probabilities[order.correct]);
        wrong += probabilities
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != order.correct)
            .map(|(_, p)| f64::from(*p))
            .fold(0.0, f64::max);
    }
    let orders = item.orders.len() as f64;
    Ok((right / orders, wrong / orders))
}

/// What describes all sampled responses, whatever their task: length, variety, truncation. One number per prompt.
fn of_all_responses(samples: &[Sample]) -> BTreeMap<String, Measure> {
    let mut tally = Tally::default();
    for sample in samples.iter().filter(|sample| !sample.responses.is_empty()) {
        let n = sample.responses.len() as f64;
        let words: usize = sample.responses.iter().map(|r| r.text.split_whitespace().count()).sum();
        let distinct: BTreeSet<&str> = sample.responses.iter().map(|r| r.text.as_str()).collect();
        let truncated = sample.responses.iter().filter(|r| r.finish == Finish::Length).count();
        tally.add("words", Better::Neither, words as f64 / n);
        tally.add("unique", Better::Neither, distinct.len() as f64 / n);
        tally.add("truncated", Better::Down, truncated as f64 / n);
    }
    tally.finish()
}

fn kl(value: f64, samples: &[Sample]) -> Measure {
    Measure { value, n: samples.iter().map(|sample| sample.responses.len() as u64).sum(), se: None, ..mean(&[]) }
}

/// Adds the averages of the header, and marks the headline: the header's, or without one every measure of items that has no `/`.
fn averages_and_headline(items: &Items, measures: &mut BTreeMap<String, Measure>) -> Result<()> {
    for (name, of) in &items.header.averages {
        let parts = of.iter().map(|part| known(part, measures)).collect::<Result<Vec<&Measure>>>()?;
        ensure!(!parts.is_empty(), UserError::new(format!("the evaluation set's average `{name}` is of nothing")));
        let average = average(&parts);
        measures.insert(name.clone(), average);
    }
    let mut headline: BTreeSet<String> = items.header.headline.iter().cloned().collect();
    for name in &headline {
        known(name, measures)?;
    }
    if headline.is_empty() {
        let of_items = items.generation.iter().map(|i| &i.measures).chain(items.choose.iter().map(|i| &i.measures));
        headline.extend(of_items.flatten().filter(|name| !name.contains('/')).cloned());
    }
    headline.extend(items.classifier.as_ref().map(|task| task.class.clone()));
    for (name, measure) in measures {
        measure.headline = headline.contains(name);
    }
    Ok(())
}

fn known<'m>(name: &str, measures: &'m BTreeMap<String, Measure>) -> Result<&'m Measure> {
    measures.get(name).ok_or_else(|| {
        UserError::new(format!("the evaluation set's header names `{name}`, which no item measures"))
            .hint("`headline` and `averages` may name measures of the file's own items")
            .into()
    })
}
