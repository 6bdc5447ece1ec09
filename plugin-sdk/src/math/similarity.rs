//! How alike two responses are, and what follows for each of N.

use super::eigen::symmetric_eigenvalues;
use super::lcs::Places;

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
    f1(longest_common_subsequence(a, b), a.len(), b.len())
}

/// The harmonic mean of `common` / `a` and `common` / `b`; 1 where both lengths are 0, 0 where one is.
pub fn f1(common: usize, a: usize, b: usize) -> f64 {
    if a == 0 && b == 0 {
        return 1.0;
    }
    if common == 0 {
        return 0.0;
    }
    let (precision, recall) = (common as f64 / a as f64, common as f64 / b as f64);
    2.0 * precision * recall / (precision + recall)
}

/// [`rouge_l_f1`] of every two lists of numbers below `symbols`.
///
/// ```
/// use udasa_plugin_sdk::math::similarity::{rouge_l_f1, rouge_l_f1s};
/// let lists = [vec![0, 1, 2], vec![0, 2], vec![]];
/// assert_eq!(rouge_l_f1s(&lists, 3).get(0, 1), rouge_l_f1(&lists[0], &lists[1]));
/// ```
pub fn rouge_l_f1s(lists: &[Vec<u32>], symbols: usize) -> Similarities {
    let mut row = (usize::MAX, Places::new(&[], 0));
    Similarities::new(lists.len(), |i, j| {
        if row.0 != i {
            row = (i, Places::new(&lists[i], symbols));
        }
        f1(row.1.common(&lists[j]), lists[i].len(), lists[j].len())
    })
}

