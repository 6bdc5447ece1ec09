//! The semantic scorer: a response is doubted as far as it differs from the others. It asks the host nothing.
//!
//! u_i is the mean over j ≠ i of (1 − W_ij), the degree of Lin et al. 2023 ("Generating with Confidence") in its
//! per-response form; W is a similarity of words. The report gets the sample's degree, its lexical similarity and the
//! number of its clusters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use udasa_plugin_sdk::math::cluster::{count, single_linkage};
use udasa_plugin_sdk::math::similarity::{Similarities, jaccard, rouge_l_f1};
use udasa_plugin_sdk::math::words::{Split, Vocabulary, content_words, set, words};
use udasa_plugin_sdk::{Answer, Dimension, Fault, Sample, Score, SimpleScorer};

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
            identical: Identical::default(),
            cluster_at: 0.7,
        }
    }
}

impl SimpleScorer for Semantic {
    type Settings = Settings;
    const NAME: &'static str = "semantic";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "Doubts a response that differs from the others (ROUGE-L or Jaccard on words)";
    const DIMENSION: Dimension = Dimension::Semantic;

    fn scores(settings: &Settings, sample: &Sample, _: &[Answer]) -> Result<Vec<Score>, Fault> {
        let w = similarities(settings, sample);
        let texts = sample.texts();
        let lexical =
            w.mean_where(|i, j| settings.identical == Identical::Count || texts[i] != texts[j]);
        let clusters = count(&single_linkage(&w, settings.cluster_at)) as f64;
        let degree = w.degree();
        let score = |u: f64| {
            // Rounding may leave u a hair outside.
            let u = u.clamp(0.0, 1.0);
            Score::new(u)
                .note("mean-similarity", 1.0 - u)
                .note("lexical-similarity", lexical)
                .note("degree", degree)
                .note("clusters", clusters)
        };
        Ok(w.disagreement().into_iter().map(score).collect())
    }
}

/// W over the sample's responses.
fn similarities(settings: &Settings, sample: &Sample) -> Similarities {
    let split = settings.split;
    let known = match settings.words {
        Words::All => Vec::new(),
        Words::Content => set(words(sample.prompt.question(), split)),
    };
    let mut vocabulary = Vocabulary::default();
    let mut ids = |text: &str| {
        vocabulary.ids(match settings.words {
            Words::All => words(text, split),
            Words::Content => content_words(text, split, &known),
        })
    };
    let mut lists: Vec<Vec<u32>> = sample
        .responses
        .iter()
        .map(|response| ids(&response.text))
        .collect();
    match settings.similarity {
        Similarity::RougeL => {
            Similarities::new(lists.len(), |i, j| rouge_l_f1(&lists[i], &lists[j]))
        }
        Similarity::Jaccard => {
            lists = lists.into_iter().map(set).collect();
            Similarities::new(lists.len(), |i, j| jaccard(&lists[i], &lists[j]))
        }
    }
}

udasa_plugin_sdk::export_scorer!(Semantic);

#[cfg(test)]
mod tests;
