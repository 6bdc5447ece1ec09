//! What a scorer returns depends on its arguments alone: not on the thread that calls it, the order of the calls, or what the
//! instance has done before.

use std::path::PathBuf;
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::config::Limits;
use crate::plugin::build_quietly;
use crate::records::Sample;
use crate::sandbox::{PluginDirectory, Scorer, Step};

use super::{config, repository, sample};

fn semantic(limits: &Limits) -> Scorer {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let directory = BUILT.get_or_init(|| {
        let out = repository().join("target/test-plugins/semantic");
        build_quietly(&[repository().join("plugins/semantic")], &out).expect("the scorer builds");
        out
    });
    let mut used = config("");
    used.plugin = "semantic".to_owned();
    used.grant.clear();
    PluginDirectory::open(directory).and_then(|opened| opened.scorer(&used, limits)).expect("the scorer loads")
}

/// Samples of different sizes, with answers that repeat.
fn samples() -> Vec<Sample> {
    const WORDS: [&str; 7] = ["the", "river", "ends", "in", "Alda", "Mirn", "not"];
    (0..200)
        .map(|i| {
            let text = |j: usize| -> String {
                (0..(i * j) % 9).map(|k| WORDS[(i + j * k + k * k) % WORDS.len()]).collect::<Vec<_>>().join(" ")
            };
            let texts: Vec<String> = (0..1 + i % 12).map(|j| text(j % 7)).collect();
            sample(&format!("p{i}"), &texts.iter().map(String::as_str).collect::<Vec<_>>())
        })
        .collect()
}

fn score(scorer: &Scorer, sample: &Sample) -> Step {
    scorer.score(sample, &[]).expect("scores")
}

#[test]
fn results_are_the_same_on_any_number_of_threads_and_in_any_order() {
    let (scorer, samples) = (semantic(&Limits::default()), samples());
    let alone: Vec<Step> = samples.iter().map(|sample| score(&scorer, sample)).collect();
    assert!(alone.windows(2).any(|pair| pair[0] != pair[1]), "samples that all score alike show nothing");
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let together: Vec<Step> = pool.install(|| samples.par_iter().map(|sample| score(&scorer, sample)).collect());
        assert_eq!(together, alone, "{threads} threads");
    }
    let backwards: Vec<Step> = samples.iter().rev().map(|sample| score(&scorer, sample)).collect();
    assert!(backwards.iter().rev().eq(alone.iter()));
}

#[test]
fn more_threads_than_places_are_served_too() {
    let (scorer, samples) = (semantic(&Limits::default()), samples());
    let expected: Vec<Step> = samples.iter().take(8).map(|sample| score(&scorer, sample)).collect();
    let before = scorer.usage().calls;
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for (sample, expected) in samples.iter().zip(&expected) {
                    assert_eq!(&score(&scorer, sample), expected);
                }
            });
        }
    });
    assert_eq!(scorer.usage().calls - before, 64 * 8);
}

#[test]
fn calling_again_and_again_takes_no_more_memory() {
    let (scorer, samples) = (semantic(&Limits::default()), samples());
    let round = || samples.iter().for_each(|sample| drop(score(&scorer, sample)));
    round();
    let once = scorer.usage().peak_memory;
    (0..30).for_each(|_| round());
    assert_eq!(scorer.usage().peak_memory, once);
}

#[test]
fn the_same_call_in_the_same_place_takes_the_same_fuel() {
    let (scorer, samples) = (semantic(&Limits::default()), samples());
    let fuel = |sample: &Sample| {
        let before = scorer.usage().fuel;
        drop(score(&scorer, sample));
        scorer.usage().fuel - before
    };
    let round = || -> Vec<u64> { samples.iter().map(fuel).collect() };
    // The first round makes the instance's blocks.
    drop(round());
    let second = round();
    assert_eq!(round(), second);
}
