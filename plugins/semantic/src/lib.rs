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
        let w = similarities(settings, sample);
        let leave_out = settings.identical == Identical::LeaveOut;
        let lexical = w.mean_where(|i, j| !leave_out || sample.responses[i].text != sample.responses[j].text);
        let clusters = count(&single_linkage(&w, settings.cluster_at)) as f64;
        let (degree, eigv) = (w.degree(), w.eigv());
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

/// W over the sample's responses. Sampled answers repeat: the different ones are compared, and then counted.
fn similarities(settings: &Settings, sample: &Sample) -> Similarities {
    let mut reader = Reader::new(settings, sample.prompt.question());
    let mut lists: Vec<Vec<u32>> = Vec::new();
    let of: Vec<usize> = sample
        .responses
        .iter()
        .map(|response| {
            let list = reader.read(&response.text);
            let apart = list.is_empty() && settings.empty == Empty::Unlike;
            let known = lists.iter().position(|other| *other == list).filter(|_| !apart);
            known.unwrap_or_else(|| {
                lists.push(list);
                lists.len() - 1
            })
        })
        .collect();
    let compared = match settings.similarity {
        Similarity::RougeL => rouge_l_f1s(&lists, reader.symbols()),
        Similarity::Jaccard => jaccards(&lists, reader.symbols()),
    };
    let compared = match settings.empty {
        Empty::Alike => compared,
        Empty::Unlike => Similarities::new(lists.len(), |i, j| {
            if lists[i].is_empty() && lists[j].is_empty() { 0.0 } else { compared.get(i, j) }
        }),
    };
    compared.repeated(&of)
}

udasa_plugin_sdk::export_scorer!(Semantic);

#[cfg(test)]
mod tests;
