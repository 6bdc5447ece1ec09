//! Groups of responses that mean the same.

use super::similarity::Similarities;

/// Single linkage: i and j share a class if a chain of similarities of at least `threshold` joins them. Classes are
/// numbered in the order of their first member.
///
/// ```
/// use udasa_plugin_sdk::math::{cluster::single_linkage, similarity::Similarities};
/// let w = Similarities::new(4, |i, j| if (i, j) == (0, 2) || (i, j) == (2, 3) { 0.9 } else { 0.1 });
/// assert_eq!(single_linkage(&w, 0.7), [0, 1, 0, 0]);
/// ```
pub fn single_linkage(similarities: &Similarities, threshold: f64) -> Vec<usize> {
    linked(similarities.len(), |i, j| similarities.get(i, j) >= threshold)
}

/// The same for any relation: i and j share a class if a chain of linked pairs joins them.
///
/// ```
/// use udasa_plugin_sdk::math::cluster::linked;
/// assert_eq!(linked(4, |i, j| i % 2 == j % 2), [0, 1, 0, 1]);
/// ```
pub fn linked(n: usize, is_linked: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut class: Vec<Option<usize>> = vec![None; n];
    let mut classes = 0;
    let mut reached = Vec::new();
    for first in 0..n {
        if class[first].is_some() {
            continue;
        }
        class[first] = Some(classes);
        reached.push(first);
        while let Some(i) = reached.pop() {
            for (j, other) in class.iter_mut().enumerate() {
                if other.is_none() && is_linked(i, j) {
                    *other = Some(classes);
                    reached.push(j);
                }
            }
        }
        classes += 1;
    }
    class.into_iter().flatten().collect()
}

/// How many classes there are.
pub fn count(classes: &[usize]) -> usize {
    classes.iter().max().map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_at_the_edges() {
        let alike = Similarities::new(3, |_, _| 0.7);
        assert_eq!(single_linkage(&alike, 0.7), [0, 0, 0]);
        assert_eq!(single_linkage(&alike, 0.71), [0, 1, 2]);
        let none = Similarities::new(0, |_, _| 0.0);
        assert_eq!(count(&single_linkage(&none, 0.5)), 0);
        assert_eq!(count(&[0, 1, 0]), 2);
    }
}
