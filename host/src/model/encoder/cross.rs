//! Cross-encoders: a pair of texts through one encoder, a classification head on its first token. Natural language inference has three
//! labels, a reward model one output.

use std::path::Path;

use anyhow::Result;
use tch::{Kind, Tensor};

use super::network::{Dense, Network};
use super::spec::EncoderSpec;
use super::{Encoder, say_cut};
use crate::config::ModelSection;
use crate::error::UserError;
use crate::model::linear::Source;

/// The classification head.
pub(super) struct Head {
    dense: Dense,
    out: Dense,
}

impl Head {
    /// Reads the head of `labels` outputs.
    pub fn read(source: &mut dyn Source, spec: &EncoderSpec, labels: &[String]) -> Result<Self> {
        let [dense, out] = spec.family.head;
        Ok(Self {
            dense: Dense::read(source, dense, [spec.hidden, spec.hidden])?,
            out: Dense::read(source, out, [labels.len() as i64, spec.hidden])?,
        })
    }

    /// Outputs `[B, labels]` of hidden states `[B, T, C]`.
    pub fn forward(&self, hidden: &Tensor, spec: &EncoderSpec) -> Tensor {
        let first = self.dense.forward(&hidden.select(1, 0));
        let first = spec.head_activation.map_or_else(|| first.tanh(), |activation| activation.of(&first));
        self.out.forward(&first)
    }
}

/// The labels of a folder's head.
pub(super) fn labels(spec: &EncoderSpec) -> Result<Vec<String>> {
    spec.labels.clone().ok_or_else(|| {
        UserError::new("the encoder has no classification head: its `architectures` is no …ForSequenceClassification")
            .hint("give a cross-encoder that was trained on natural language inference")
            .into()
    })
}

/// An encoder that judges pairs of texts.
pub struct CrossEncoder {
    encoder: Encoder,
    head: Head,
    /// What its outputs are called, in order.
    pub labels: Vec<String>,
}

impl CrossEncoder {
    /// Loads a Hugging Face folder of a `…ForSequenceClassification`.
    pub fn load(dir: &Path, section: &ModelSection) -> Result<Self> {
        let (encoder, (head, labels)) = Encoder::load(dir, None, section, |weights, spec| {
            let labels = labels(spec)?;
            Ok((Head::read(weights, spec, &labels)?, labels))
        })?;
        Ok(Self { encoder, head, labels })
    }

    /// The raw outputs (logits, or a reward) for each pair, in the order of `labels`.
    pub fn outputs(&self, pairs: &[(&str, &str)]) -> Result<Vec<Vec<f32>>> {
        self.rows(pairs, |logits| logits)
    }

    fn rows(&self, pairs: &[(&str, &str)], finish: impl Fn(Tensor) -> Tensor) -> Result<Vec<Vec<f32>>> {
        let tokens = self.encoder.tokens(pairs.to_vec())?;
        say_cut(&tokens, &self.encoder);
        let Network { spec, .. } = &self.encoder.network;
        self.encoder.run(&tokens, |hidden, _| finish(self.head.forward(hidden, spec)))
    }
}

/// A cross-encoder for natural language inference.
pub struct Nli {
    cross: CrossEncoder,
    order: [usize; 3],
}

impl Nli {
    /// Loads a folder whose labels are those of [`order`].
    pub fn load(dir: &Path, section: &ModelSection) -> Result<Self> {
        let cross = CrossEncoder::load(dir, section)?;
        let order = order(&cross.labels)?;
        Ok(Self { cross, order })
    }

    /// Probabilities of entailment, neutral and contradiction for each (premise, hypothesis).
    pub fn entail(&self, pairs: &[(&str, &str)]) -> Result<Vec<[f32; 3]>> {
        let rows = self.cross.rows(pairs, |logits| logits.softmax(-1, Kind::Float))?;
        Ok(rows.iter().map(|row| self.order.map(|label| row[label])).collect())
    }
}

/// What an output of natural language inference may mean.
const LABELS: [&str; 3] = ["entailment", "neutral", "contradiction"];

/// Which output means entailment, which neutral and which contradiction, by their names in `id2label`, upper or lower case.
pub(super) fn order(labels: &[String]) -> Result<[usize; 3]> {
    let places = LABELS.map(|name| labels.iter().position(|label| label.eq_ignore_ascii_case(name)));
    match (places, labels.len()) {
        ([Some(entailment), Some(neutral), Some(contradiction)], 3) => Ok([entailment, neutral, contradiction]),
        _ => Err(UserError::new(format!("its labels {labels:?} are not entailment, neutral and contradiction"))
            .hint("give a cross-encoder for natural language inference with these three; where only their names differ, correct id2label in config.json")
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_by_name_whatever_their_order() {
        let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(order(&labels(&["CONTRADICTION", "NEUTRAL", "ENTAILMENT"])).expect("NLI"), [2, 1, 0]);
        assert_eq!(order(&labels(&["contradiction", "entailment", "neutral"])).expect("NLI"), [1, 2, 0]);
        for wrong in [&["LABEL_0", "LABEL_1", "LABEL_2"][..], &["entailment", "not_entailment"], &["a"], &[]] {
            let error = order(&labels(wrong)).expect_err("no NLI").to_string();
            assert!(error.contains("entailment, neutral and contradiction"), "{error}");
        }
    }
}
