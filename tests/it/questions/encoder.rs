//! A BERT of one small block with made-up weights, and the small run's tokenizer.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::small;
use crate::support::write;

/// What to write.
pub struct Encoder {
    labels: Option<[&'static str; 3]>,
}

const VOCABULARY: usize = 300;

impl Encoder {
    /// Without a head.
    pub fn embedder() -> Self {
        Self { labels: None }
    }

    /// With a head whose outputs are called so.
    pub fn nli(labels: [&'static str; 3]) -> Self {
        Self { labels: Some(labels) }
    }

    /// Writes the folder.
    pub fn write(&self, folder: &Path) {
        let class = if self.labels.is_some() { "BertForSequenceClassification" } else { "BertModel" };
        let mut config = json!({
            "architectures": [class], "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": 8,
            "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 16, "max_position_embeddings": 64,
        });
        if let Some(labels) = self.labels {
            let named = labels.iter().enumerate().map(|(i, label)| (i.to_string(), json!(label)));
            config["id2label"] = Value::Object(named.collect());
        }
        write(folder, "config.json", config.to_string());
        write(folder, "model.safetensors", self.tensors());
        fs::copy(small::finished().join("model/tokenizer.json"), folder.join("tokenizer.json"))
            .expect("it can be copied");
    }

    fn tensors(&self) -> Vec<u8> {
        let mut all: Vec<(String, Vec<usize>)> = vec![
            ("bert.embeddings.word_embeddings.weight".into(), vec![VOCABULARY, 8]),
            ("bert.embeddings.position_embeddings.weight".into(), vec![64, 8]),
            ("bert.embeddings.token_type_embeddings.weight".into(), vec![2, 8]),
        ];
        let mut pair = |name: &str, shape: &[usize]| {
            all.push((format!("{name}.weight"), shape.to_vec()));
            all.push((format!("{name}.bias"), shape[..1].to_vec()));
        };
        pair("bert.embeddings.LayerNorm", &[8]);
        let parts: [(&str, &[usize]); 8] = [
            ("attention.self.query", &[8, 8]),
            ("attention.self.key", &[8, 8]),
            ("attention.self.value", &[8, 8]),
            ("attention.output.dense", &[8, 8]),
            ("attention.output.LayerNorm", &[8]),
            ("intermediate.dense", &[16, 8]),
            ("output.dense", &[8, 16]),
            ("output.LayerNorm", &[8]),
        ];
        for (name, shape) in parts {
            pair(&format!("bert.encoder.layer.0.{name}"), shape);
        }
        if self.labels.is_some() {
            pair("bert.pooler.dense", &[8, 8]);
            pair("classifier", &[3, 8]);
        }
        let (mut header, mut data) = (Map::new(), Vec::<u8>::new());
        for (name, shape) in all {
            let start = data.len();
            let count: usize = shape.iter().product();
            let numbers = (0..count).map(|i| (((start + i * 37) % 101) as f32 / 50.0 - 1.0) * 0.9);
            data.extend(numbers.flat_map(f32::to_le_bytes));
            header.insert(name, json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}));
        }
        let header = Value::Object(header).to_string();
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
    }
}
