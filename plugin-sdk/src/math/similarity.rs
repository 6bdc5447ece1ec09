//! How alike two responses are, and what follows for each of N.

/// |A ∩ B| / |A ∪ B| of two sorted sets; 1 where both are empty: they say the same.
///
/// ```
/// use udasa_plugin_sdk::math::similarity::jaccard;
/// assert_eq!(jaccard(&[1, 2, 3], &[2, 3, 4]), 0.5);
/// ```
pub fn jaccard<T: Ord>(a: &[T], b: &[T]) -> f64 {
    let shared = intersection(a, b);
    let all = a.len() + b.len() - shared;
    if all == 0 { 1.0 } else { shared as f64 / all as f64 }
}

/// |A ∩ B| of two sorted sets.
pub fn intersection<T: Ord>(a: &[T], b: &[T]) -> usize {
    let (mut i, mut j, mut shared) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                shared += 1;
                i += 1;
                j += 1;
            }
        }
    }
    shared
}

/// ROUGE-L F1 (Lin 2004): the harmonic mean of LCS/|a| and LCS/|b|. 1 where both are empty, 0 where one is.
///
/// ```
/// use udasa_plugin_sdk::math::similarity::rouge_l_f1;
/// let f1 = rouge_l_f1(&["police", "killed", "the", "gunman"], &["police", "kill", "the", "gunman"]);
/// assert_eq!(f1, 0.75);
/// ```
pub fn rouge_l_f1<T: PartialEq>(a: &[T], b: &[T]) -> f64 {
    if a.is_empty() && b.is_empty() {
        return 1.0;
    }
    let common = longest_common_subsequence(a, b) as f64;
    if common == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (common / a.len() as f64, common / b.len() as f64);
    2.0 * precision * recall / (precision + recall)
}

/// The length of the longest common subsequence, one row of the table at a time.
pub fn longest_common_subsequence<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let mut row = vec![0_usize; b.len() + 1];
    for x in a {
        let mut corner = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { corner + 1 } else { above.max(row[j]) };
            corner = above;
        }
    }
    row[b.len()]
}

/// The cosine of two vectors of one length; 0 where one of them is 0 or their lengths differ.
///
/// ```
/// use udasa_plugin_sdk::math::similarity::cosine;
/// assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), 0.0);
/// assert_eq!(cosine(&[3.0, 4.0], &[6.0, 8.0]), 1.0);
/// ```
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum() };
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if a.len() != b.len() || norms == 0.0 { 0.0 } else { (dot(a, b) / norms).clamp(-1.0, 1.0) }
}

/// A symmetric matrix W of similarities in [0, 1], with W_ii = 1 unless it is made otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Similarities {
    n: usize,
    /// [N, N], row by row.
    w: Vec<f64>,
}

impl Similarities {
    /// Computes each pair i < j once.
    pub fn new(n: usize, mut similarity: impl FnMut(usize, usize) -> f64) -> Self {
        let mut w = vec![1.0; n * n];
        for i in 0..n {
            for j in i + 1..n {
                let value = similarity(i, j);
                w[i * n + j] = value;
                w[j * n + i] = value;
            }
        }
        Self { n, w }
    }

    /// Computes each pair i ≤ j once: a response need not be wholly like itself, as an entailment model sees it.
    pub fn with_self(n: usize, mut similarity: impl FnMut(usize, usize) -> f64) -> Self {
        let mut w = vec![0.0; n * n];
        for i in 0..n {
            for j in i..n {
                let value = similarity(i, j);
                w[i * n + j] = value;
                w[j * n + i] = value;
            }
        }
        Self { n, w }
    }

