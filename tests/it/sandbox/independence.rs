//! Results depend neither on the number of threads, nor on the order of the scorers, nor on another plugin's faults.

use std::fs;
use std::path::Path;

use super::bad_plugins;
use crate::compare::differences;
use crate::support::{expect_success, plugins, scratch, udasa, write};

const PROMPTS: usize = 600;

/// More than two chunks of samples, of different lengths.
fn responses() -> String {
    let words = ["river", "wave", "lake", "sea", "song", "stone"];
    let text = |n: usize| (0..1 + n % 7).map(|i| words[(n * 7 + i * i) % 6]).collect::<Vec<_>>().join(" ");
    (0..PROMPTS)
        .map(|n| {
            let mut texts: Vec<String> = (0..4).map(|k| format!("\"{}\"", text(n * 5 + k * k))).collect();
            if n % 3 == 1 {
                texts[n % 4] = "\"a bird\"".to_owned();
            }
            format!("{{\"id\":\"p{n}\",\"prompt\":\"q {n}\",\"responses\":[{}]}}\n", texts.join(","))
        })
        .collect()
}

fn scorer(plugin: &str, rest: &str) -> String {
    format!("[[scorer]]\nplugin = \"{plugin}\"\non_fault = \"skip\"\n{rest}\n")
}

/// Scores with so many threads into a folder below `folder`.
fn score(folder: &Path, run: &str, threads: u32, scorers: &[&str]) {
    let file = folder.join("responses.jsonl");
    let config = format!(
        "name = \"threads\"\n[generate]\nfrom = \"{}\"\n[limits]\nfuel = 50_000_000\n{}",
        file.display(),
        scorers.concat()
    );
    let mut command = udasa();
    command.arg("score").arg(write(folder, "config.toml", config)).arg("--plugins").arg(folder.join("plugins"));
    command.arg("--out").arg(folder.join(run)).env("RAYON_NUM_THREADS", threads.to_string());
    expect_success(&mut command);
}

fn lines(run: &Path, scorer: &str) -> Vec<String> {
    let text = fs::read_to_string(run.join("scores.jsonl")).expect("scores were written");
    let own = format!("\"scorer\":\"{scorer}\"");
    text.lines().filter(|line| line.contains(&own)).map(str::to_owned).collect()
}

#[test]
fn one_thread_or_several_any_order_and_faults_beside_them_give_the_same_bytes() {
    let folder = scratch();
    write(folder.path(), "responses.jsonl", responses());
    let directory = folder.path().join("plugins");
    fs::create_dir(&directory).expect("it can be made");
    fs::copy(bad_plugins().join("bad.wasm"), directory.join("bad.wasm")).expect("was built");
    for name in ["semantic.wasm", "sentiment.wasm"] {
        fs::copy(plugins().join(name), directory.join(name)).expect("was built");
    }
    let semantic = scorer("semantic", "");
    let sentiment = scorer("sentiment", "");
    // Traps on the samples that name a bird: instances are thrown away all the time.
    let bad = scorer("bad", "settings = { sin = \"trap-on-birds\" }");
    let all = [bad.as_str(), &semantic, &sentiment];
    score(folder.path(), "one", 1, &all);
    for (run, threads) in [("two", 2), ("five", 5)] {
        score(folder.path(), run, threads, &all);
        let same = differences(&folder.path().join("one"), &folder.path().join(run));
        assert_eq!(same, Vec::<String>::new(), "{threads} threads");
    }
    let faults = lines(&folder.path().join("one"), "bad").iter().filter(|line| line.contains("\"fault\"")).count();
    assert!((PROMPTS / 10..PROMPTS).contains(&faults), "{faults} faults: neither none nor all");

    score(folder.path(), "turned", 2, &[&sentiment, &bad, &semantic]);
    score(folder.path(), "good", 2, &[&semantic, &sentiment]);
    for name in ["semantic", "sentiment"] {
        let expected = lines(&folder.path().join("one"), name);
        assert_eq!(expected.len(), PROMPTS);
        assert_eq!(lines(&folder.path().join("turned"), name), expected, "another order");
        assert_eq!(lines(&folder.path().join("good"), name), expected, "without the bad one");
    }
    let expected = lines(&folder.path().join("one"), "bad");
    assert_eq!(lines(&folder.path().join("turned"), "bad"), expected);
}
