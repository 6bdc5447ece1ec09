//! What responses.jsonl and scores.jsonl hold: numbers over all samples, texts and notes only of the prompts asked for.
//!
//! In: the run folder and the ids of the prompts to show. Out: [`Evidence`]. Both files are streamed, so a run of any size
//! needs memory for its lengths and raw scores, not for its texts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::records::{Response, Sample, SampleScores};

use super::read::{Found, each_line};

/// All that was gathered.
#[derive(Debug)]
pub struct Evidence {
    /// Length of every response by prompt id: tokens where they are recorded, else words.
    pub lengths: Found<HashMap<String, Vec<usize>>>,
    /// Per scorer, in the order of first appearance.
    pub scorers: Found<Vec<ScorerValues>>,
    /// The samples asked for.
    pub samples: HashMap<String, Sample>,
    /// Their scores, by prompt id.
    pub scores: HashMap<String, Vec<SampleScores>>,
}

/// A scorer's raw uncertainties over the whole data set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScorerValues {
    /// Its name in the config.
    pub name: String,
    /// Samples it was asked about.
    pub samples: usize,
    /// Every raw uncertainty.
    pub values: Vec<f64>,
    /// (prompt id, what went wrong).
    pub faults: Vec<(String, String)>,
    /// Mean of every note.
    pub notes: BTreeMap<String, f64>,
}

/// A response's length in tokens, or in words where it was made elsewhere.
pub fn length(response: &Response) -> usize {
    if response.token_ids.is_empty() { response.text.split_whitespace().count() } else { response.token_ids.len() }
}

/// Streams both files once.
pub fn collect(run: &Path, wanted: &BTreeSet<String>) -> Evidence {
    let mut lengths = HashMap::new();
    let mut samples = HashMap::new();
    let read = each_line(run, "responses.jsonl", "generation has not run", |sample: Sample| {
        let each = sample.responses.iter().map(length).collect::<Vec<_>>();
        lengths.insert(sample.id.clone(), each);
        if wanted.contains(&sample.id) {
            samples.insert(sample.id.clone(), sample);
        }
    });
    let mut tally = ScorerTally::default();
    let mut scores: HashMap<String, Vec<SampleScores>> = HashMap::new();
    let scored = each_line(run, "scores.jsonl", "scoring has not run", |row| {
        tally.add(&row);
        if wanted.contains(&row.id) {
            scores.entry(row.id.clone()).or_default().push(row);
        }
    });
    Evidence { lengths: read.map(|()| lengths), scorers: scored.map(|()| tally.finish()), samples, scores }
}

#[derive(Default)]
struct ScorerTally {
    scorers: Vec<ScorerValues>,
    note_counts: HashMap<(usize, String), (f64, f64)>,
}

impl ScorerTally {
    fn add(&mut self, row: &SampleScores) {
        let known = self.scorers.iter().position(|s| s.name == row.scorer);
        let at = known.unwrap_or_else(|| {
            self.scorers.push(ScorerValues { name: row.scorer.clone(), ..ScorerValues::default() });
            self.scorers.len() - 1
        });
        let scorer = &mut self.scorers[at];
        scorer.samples += 1;
        if let Some(fault) = &row.fault {
            scorer.faults.push((row.id.clone(), fault.clone()));
        }
        for score in &row.scores {
            scorer.values.push(score.uncertainty);
            for (name, value) in &score.notes {
                let (sum, count) = self.note_counts.entry((at, name.clone())).or_default();
                *sum += value;
                *count += 1.0;
            }
        }
    }

    fn finish(mut self) -> Vec<ScorerValues> {
        for ((at, name), (sum, count)) in self.note_counts {
            self.scorers[at].notes.insert(name, sum / count);
        }
        self.scorers
    }
}
