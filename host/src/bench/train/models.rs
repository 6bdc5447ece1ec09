//! The models that the benchmark trains, and their pairs of token ids.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::bench::{self, shared};
use crate::data::jsonl;
use crate::error::UserError;
use crate::records::Pair;

const SCRIPT: &str = "peers/p6_make_bench.py";
const PAIRS: &str = "pairs.jsonl";

/// A row of `pairs.jsonl`, as the peer reads it too.
#[derive(Serialize, Deserialize)]
struct Ids {
    prompt_ids: Vec<u32>,
    chosen_ids: Vec<u32>,
    rejected_ids: Vec<u32>,
}

/// The folder of a model below `root`: `small`, `base`, or one of them with `-long` prompts.
pub(super) fn folder(root: &Path, name: &str, python: Option<&Path>) -> Result<PathBuf> {
    let base = root.join(name.trim_end_matches("-long"));
    if !base.join(PAIRS).exists() {
        make(root, python)?;
    }
    if base.file_name() == Some(name.as_ref()) {
        return Ok(base);
    }
    let long = root.join(name);
    lengthen(&base, &long)?;
    Ok(long)
}

/// The pairs of a folder.
pub(super) fn pairs(folder: &Path) -> Result<Vec<Pair>> {
    let rows: Vec<Ids> = jsonl::read(&folder.join(PAIRS))?;
    let pair = |(n, ids): (usize, Ids)| bench::pair(n.to_string(), [ids.prompt_ids, ids.chosen_ids, ids.rejected_ids]);
    Ok(rows.into_iter().enumerate().map(pair).collect())
}

fn make(root: &Path, python: Option<&Path>) -> Result<()> {
    let missing = || {
        UserError::new(format!("the models to be trained are not in {}", root.display())).hint(
            "name their folder with --models, make them with ../shared/peers/p6_make_bench.py --out DIR, or name a Python that can with \
             --peers",
        )
    };
    let (python, script) = (python.ok_or_else(missing)?, shared(SCRIPT).ok_or_else(missing)?);
    let mut command = Command::new(python);
    command.arg(script).arg("--out").arg(root).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().with_context(|| format!("starting {}", python.display()))?;
    if status.success() { Ok(()) } else { Err(missing().into()) }
}

/// The same model with prompts four times as long.
fn lengthen(base: &Path, long: &Path) -> Result<()> {
    std::fs::create_dir_all(long).with_context(|| format!("creating {}", long.display()))?;
    for entry in std::fs::read_dir(base)? {
        let path = entry?.path();
        let to = long.join(path.file_name().context("an entry has a name")?);
        if !to.exists() {
            std::fs::copy(&path, &to).with_context(|| format!("copying {}", path.display()))?;
        }
    }
    let mut rows: Vec<Ids> = jsonl::read(&base.join(PAIRS))?;
    for row in &mut rows {
        row.prompt_ids = row.prompt_ids.repeat(4);
    }
    jsonl::write(&long.join(PAIRS), &rows)
}
