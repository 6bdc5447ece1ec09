//! A plugin held to everything that the contract says, on many inputs, in one call.

use std::collections::HashMap;
use std::thread;

use crate::rng::Rng;
use crate::settings::schema;
use crate::{Answer, Outcome, Pair, Question, Sample, Scorer, Stage, StagingPolicy};

use super::scorer::{ScorerRun, run, told, unreadable};
use super::staging::try_run_policy_with;

/// Runs a scorer on all samples and holds it to the contract: its description; counts, bounds, kinds of question and
/// rounds; and that it is pure, so that a score depends on its own sample alone: the same call twice, every sample on a
/// thread of its own (where no cache is warm), and all samples once more in another order. `answer` stands in for the
/// model and is asked each distinct question once; [`Recorded::answer`](super::Recorded::answer) is one.
///
/// # Panics
/// With everything that is wrong. A fault is wrong here; [`fault_of`](super::fault_of) tests those that should be.
///
/// ```
/// # use udasa_plugin_sdk::{Answer, Dimension, Fault, Question, QuestionKind, Sample, Score, SimpleScorer};
/// use udasa_plugin_sdk::test_kit;
///
/// # struct Judge;
/// # impl SimpleScorer for Judge {
/// #     type Settings = std::collections::BTreeMap<String, f64>;
/// #     const NAME: &'static str = "judge";
/// #     const VERSION: &'static str = "0.1.0";
/// #     const SUMMARY: &'static str = "Believes the model";
/// #     const DIMENSION: Dimension = Dimension::Factual;
/// #     const ASKS: &'static [QuestionKind] = &[QuestionKind::Entail];
/// #     fn questions(_: &Self::Settings, sample: &Sample) -> Result<Vec<Question>, Fault> {
/// #         let question = |text: &str| Question::Entail {
/// #             premise: sample.prompt.question().to_owned(),
/// #             hypothesis: text.to_owned(),
/// #         };
/// #         Ok(sample.texts().into_iter().map(question).collect())
/// #     }
/// #     fn scores(_: &Self::Settings, _: &Sample, answers: &[Answer]) -> Result<Vec<Score>, Fault> {
/// #         let mut answers = udasa_plugin_sdk::Answers::new(answers);
/// #         let mut scores = Vec::new();
/// #         while answers.clone().finish().is_err() {
/// #             scores.push(Score::new(f64::from(answers.entail()?.contradiction)));
/// #         }
/// #         Ok(scores)
/// #     }
/// # }
/// let samples = [test_kit::sample("Why?", &["Because", "No idea"]), test_kit::sample("How?", &["Well"])];
/// let runs = test_kit::check_scorer::<Judge>("{}", &samples, test_kit::plausible);
/// assert_eq!(runs[1].scores.len(), 1);
/// ```
pub fn check_scorer<S: Scorer + 'static>(
    settings: &str,
    samples: &[Sample],
    answer: impl FnMut(&Question) -> Answer,
) -> Vec<ScorerRun> {
    try_check_scorer::<S>(settings, samples, answer).unwrap_or_else(|breaches| panic!("{}", listed(S::NAME, &breaches)))
}

/// As [`check_scorer`], with everything that is wrong as an error.
pub fn try_check_scorer<S: Scorer + 'static>(
    settings: &str,
    samples: &[Sample],
    mut answer: impl FnMut(&Question) -> Answer,
) -> Result<Vec<ScorerRun>, Vec<String>> {
    let mut breaches = description(S::NAME, S::VERSION, S::SUMMARY, schema::<S::Settings>().is_object());
    let mut answers: HashMap<String, Answer> = HashMap::new();
    let mut runs: Vec<Option<ScorerRun>> = Vec::new();
    for sample in samples {
        let ended = run::<S>(settings, sample, |question| {
            Ok(answers.entry(format!("{question:?}")).or_insert_with(|| answer(question)).clone())
        });
        let id = &sample.id;
        runs.push(match ended {
            Ok(Ok(run)) => Some(run),
            Ok(Err(fault)) => {
                let shown = unreadable(&fault).map_or(String::new(), |why| format!(" (the fault {why})"));
                breaches.push(format!("sample `{id}`: fault: {}{shown}", told(&fault)));
                None
            }
            Err(breach) => {
                breaches.push(format!("sample `{id}`: {breach}"));
                None
            }
        });
    }
    let again = |order: &[usize], how: &str| -> Vec<String> {
        let known = |question: &Question| {
            answers
                .get(&format!("{question:?}"))
                .cloned()
                .ok_or_else(|| format!("not pure: {how} it asks {question:?}"))
        };
        let mut differing = Vec::new();
        for &index in order {
            let Some(before) = &runs[index] else { continue };
            match run::<S>(settings, &samples[index], known) {
                Ok(Ok(after)) if format!("{after:?}") == format!("{before:?}") => {}
                Err(breach) => differing.push(format!("sample `{}`: {breach}", samples[index].id)),
                Ok(_) => {
                    differing.push(format!("sample `{}`: not pure: {how} it comes out differently", samples[index].id))
                }
            }
        }
        differing
    };
    let orders = (0..samples.len()).map(|index| (vec![index], "on a fresh thread"));
    for (order, how) in orders.chain([(shuffled(samples.len()), "in another order of the samples")]) {
        breaches.extend(on_a_fresh_thread(|| again(&order, how)));
    }
    if breaches.is_empty() { Ok(runs.into_iter().flatten().collect()) } else { Err(breaches) }
}

