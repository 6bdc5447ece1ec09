//! What the sandbox costs, measured: `cargo test --release -p udasa --lib cost -- --ignored --nocapture`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::sandbox::{PluginDirectory, inspect};

use super::{bad_plugins, sample, scorer};

/// The best and the middle: other work on the machine only ever adds to a time.
fn summary(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    format!(
        "{:?} at best, median {:?}",
        times[0],
        times[times.len() / 2]
    )
}

#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_a_call_with_8_responses_of_64_tokens() {
    let good = scorer("");
    let text = "word ".repeat(64);
    let mut sample = sample("p1", &[text.as_str(); 8]);
    for response in &mut sample.responses {
        response.token_ids = (0..64).collect();
        response.logprobs = vec![-1.0; 64];
        response.entropies = vec![1.0; 64];
    }
    let batch = |n: u32| {
        let started = Instant::now();
        for _ in 0..n {
            assert!(good.score(&sample, &[]).is_ok());
        }
        started.elapsed() / n
    };
    batch(1000);
    let time = summary((0..501).map(|_| batch(200)).collect());
    println!("a call with 8 responses of 64 tokens: {time}");
}

/// `UDASA_PLUGINS` may name another directory, such as that of the shipped plugins.
#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_a_warm_start() {
    let directory = std::env::var_os("UDASA_PLUGINS").map(PathBuf::from);
    let directory = directory.as_deref().unwrap_or_else(|| bad_plugins());
    let opened = PluginDirectory::open(directory).expect("opens");
    for plugin in opened.list() {
        let time = summary(
            (0..101)
                .map(|_| {
                    let started = Instant::now();
                    assert!(inspect(&plugin.path).is_ok());
                    started.elapsed()
                })
                .collect(),
        );
        let name = &plugin.description.name;
        println!("warm start of {name} ({} bytes): {time}", plugin.bytes);
    }
}
