//! The semantic scorer: a response is doubted as far as it differs from the others. It asks the host nothing.
//!
//! u_i is the mean over j ≠ i of (1 − W_ij), the degree of Lin et al. 2023 ("Generating with Confidence") in its
//! per-response form; W is a similarity of words. The report gets the sample's degree, its EigV (the number of meanings,
//! made continuous), its lexical similarity and the number of its clusters.
//!
//! The settings that give the numbers of lm-polygraph: `LexicalSimilarity("rougeL")` is the negative of the note
//! `lexical-similarity` under `split = "ascii-words"`, `stem = true`, `empty = "unlike"`; `EigValLaplacian` and `DegMat` with
//! `"Jaccard_score"` are `eigv` and `degree` under `similarity = "jaccard"`, `split = "whitespace"`, `empty = "unlike"`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use udasa_plugin_sdk::math::cluster::{count, single_linkage};
use udasa_plugin_sdk::math::similarity::{Similarities, jaccards, rouge_l_f1s};
use udasa_plugin_sdk::math::words::Split;
use udasa_plugin_sdk::{Answer, Dimension, Fault, Sample, Score, SimpleScorer};

use crate::reader::Reader;

mod reader;

/// The scorer.
pub struct Semantic;

/// How alike two responses are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Similarity {
    /// ROUGE-L F1: the longest common subsequence of words.
    #[default]
    RougeL,
    /// Shared words as a share of all words.
    Jaccard,
}

/// Which words count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Words {
    /// All.
    #[default]
    All,
    /// Neither English stop words nor the prompt's own words.
    Content,
}

/// What `lexical-similarity` does with pairs of the same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Identical {
    /// They count as similarity 1.
    #[default]
    Count,
    /// They are left out of the mean, which is 1 if nothing is left: the convention of Lin et al.'s code.
    LeaveOut,
}

/// How alike two texts without words are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Empty {
    /// They say the same.
    #[default]
    Alike,
    /// Nothing is like nothing: the convention of lm-polygraph.
    Unlike,
}

/// The settings.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How alike two responses are.
    pub similarity: Similarity,
    /// Which words count.
    pub words: Words,
    /// How a text is split into words.
    pub split: Split,
    /// Whether words of more than three letters a–z and digits are reduced to their stems (Porter's, as NLTK has them).
    pub stem: bool,
    /// How alike two texts without words are.
    pub empty: Empty,
    /// What the note `lexical-similarity` does with pairs of the same text. It does not touch the uncertainty.
    pub identical: Identical,
    /// Responses at least this similar share a cluster (single linkage), for the note `clusters`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cluster_at: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            similarity: Similarity::default(),
            words: Words::default(),
            split: Split::default(),
            stem: false,
            empty: Empty::default(),
            identical: Identical::default(),
            cluster_at: 0.7,
        }
    }
}

impl SimpleScorer for Semantic {
    type Settings = Settings;
    const NAME: &'static str = "semantic";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Doubts a response that differs from the others (ROUGE-L or Jaccard on words)";
    const DIMENSION: Dimension = Dimension::Semantic;

    fn scores(settings: &Settings, sample: &Sample, _: &[Answer]) -> Result<Vec<Score>, Fault> {
        let Compared { different, members, all: w } = compare(settings, sample);
        let leave_out = settings.identical == Identical::LeaveOut;
        let lexical = w.mean_where(|i, j| !leave_out || sample.responses[i].text != sample.responses[j].text);
        let clusters = count(&single_linkage(&different, settings.cluster_at)) as f64;
        let (degree, eigv) = (w.degree(), different.eigv_of(&members));
        let score = |u: f64| {
            // Rounding may leave u a hair outside.
            let u = u.clamp(0.0, 1.0);
            Score::new(u)
                .note("mean-similarity", 1.0 - u)
                .note("lexical-similarity", lexical)
                .note("degree", degree)
                .note("eigv", eigv)
                .note("clusters", clusters)
        };
        Ok(w.disagreement().into_iter().map(score).collect())
    }
}

/// What the responses of a sample have to do with each other. Sampled answers repeat: the different ones are compared, and
/// then counted.
struct Compared {
    /// W over the different ones.
    different: Similarities,
    /// How often each came.
    members: Vec<usize>,
    /// W over all responses.
    all: Similarities,
}

fn compare(settings: &Settings, sample: &Sample) -> Compared {
    let mut reader = Reader::new(settings, sample.prompt.question());
    let mut lists: Vec<Vec<u32>> = Vec::new();
    let mut members: Vec<usize> = Vec::new();
    let mut of: Vec<usize> = Vec::with_capacity(sample.responses.len());
    for (i, response) in sample.responses.iter().enumerate() {
        let may_be_equal = |class: usize| !lists[class].is_empty() || settings.empty == Empty::Alike;
        let same_text = sample.responses[..i].iter().position(|other| other.text == response.text);
        let class = match same_text.map(|other| of[other]).filter(|&class| may_be_equal(class)) {
            Some(class) => class,
            None => {
                let list = reader.read(&response.text);
                let same = lists.iter().position(|other| *other == list).filter(|&class| may_be_equal(class));
                same.unwrap_or_else(|| {
                    lists.push(list);
                    members.push(0);
                    lists.len() - 1
                })
            }
        };
        members[class] += 1;
        of.push(class);
    }
    let symbols = reader.symbols();
    let mut different = match settings.similarity {
        Similarity::RougeL => rouge_l_f1s(&lists, symbols),
        Similarity::Jaccard => jaccards(&lists, symbols),
    };
    if settings.empty == Empty::Unlike && lists.iter().filter(|list| list.is_empty()).count() > 1 {
        different = Similarities::new(lists.len(), |i, j| {
            if lists[i].is_empty() && lists[j].is_empty() { 0.0 } else { different.get(i, j) }
        });
    }
    let all = different.repeated(&of);
    Compared { different, members, all }
}

udasa_plugin_sdk::export_scorer!(Semantic);

#[cfg(test)]
mod tests;