/// Runs a staging policy on all pairs, without outcomes (as a plan), with good and with bad ones, and holds it to the
/// contract: its description, its stages, that it stops, and that it is pure: the same call twice, and all stages again on a
/// fresh thread. Gives the plan.
///
/// # Panics
/// With everything that is wrong.
///
/// ```
/// # use udasa_plugin_sdk::{Fault, Pair, PastStage, Stage, StagingPolicy, Overrides};
/// use udasa_plugin_sdk::test_kit;
///
/// # struct AtOnce;
/// # impl StagingPolicy for AtOnce {
/// #     type Settings = std::collections::BTreeMap<String, f64>;
/// #     const NAME: &'static str = "at-once";
/// #     const VERSION: &'static str = "0.1.0";
/// #     const SUMMARY: &'static str = "All pairs in one stage";
/// #     fn next_stage(_: &Self::Settings, _: u64, pairs: &[Pair], history: &[PastStage]) -> Result<Option<Stage>, Fault> {
/// #         Ok(history.is_empty().then(|| Stage {
/// #             name: "all".to_owned(),
/// #             pairs: (0..pairs.len() as u32).collect(),
/// #             overrides: Overrides::default(),
/// #             refresh_reference: false,
/// #             resample: false,
/// #             reason: "everything".to_owned(),
/// #         }))
/// #     }
/// # }
/// let plan = test_kit::check_policy::<AtOnce>("{}", 7, &test_kit::pairs(&[("", 0.5), ("", 0.1)]));
/// assert_eq!(plan[0].pairs, [0, 1]);
/// ```
pub fn check_policy<P: StagingPolicy + 'static>(settings: &str, seed: u64, pairs: &[Pair]) -> Vec<Stage> {
    try_check_policy::<P>(settings, seed, pairs).unwrap_or_else(|breaches| panic!("{}", listed(P::NAME, &breaches)))
}

/// As [`check_policy`], with everything that is wrong as an error.
pub fn try_check_policy<P: StagingPolicy + 'static>(
    settings: &str,
    seed: u64,
    pairs: &[Pair],
) -> Result<Vec<Stage>, Vec<String>> {
    let mut breaches = description(P::NAME, P::VERSION, P::SUMMARY, schema::<P::Settings>().is_object());
    let good = Outcome { loss: 0.3, reward_accuracy: 0.9, margin: 1.0, ..Outcome::default() };
    let bad = Outcome { loss: 0.9, reward_accuracy: 0.3, margin: -0.5, kl_to_initial: 5.0, ..Outcome::default() };
    let courses = [("without outcomes", None), ("with good outcomes", Some(good)), ("with bad outcomes", Some(bad))];
    let mut plan = Vec::new();
    for (how, outcome) in courses {
        let stages = || try_run_policy_with::<P>(settings, seed, pairs, |_| outcome.clone());
        let first = stages();
        let afresh = on_a_fresh_thread(stages);
        match (first, afresh) {
            (Ok(first), Ok(afresh)) if format!("{first:?}") == format!("{afresh:?}") => {
                if outcome.is_none() {
                    plan = first;
                }
            }
            (Err(breach), _) => breaches.push(format!("{how}: {breach}")),
            _ => breaches.push(format!("{how}: not pure: on a fresh thread the stages come out differently")),
        }
    }
    if breaches.is_empty() { Ok(plan) } else { Err(breaches) }
}

/// What the host demands of a description.
fn description(name: &str, version: &str, summary: &str, has_schema: bool) -> Vec<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let numbered = version.split('.').count() >= 3 && version.starts_with(|c: char| c.is_ascii_digit());
    let one_line = !summary.is_empty() && summary.len() <= 500 && !summary.chars().any(char::is_control);
    [
        (
            !name.is_empty() && name.len() <= 64 && name.chars().all(plain),
            "the name has other letters than a-z, 0-9 and -",
        ),
        (numbered, "the version is not like 0.1.0"),
        (one_line, "the summary is not one line of at most 500 bytes"),
        (has_schema, "the settings have no schema of an object"),
    ]
    .into_iter()
    .filter(|(holds, _)| !holds)
    .map(|(_, breach)| breach.to_owned())
    .collect()
}

fn on_a_fresh_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// The same order every time, and never the given one where there is another.
fn shuffled(n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    Rng::keyed(0, "samples").shuffle(&mut order);
    if order.is_sorted() {
        order.reverse();
    }
    order
}

