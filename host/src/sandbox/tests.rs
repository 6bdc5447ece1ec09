//! The sandbox against plugins that misbehave in every way we promise to survive (`tests/fixtures/bad-*`).

mod block;
mod files;
mod fuzz;
mod native;
mod policies;
mod sins;
mod threads;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::config::{self, Limits, OnFault};
use crate::error::UserError;
use crate::plugin::build_quietly;
use crate::records::{PromptText, QuestionKind, Response, Sample};

use super::{PluginDirectory, Scorer};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A directory that holds the bad plugins; built once per test run, in seconds at most when nothing changed.
fn bad_plugins() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let out = repository().join("target/test-plugins/bad");
        let fixtures = ["bad-plugin", "bad-policy"];
        let crates = fixtures.map(|name| repository().join("tests/fixtures").join(name));
        build_quietly(&crates, &out).expect("the fixtures build");
        out
    })
}

fn directory() -> &'static PluginDirectory {
    static OPENED: OnceLock<PluginDirectory> = OnceLock::new();
    OPENED.get_or_init(|| PluginDirectory::open(bad_plugins()).expect("the fixtures load"))
}

/// The bad plugin's use in a config.
fn config(sin: &str) -> config::Scorer {
    let sin = Some(sin).filter(|sin| !sin.is_empty());
    config::Scorer {
        plugin: "bad".to_owned(),
        name: None,
        weight: 1.0,
        grant: vec![QuestionKind::Choose],
        settings: sin.map(|sin| ("sin".to_owned(), sin.into())).into_iter().collect::<BTreeMap<_, _>>(),
        on_fault: OnFault::Stop,
        sha256: None,
        native: false,
    }
}

/// Small enough that every sin is stopped within a second.
fn limits() -> Limits {
    Limits { fuel: 200_000_000, memory_mib: 64, ..Limits::default() }
}

fn scorer(sin: &str) -> Scorer {
    directory().scorer(&config(sin), &limits()).expect("its settings are in order")
}

fn sample(id: &str, texts: &[&str]) -> Sample {
    Sample {
        id: id.to_owned(),
        prompt: PromptText::Text("Where does the river end ?".to_owned()),
        group: None,
        prompt_token_ids: Vec::new(),
        responses: texts.iter().map(|&text| Response { text: text.to_owned(), ..Response::default() }).collect(),
    }
}

/// The user error in `result`.
fn refusal<T>(result: anyhow::Result<T>) -> UserError {
    match result {
        Ok(_) => panic!("nothing was refused"),
        Err(error) => error.downcast().expect("the user's input, not a defect of ours"),
    }
}
