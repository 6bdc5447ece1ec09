//! Two run folders, file by file. Bytes are compared, except of what is measured by the clock.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Keys whose values are times, rates or what the machine had in use.
const BY_THE_CLOCK: [&str; 3] = ["seconds", "tokens_per_second", "memory"];

/// What plugins used: measured, and a resumed run has other instances than an unbroken one.
const MEASURED: [&str; 3] = ["score-usage.json", "stage-usage.json", "train-usage.json"];

/// Names of the files that differ or are in one folder only. Left out: the lock, which holds a process id, the two files
/// that show times, the rooms' record and the report, and what is measured of plugins.
pub fn differences(one: &Path, other: &Path) -> Vec<String> {
    let names: BTreeSet<PathBuf> = files(one).union(&files(other)).cloned().collect();
    let timed = ["lock", "rooms.json", "report.html"];
    names
        .into_iter()
        .filter(|name| !timed.iter().any(|left_out| name == Path::new(left_out)))
        .filter(|name| !MEASURED.iter().any(|left_out| name.ends_with(left_out)))
        .filter(|name| content(&one.join(name)) != content(&other.join(name)))
        .map(|name| name.display().to_string())
        .collect()
}

/// Every file below a folder with its bytes, but the lock.
pub fn bytes(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let names = files(folder).into_iter().filter(|name| name != Path::new("lock"));
    names.map(|name| (name.clone(), fs::read(folder.join(name)).expect("the file can be read"))).collect()
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(folder).expect("it lies in the folder").to_owned());
            }
        }
    }
    found
}

/// A file's bytes; of the files that hold times among other things, the other things.
fn content(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    let name = path.file_name()?.to_str()?;
    if !["metrics.jsonl", "training.json", "trainer_state.json"].contains(&name) {
        return Some(bytes);
    }
    let text = String::from_utf8(bytes).ok()?;
    let values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let mut all: Vec<Value> = values.collect::<Result<_, _>>().ok()?;
    all.iter_mut().for_each(forget_times);
    serde_json::to_vec(&all).ok()
}

fn forget_times(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !BY_THE_CLOCK.contains(&key.as_str()));
            map.values_mut().for_each(forget_times);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_times),
        _ => {}
    }
}
