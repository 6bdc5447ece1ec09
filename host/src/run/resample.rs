//! Before a stage that asks for it: the prompts of its pairs are sampled, scored and paired anew, by the policy as it is then.
//!
//! In: the stage's pairs and the policy. Out: a folder of the stage's own, with the files that the rooms `generate`, `score` and `pair` leave
//! in the run, made by their code. The scales are the run's, so that an uncertainty means the same in every stage. The seed is the stage's own:
//! it follows from the run's seed and the stage's number. What was begun for another policy or other prompts is removed; what was begun for
//! these is gone on with.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::keys::digest;
use super::plugins::say_log;
use super::{Context, Room, answerers, model_rooms, rooms};
use crate::config;
use crate::data::{jsonl, seed_for};
use crate::pair as pair_room;
use crate::progress::say;
use crate::records::{Pair, Prompt, Resampled, Sample};
use crate::sandbox::Scorer;
use crate::score::{Answerers, Files};
use crate::train::Resampling;

const RECORD: &str = "resampled.json";

/// What a folder is for, and what it came to.
#[derive(Serialize, Deserialize)]
struct Record {
    /// Digest of all that its files depend on.
    key: String,
    /// None until everything is there.
    done: Option<Resampled>,
}

/// New pairs for a stage, in the order of its prompts.
pub fn resample(ctx: &Context, wanted: &Resampling) -> Result<(Vec<Pair>, Resampled)> {
    let folder = ctx.folder.file(&wanted.folder);
    let prompts = prompts_of(&wanted.pairs);
    let key = digest(&json!({
        "train": ctx.keys.rooms.get(&Room::Train), "policy": wanted.identity, "stage": wanted.stage,
        "prompts": prompts.iter().map(|prompt| &prompt.id).collect::<Vec<_>>(),
    }))?;
    if let Some(done) = begin(&folder, &key)? {
        return Ok((jsonl::read(&folder.join("pairs.jsonl"))?, done));
    }
    say(Room::Train.name(), &format!("{}: {} prompts are sampled anew", wanted.name, prompts.len()));
    let seed = seed_for(ctx.cfg.seed, "resample", wanted.stage as u64);
    let responses = folder.join("responses.jsonl");
    model_rooms::sample(&prompts, &ctx.cfg.generate, seed, &responses, || Ok(wanted.policy))?;
    let samples: Vec<Sample> = jsonl::read(&responses)?;
    score(ctx, wanted, &samples, seed, &key, &folder)?;
    let (pairs, summary) = pair_room::room(
        &samples,
        &jsonl::read(&folder.join("uncertainty.jsonl"))?,
        &ctx.cfg.pair,
        seed,
        &format!("-{}", wanted.stage),
        &folder.join("pairs.jsonl"),
        &folder.join("drops.jsonl"),
    )?;
    let done =
        Resampled { folder: wanted.folder.clone(), prompts: prompts.len(), pairs: pairs.len(), drops: summary.drops };
    jsonl::write_json(&folder.join(RECORD), &Record { key, done: Some(done.clone()) })?;
    say(
        Room::Train.name(),
        &format!("{}: {} pairs of {} prompts, {} dropped", wanted.name, done.pairs, done.prompts, total(&done.drops)),
    );
    Ok((pairs, done))
}

/// Every prompt once, in the order in which the stage first has it.
fn prompts_of(pairs: &[&Pair]) -> Vec<Prompt> {
    let mut seen = HashSet::new();
    let first = pairs.iter().filter(|pair| seen.insert(&pair.prompt_id));
    first
        .map(|pair| Prompt { id: pair.prompt_id.clone(), prompt: pair.prompt.clone(), group: pair.group.clone() })
        .collect()
}

/// Makes the folder ready; gives what it came to, where it is whole.
fn begin(folder: &Path, key: &str) -> Result<Option<Resampled>> {
    let path = folder.join(RECORD);
    let found: Option<Record> = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(record) = found.filter(|record| record.key == key) {
        return Ok(record.done);
    }
    let making = || format!("making {}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(making)?;
    }
    std::fs::create_dir_all(folder).with_context(making)?;
    jsonl::write_json(&path, &Record { key: key.to_owned(), done: None })?;
    Ok(None)
}

/// The run's scorers, scales and answerers, but for the policy model, which answers as it is now.
fn score(ctx: &Context, wanted: &Resampling, samples: &[Sample], seed: u64, key: &str, folder: &Path) -> Result<()> {
    let scorers = &ctx.plugins.scorers;
    // What they used and said so far belongs elsewhere.
    scorers.iter().for_each(Scorer::forget_usage);
    let heard: Vec<(usize, u64)> = scorers.iter().map(Scorer::log).map(|(lines, lost)| (lines.len(), lost)).collect();
    let keys: Vec<String> =
        ctx.keys.scorers.iter().map(|scorer| digest(&json!({ "scorer": scorer, "of": key }))).collect::<Result<_>>()?;
    let answerers = Answerers {
        policy: wanted.identity.clone(),
        sampling: digest(&json!({ "policy": wanted.identity, "seed": seed }))?,
        ..ctx.keys.answerers.clone()
    };
    let config = config::Score { scaler: Some(ctx.folder.file("scaler.json")), ..ctx.cfg.score.clone() };
    let make = |kind| answerers::load(&ctx.cfg, &answerers, kind, seed, &|| Ok(wanted.policy));
    rooms::score_samples(ctx, samples, &keys, &config, &answerers, &make, &Files::in_run(folder))?;
    for (scorer, (lines, lost)) in scorers.iter().zip(heard) {
        let (mut all, dropped) = scorer.log();
        say_log(Room::Train, scorer.name(), (all.split_off(lines.min(all.len())), dropped - lost));
    }
    Ok(())
}

fn total(drops: &BTreeMap<String, usize>) -> usize {
    drops.values().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::test_folder::TestFolder;

    #[test]
    fn a_folder_begun_for_something_else_is_emptied_and_one_for_the_same_is_gone_on_with() -> Result<()> {
        let run = TestFolder::new()?;
        let folder = run.path().join("resampled/1-x");
        assert_eq!(begin(&folder, "a")?, None);
        std::fs::write(folder.join("responses.jsonl"), "1\n")?;
        assert_eq!(begin(&folder, "a")?, None);
        assert!(folder.join("responses.jsonl").exists());
        let done =
            Resampled { folder: "resampled/1-x".into(), prompts: 3, pairs: 1, drops: [("empty".into(), 2)].into() };
        jsonl::write_json(&folder.join(RECORD), &Record { key: "a".into(), done: Some(done.clone()) })?;
        assert_eq!(begin(&folder, "a")?, Some(done));
        assert_eq!(begin(&folder, "b")?, None);
        assert!(!folder.join("responses.jsonl").exists());
        std::fs::write(folder.join(RECORD), "{")?;
        assert_eq!(begin(&folder, "b")?, None, "a record that cannot be read is none");
        Ok(())
    }
}