/// [`jaccard`] of every two lists of numbers below `symbols`, as sets.
///
/// ```
/// use udasa_plugin_sdk::math::similarity::jaccards;
/// assert_eq!(jaccards(&[vec![2, 1, 1, 3], vec![4, 3, 2]], 5).get(0, 1), 0.5);
/// ```
pub fn jaccards(lists: &[Vec<u32>], symbols: usize) -> Similarities {
    // One bit a symbol; a row of words a list.
    let words = symbols.div_ceil(64);
    let mut sets = vec![0_u64; lists.len() * words];
    for (i, list) in lists.iter().enumerate() {
        for symbol in list {
            sets[i * words + *symbol as usize / 64] |= 1 << (symbol % 64);
        }
    }
    let set = |i: usize| &sets[i * words..(i + 1) * words];
    let size = |set: &[u64]| set.iter().map(|word| word.count_ones() as usize).sum::<usize>();
    let sizes: Vec<usize> = (0..lists.len()).map(|i| size(set(i))).collect();
    Similarities::new(lists.len(), |i, j| {
        let shared: usize = set(i).iter().zip(set(j)).map(|(a, b)| (a & b).count_ones() as usize).sum();
        let all = sizes[i] + sizes[j] - shared;
        if all == 0 { 1.0 } else { shared as f64 / all as f64 }
    })
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

    fn row(&self, i: usize) -> &[f64] {
        &self.w[i * self.n..(i + 1) * self.n]
    }

    /// The same over more responses: response i is the `of[i]`th of these, and two of the same have similarity 1.
    ///
    /// ```
    /// use udasa_plugin_sdk::math::similarity::Similarities;
    /// let two = Similarities::new(2, |_, _| 0.25);
    /// let three = two.repeated(&[0, 1, 0]);
    /// assert_eq!((three.get(0, 2), three.get(1, 2)), (1.0, 0.25));
    /// ```
    pub fn repeated(&self, of: &[usize]) -> Self {
        Self::new(of.len(), |i, j| self.get(of[i], of[j]))
    }

    /// Mean over j ≠ i of (1 − W_ij) for every i: the degree of Lin et al. 2023, in its per-response form. 0 for a
    /// response without others, which nothing contradicts.
    pub fn disagreement(&self) -> Vec<f64> {
        let others = self.n.saturating_sub(1).max(1) as f64;
        let of = |i: usize| {
            let (before, after) = (&self.row(i)[..i], &self.row(i)[i + 1..]);
            before.iter().chain(after).map(|w| 1.0 - w).sum::<f64>() / others
        };
        (0..self.n).map(of).collect()
    }

    /// Lin et al. 2023, eq. 8: Σ_ij (1 − W_ij) / N², the degree of the whole sample.
    pub fn degree(&self) -> f64 {
        let all: f64 = self.w.iter().map(|w| 1.0 - w).sum();
        all / (self.n * self.n).max(1) as f64
    }

    /// Lin et al. 2023, eq. 7: Σ_k max(0, 1 − λ_k) over the eigenvalues λ of the graph Laplacian L = I − D^−½ W D^−½,
    /// where D_ii = Σ_j W_ij: the number of meanings, made continuous. 0 of nothing.
    pub fn eigv(&self) -> f64 {
        self.eigv_of(&vec![1; self.n])
    }

    /// The same where response c stands for `members[c]` equal ones. Equal rows add nothing but zeros to the spectrum of
    /// D^−½ W D^−½, so a class is one row, √(m_c m_d) W_cd / √(D_c D_d), and the work is cubic in classes.
    ///
    /// ```
    /// use udasa_plugin_sdk::math::similarity::Similarities;
    /// let two = Similarities::new(2, |_, _| 0.25);
    /// let whole = two.repeated(&[0, 1, 0]).eigv();
    /// assert!((two.eigv_of(&[2, 1]) - whole).abs() < 1e-12);
    /// ```
    pub fn eigv_of(&self, members: &[usize]) -> f64 {
        let n = self.n;
        let root: Vec<f64> = (0..n)
            .map(|c| {
                let degree: f64 = self.row(c).iter().zip(members).map(|(w, m)| w * *m as f64).sum();
                // A response that is not even like itself counts for nothing.
                if degree > 0.0 { (members[c] as f64 / degree).sqrt() } else { 0.0 }
            })
            .collect();
        let mut a = Vec::with_capacity(n * n);
        for c in 0..n {
            a.extend(self.row(c).iter().zip(&root).map(|(w, other)| root[c] * other * w));
        }
        // NaN in, NaN out.
        symmetric_eigenvalues(n, &a).into_iter().filter(|value| *value > 0.0 || value.is_nan()).sum()
    }

    /// The mean of W over the pairs i < j for which `counts`; 1 where there is none.
    pub fn mean_where(&self, counts: impl Fn(usize, usize) -> bool) -> f64 {
        let (mut sum, mut pairs) = (0.0, 0_usize);
        for i in 0..self.n {
            for (j, w) in self.row(i).iter().enumerate().skip(i + 1) {
                if counts(i, j) {
                    sum += w;
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
    fn all_pairs_at_once_give_what_each_pair_gives() {
        let mut rng = crate::rng::Rng::new(5);
        for symbols in [1, 4, 63, 64, 65, 200] {
            let mut list = |longest: usize| -> Vec<u32> {
                let length = rng.below(longest + 1);
                (0..length).map(|_| rng.below(symbols) as u32).collect()
            };
            let mut lists: Vec<Vec<u32>> = (0..12).map(|i| list([0, 5, 70, 130][i % 4])).collect();
            lists.push(lists[3].clone());
            let (rouge, shared) = (rouge_l_f1s(&lists, symbols), jaccards(&lists, symbols));
            let sets: Vec<Vec<u32>> = lists.iter().cloned().map(crate::math::words::set).collect();
            for i in 0..lists.len() {
                for j in 0..lists.len() {
                    if i != j {
                        assert_eq!(rouge.get(i, j), rouge_l_f1(&lists[i], &lists[j]));
                        assert_eq!(shared.get(i, j), jaccard(&sets[i], &sets[j]));
                    }
                }
            }
        }
    }

    #[test]
    fn eigv_counts_the_meanings() {
        let alike = |classes: &[usize]| Similarities::new(classes.len(), |i, j| f64::from(classes[i] == classes[j]));
        for (classes, meanings) in [(&[0, 0, 0][..], 1.0), (&[0, 1, 0, 2, 1], 3.0), (&[0], 1.0), (&[], 0.0)] {
            assert!((alike(classes).eigv() - meanings).abs() < 1e-12, "{classes:?}");
        }
        // Two responses at similarity x: 1 − λ are 1 and (1 − x)/(1 + x).
        assert!((Similarities::new(2, |_, _| 0.25).eigv() - 1.6).abs() < 1e-12);
        // An isolated response that is not even like itself.
        let empty = Similarities::with_self(2, |i, j| if (i, j) == (0, 0) { 1.0 } else { 0.0 });
        assert_eq!(empty.eigv(), 1.0);
        assert_eq!(empty.disagreement(), [1.0, 1.0]);
        assert!(Similarities::new(2, |_, _| f64::NAN).eigv().is_nan());
    }

    #[test]
    fn eigv_of_classes_is_that_of_the_whole_matrix() {
        let mut rng = crate::rng::Rng::new(9);
        for n in [4, 20] {
            let few = Similarities::new(n / 2, |_, _| rng.uniform());
            let of: Vec<usize> = (0..n).map(|i| if i < n / 2 { i } else { (i * i) % (n / 2) }).collect();
            let members: Vec<usize> = (0..n / 2).map(|c| of.iter().filter(|&&other| other == c).count()).collect();
            let (whole, classes) = (few.repeated(&of).eigv(), few.eigv_of(&members));
            assert!((whole - classes).abs() < 1e-10, "{whole} {classes}");
        }
    }

    #[test]
    fn one_response_and_none_are_no_division_by_zero() {
        assert_eq!(Similarities::new(1, |_, _| 0.0).disagreement(), [0.0]);
        let none = Similarities::new(0, |_, _| 0.0);
        assert!(none.disagreement().is_empty());
        assert_eq!(none.degree(), 0.0);
    }
}