    /// (cos + 1) / 2 of each pair of embeddings.
    ///
    /// ```
    /// use udasa_plugin_sdk::math::similarity::Similarities;
    /// let w = Similarities::of_embeddings(&[&[1.0, 0.0], &[0.0, 1.0], &[-1.0, 0.0]]);
    /// assert_eq!([w.get(0, 1), w.get(0, 2)], [0.5, 0.0]);
    /// ```
    pub fn of_embeddings(embeddings: &[&[f32]]) -> Self {
        Self::new(embeddings.len(), |i, j| 0.5 * (cosine(embeddings[i], embeddings[j]) + 1.0))
    }

    /// N.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there is no response.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// W_ij.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        self.w[i * self.n + j]
    }

    /// Mean over j ≠ i of (1 − W_ij) for every i: the degree of Lin et al. 2023, in its per-response form. 0 for a
    /// response without others, which nothing contradicts.
    pub fn disagreement(&self) -> Vec<f64> {
        let others = self.n.saturating_sub(1).max(1) as f64;
        (0..self.n)
            .map(|i| (0..self.n).filter(|j| *j != i).map(|j| 1.0 - self.get(i, j)).sum::<f64>() / others)
            .collect()
    }

    /// Lin et al. 2023, eq. 8: Σ_ij (1 − W_ij) / N², the degree of the whole sample.
    pub fn degree(&self) -> f64 {
        let all: f64 = self.w.iter().map(|w| 1.0 - w).sum();
        all / (self.n * self.n).max(1) as f64
    }

    /// The mean of W over the pairs i < j for which `counts`; 1 where there is none.
    pub fn mean_where(&self, counts: impl Fn(usize, usize) -> bool) -> f64 {
        let (mut sum, mut pairs) = (0.0, 0_usize);
        for i in 0..self.n {
            for j in i + 1..self.n {
                if counts(i, j) {
                    sum += self.get(i, j);
                    pairs += 1;
                }
            }
        }
        if pairs == 0 { 1.0 } else { sum / pairs as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarity_of_empty_and_equal_and_strange_texts() {
        let none: [u8; 0] = [];
        assert_eq!((jaccard(&none, &none), rouge_l_f1(&none, &none)), (1.0, 1.0));
        assert_eq!((jaccard(&none, &[1]), rouge_l_f1(&none, &[1])), (0.0, 0.0));
        assert_eq!((jaccard(&[1, 2], &[1, 2]), rouge_l_f1(&[1, 2], &[1, 2])), (1.0, 1.0));
        assert_eq!((jaccard(&[1], &[2]), rouge_l_f1(&[1], &[2])), (0.0, 0.0));
    }

    #[test]
    fn rouge_l_sees_order_where_jaccard_does_not() {
        assert_eq!(rouge_l_f1(&[1, 2, 3], &[3, 2, 1]), 1.0 / 3.0);
        assert_eq!(jaccard(&[1, 2, 3], &[1, 2, 3]), 1.0);
        // Different lengths: LCS 2 of 2 and of 6; 2·1·(1/3)/(4/3).
        assert_eq!(rouge_l_f1(&[2, 5], &[1, 2, 3, 4, 5, 6]), 0.5);
        assert_eq!(rouge_l_f1(&[1, 2, 3, 4, 5, 6], &[2, 5]), 0.5);
    }

    #[test]
    fn the_odd_one_out_disagrees_most() {
        let w = Similarities::new(3, |_, j| if j == 2 { 0.0 } else { 1.0 });
        assert_eq!(w.disagreement(), [0.5, 0.5, 1.0]);
        assert_eq!(w.degree(), 4.0 / 9.0);
        assert_eq!(w.mean_where(|_, _| true), 1.0 / 3.0);
        assert_eq!(w.mean_where(|_, j| j == 2), 0.0);
        assert_eq!(w.mean_where(|_, _| false), 1.0);
    }

    #[test]
    fn one_response_and_none_are_no_division_by_zero() {
        assert_eq!(Similarities::new(1, |_, _| 0.0).disagreement(), [0.0]);
        let none = Similarities::new(0, |_, _| 0.0);
        assert!(none.disagreement().is_empty());
        assert_eq!(none.degree(), 0.0);
    }
}