fn listed(name: &str, breaches: &[String]) -> String {
    format!("{name}: {}", breaches.join("\n  "))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::test_kit::{no_questions, pairs, sample};
    use crate::{Dimension, Fault, Overrides, PastStage, Score, Step};

    thread_local! {
        static CALLS: Cell<u32> = const { Cell::new(0) };
        static LONGEST: Cell<usize> = const { Cell::new(0) };
    }

    #[derive(serde::Deserialize, schemars::JsonSchema, Default)]
    #[serde(default)]
    struct Sin {
        /// What to do.
        sin: String,
    }

    struct Sinner;

    impl Scorer for Sinner {
        type Settings = Sin;
        const NAME: &'static str = "sinner";
        const VERSION: &'static str = "0.1.0";
        const SUMMARY: &'static str = "Breaks one rule at a time";
        const DIMENSION: Dimension = Dimension::Value;

        fn score(settings: &Sin, sample: &Sample, _: &[Vec<Answer>]) -> Result<Step, Fault> {
            let uncertainty = match settings.sin.as_str() {
                // Warm after the first call on a thread, and then steady: two calls in a row do not show it.
                "warm" => {
                    let calls = CALLS.replace(CALLS.get() + 1);
                    if calls < 2 { 0.1 } else { 0.2 }
                }
                // Depends on whether a longer sample came before.
                "longest" => {
                    let length = sample.responses.len();
                    LONGEST.set(LONGEST.get().max(length));
                    if LONGEST.get() > length { 0.3 } else { 0.4 }
                }
                "fault" => return Err(Fault::new("two\nlines")),
                "nan" => f64::NAN,
                _ => 0.5,
            };
            Ok(Step::Done(vec![Score::new(uncertainty); sample.responses.len()]))
        }
    }

    fn samples() -> Vec<Sample> {
        let named = |id: &str, responses: &[&str]| Sample { id: id.to_owned(), ..sample("why?", responses) };
        vec![named("a", &["x"]), named("b", &["x", "y"]), named("c", &["x", "y", "z"])]
    }

    fn breaches(sin: &str) -> Vec<String> {
        let settings = format!(r#"{{"sin": "{sin}"}}"#);
        let checked = on_a_fresh_thread(|| try_check_scorer::<Sinner>(&settings, &samples(), no_questions));
        checked.expect_err("a breach")
    }

    #[test]
    fn a_pure_scorer_passes_with_a_run_for_each_sample() {
        assert_eq!(check_scorer::<Sinner>("{}", &samples(), no_questions).len(), 3);
    }

    #[test]
    fn state_that_two_calls_in_a_row_do_not_show_is_found() {
        let warm = breaches("warm");
        assert!(warm.iter().any(|breach| breach.starts_with("sample `b`: not pure: on a fresh thread")), "{warm:?}");
        let longest = breaches("longest");
        assert!(longest.iter().all(|breach| breach.contains("in another order of the samples")), "{longest:?}");
    }

    #[test]
    fn every_breach_names_its_sample_and_a_fault_must_be_readable() {
        let fault = breaches("fault");
        assert_eq!(fault.len(), 3);
        assert!(fault[2].starts_with("sample `c`: fault: two\nlines"), "{fault:?}");
        assert!(fault[2].ends_with("(the fault is not one line of plain text)"), "{fault:?}");
        assert_eq!(breaches("nan")[0], "sample `a`: uncertainty NaN of response 0 is not in [0, 1]");
    }

    struct Moody;

    impl StagingPolicy for Moody {
        type Settings = Sin;
        const NAME: &'static str = "Moody";
        const VERSION: &'static str = "1";
        const SUMMARY: &'static str = "";

        fn next_stage(_: &Sin, _: u64, pairs: &[Pair], history: &[PastStage]) -> Result<Option<Stage>, Fault> {
            let trained_badly =
                history.iter().any(|past| past.outcome.as_ref().is_some_and(|o| o.reward_accuracy < 0.5));
            if trained_badly {
                return Err(Fault::new("disappointed"));
            }
            let calls = CALLS.replace(CALLS.get() + 1);
            Ok((history.len() < 2).then(|| Stage {
                name: format!("{}", history.len()),
                pairs: (0..pairs.len() as u32).collect(),
                overrides: Overrides::default(),
                refresh_reference: false,
                resample: false,
                reason: if calls < 2 { "cold" } else { "warm" }.to_owned(),
            }))
        }
    }

    #[test]
    fn a_policy_is_tried_with_outcomes_and_without() {
        let checked = on_a_fresh_thread(|| try_check_policy::<Moody>("{}", 1, &pairs(&[("", 0.1)])));
        let breaches = checked.expect_err("breaches");
        for expected in ["the name has", "the version is", "the summary is", "with bad outcomes: fault: disappointed"] {
            assert!(breaches.iter().any(|breach| breach.starts_with(expected)), "{expected}: {breaches:?}");
        }
        assert!(breaches.iter().any(|breach| breach.contains("with good outcomes: not pure")), "{breaches:?}");
    }
}
