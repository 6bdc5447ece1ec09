//! One pass: config, plugins, samples and answers in, a [`State`] out. Loads no model and writes nothing.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::files::{self, Stamps};
use super::state::{ScorerState, State, pairs_of};
use crate::config::Config;
use crate::data::{self, jsonl};
use crate::error::UserError;
use crate::pair;
use crate::records::{Sample, SampleScores};
use crate::run::digests::Digests;
use crate::run::keys::{self, Keys};
use crate::run::plugins::Plugins;
use crate::run::prepare::{Options, resolved, shown};
use crate::run::room::Room;
use crate::sandbox::LogLine;
use crate::score::{self, Answerers, KnownAnswers, Rescored, Scaler};

/// What is read again only when it changed, and digests of input files.
#[derive(Default)]
pub struct Kept {
    digests: Digests,
    samples: (String, Stamps, Vec<Sample>),
    answers: (Answerers, Stamps, KnownAnswers),
}

/// A pass that came to its end.
pub struct Pass {
    /// What was found.
    pub state: State,
    /// What it was compared with: the pass before, or the run's records.
    pub before: State,
    /// Names of the scorers that were called; the others' scores still held.
    pub called: Vec<String>,
    /// What the scorers logged, and how many lines more.
    pub logs: Vec<(String, Vec<LogLine>, u64)>,
    /// The run folder.
    pub run: PathBuf,
}

impl Kept {
    /// Digests that an earlier run left are used.
    pub fn new(run: &Path) -> Self {
        Self { digests: Digests::read(run), ..Self::default() }
    }

    /// The samples that were read last.
    pub fn samples(&self) -> &[Sample] {
        &self.samples.2
    }

    /// Scores everything whose scores no longer hold. Files that were read are added to `read`, as they were before.
    pub fn pass(&mut self, options: &Options, before: Option<&State>, read: &mut Stamps) -> Result<Pass> {
        let (cfg, run) = resolved(options)?;
        let plugins = Plugins::open(&cfg, options.plugins.as_deref(), Room::Score)?;
        let keys = keys::keys(&cfg, &plugins.digests(), &mut self.digests)?;
        self.read_samples(&cfg, &run, &keys, read)?;
        self.read_answers(&run, &keys, read)?;
        let samples = &self.samples.2;
        let before = before.cloned().unwrap_or_else(|| State::recorded(&run));
        let sandboxed = plugins.sandboxed();
        let uses = Plugins::uses(&sandboxed, &cfg, &keys.scorers);
        let mut state = State::default();
        let mut called = Vec::new();
        for used in &uses {
            let name = used.scorer.name();
            let holds = |old: &&ScorerState| old.key == used.key && samples.iter().all(|sample| says(old, sample));
            let scorer = match before.scorer(name).filter(holds) {
                Some(old) => old.clone(),
                None => {
                    called.push(name.to_owned());
                    let ids = samples.iter().map(|sample| sample.id.clone());
                    let results = score::rescore(samples, used.scorer, &self.answers.2);
                    ScorerState { name: name.to_owned(), key: used.key.clone(), results: ids.zip(results).collect() }
                }
            };
            state.scorers.push(scorer);
        }
        let lines: Vec<SampleScores> = state.scorers.iter().flat_map(|scorer| lines(scorer, samples)).collect();
        let saved = cfg.score.scaler.as_ref().map(|path| Scaler::load(path, &uses)).transpose()?;
        let combined = score::combine(samples, &uses, &lines, &cfg.score, saved)?;
        let (pairs, _) = pair::build(samples, &combined.uncertainties, &cfg.pair, cfg.seed);
        state.pairs = Some(pairs_of(&pairs));
        state.u = combined.uncertainties.into_iter().map(|line| (line.id, line.u)).collect();
        let logs = plugins.scorers.iter().map(|scorer| {
            let (lines, dropped) = scorer.log();
            (scorer.name().to_owned(), lines, dropped)
        });
        Ok(Pass { state, before, called, logs: logs.collect(), run })
    }

    fn read_samples(&mut self, cfg: &Config, run: &Path, keys: &Keys, read: &mut Stamps) -> Result<()> {
        let path = cfg.generate.from.clone().unwrap_or_else(|| run.join("responses.jsonl"));
        let now = files::stamps([&path]);
        let key = keys.rooms.get(&Room::Generate).cloned().unwrap_or_default();
        read.extend(now.clone());
        if self.samples.0 == key && self.samples.1 == now {
            return Ok(());
        }
        let samples = match &cfg.generate.from {
            Some(from) => data::read_responses(from, &cfg.generate)?,
            None => jsonl::read_whole_lines(&path)?.ok_or_else(|| {
                UserError::new(format!("there are no responses yet: {} does not exist", shown(&path)))
                    .hint("`udasa generate CONFIG` makes them, or give the folder of a run that has some with --out")
            })?,
        };
        self.samples = (key, now, samples);
        Ok(())
    }

    fn read_answers(&mut self, run: &Path, keys: &Keys, read: &mut Stamps) -> Result<()> {
        let folder = run.join("answers");
        let answerers = &keys.answerers;
        let paths: Vec<PathBuf> =
            answerers.identities().into_iter().map(|identity| score::answers_file(&folder, identity)).collect();
        let now = files::stamps(&paths);
        read.extend(now.clone());
        if self.answers.0 != *answerers || self.answers.1 != now {
            self.answers = (answerers.clone(), now, KnownAnswers::read(&folder, answerers)?);
        }
        Ok(())
    }
}

/// Whether what a scorer said of a sample is all that it can say. A missing answer may be there by now.
fn says(scorer: &ScorerState, sample: &Sample) -> bool {
    match scorer.results.get(&sample.id) {
        Some(Rescored::Scores(scores)) => scores.len() == sample.responses.len(),
        Some(Rescored::Fault(_)) => true,
        Some(Rescored::Unanswered(_)) | None => false,
    }
}

/// As `scores.jsonl` would hold it. A sample without all answers has no line.
fn lines(scorer: &ScorerState, samples: &[Sample]) -> Vec<SampleScores> {
    let line = |sample: &Sample| {
        let (scores, fault) = match scorer.results.get(&sample.id)? {
            Rescored::Scores(scores) => (scores.clone(), None),
            Rescored::Fault(why) => (Vec::new(), Some(why.clone())),
            Rescored::Unanswered(_) => return None,
        };
        Some(SampleScores { id: sample.id.clone(), scorer: scorer.name.clone(), scores, fault })
    };
    samples.iter().filter_map(line).collect()
}
