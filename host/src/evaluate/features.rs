//! Texts as sparse vectors: which words and word pairs are present, weighted by rarity, at unit length.

use std::collections::HashMap;

/// A feature must occur in this many training texts.
const LEAST_TEXTS: u32 = 3;

/// A sparse vector: (column, value), columns ascending.
pub type Sparse = Vec<(u32, f32)>;

/// The columns that the training texts gave.
pub struct Features {
    words: HashMap<String, u32>,
    columns: HashMap<u64, (u32, f32)>,
}

impl Features {
    /// Learns columns and their rarities, ln(texts / texts with it), from the training texts. Deterministic: columns are numbered
    /// by first occurrence.
    pub fn learn<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let mut words = HashMap::new();
        let mut counts: HashMap<u64, u32> = HashMap::new();
        let mut order = Vec::new();
        let mut total = 0u32;
        for text in texts {
            total += 1;
            let ids: Vec<u32> = tokens(text)
                .map(|word| {
                    let next = words.len() as u32 + 1; // 0 is no word
                    *words.entry(word).or_insert(next)
                })
                .collect();
            for key in present(&ids) {
                let count = counts.entry(key).or_insert(0);
                *count += 1;
                if *count == LEAST_TEXTS {
                    order.push(key);
                }
            }
        }
        let rarity = |key: &u64| (f64::from(total) / f64::from(counts[key])).ln() as f32;
        let columns = (0..).zip(&order).map(|(column, key)| (*key, (column, rarity(key)))).collect();
        Self { words, columns }
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// A text's vector; empty where it holds nothing known.
    pub fn of(&self, text: &str) -> Sparse {
        let ids: Vec<u32> = tokens(text).map(|word| self.words.get(&word).copied().unwrap_or(0)).collect();
        let mut vector: Sparse = present(&ids).iter().filter_map(|key| self.columns.get(key).copied()).collect();
        vector.sort_unstable_by_key(|(column, _)| *column);
        // Unit length is what lets a sentence be judged by weights learned from whole reviews.
        let length = vector.iter().map(|(_, value)| value * value).sum::<f32>().sqrt();
        for (_, value) in &mut vector {
            *value /= length.max(f32::MIN_POSITIVE);
        }
        vector
    }
}

/// Lower-case words: letters, digits and apostrophes.
fn tokens(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '\''))
        .filter(|word| word.contains(char::is_alphanumeric))
        .map(str::to_lowercase)
}

/// The keys of the words and neighbouring pairs that occur, each once, sorted. A pair holds two ids, a word one.
fn present(ids: &[u32]) -> Vec<u64> {
    let words = ids.iter().filter(|id| **id > 0).map(|id| u64::from(*id));
    let pairs = ids.windows(2).filter_map(|pair| match *pair {
        [a, b] if a > 0 && b > 0 => Some((u64::from(a) << 32) | u64::from(b)),
        _ => None,
    });
    let mut keys: Vec<u64> = words.chain(pairs).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_repeated_words_and_pairs_become_columns() {
        let features = Features::learn(["a good film", "a good one", "not a good film", "it's bad"].into_iter());
        // a, good, a+good; `film` and `good film` occur twice only.
        assert_eq!(features.len(), 3);
        assert_eq!(features.of("A GOOD film").len(), 3);
        assert!(features.of("never seen").is_empty());
        assert!(features.of("").is_empty());
    }

    #[test]
    fn a_vector_has_unit_length_and_presence_not_counts() {
        let features = Features::learn(["x y", "x y", "x y z", "z", "z q", "q", "q"].into_iter());
        let vector = features.of("x x x z");
        assert_eq!(vector.len(), 2);
        assert!((vector.iter().map(|(_, v)| v * v).sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
