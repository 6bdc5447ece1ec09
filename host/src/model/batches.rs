//! Which texts go through together. Pure.

/// Divides texts of these lengths into batches of at most `budget` tokens, padding counted, the longest first; a longer text is alone.
/// Each batch lists indices.
pub fn by_length(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(lengths[i]), i));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for i in order {
        match batches.last_mut() {
            // The first is the longest, to which the others are padded.
            Some(batch) if (batch.len() + 1) * lengths[batch[0]] <= budget => batch.push(i),
            _ => batches.push(vec![i]),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_lengths_share_a_batch_and_every_text_is_in_one() {
        assert_eq!(by_length(&[3, 9, 3, 2, 100, 0], 9), [vec![4], vec![1], vec![0, 2, 3], vec![5]]);
        assert_eq!(by_length(&[], 9), Vec::<Vec<usize>>::new());
        assert_eq!(by_length(&[0, 0], 9), [[0, 1]]);
    }

    #[test]
    fn no_batch_exceeds_the_budget_unless_one_text_does() {
        let lengths: Vec<usize> = (0..97).map(|i| i * 31 % 53).collect();
        let batches = by_length(&lengths, 120);
        for batch in &batches {
            assert!(batch.len() * lengths[batch[0]] <= 120);
        }
        let mut all: Vec<usize> = batches.concat();
        all.sort_unstable();
        assert_eq!(all, (0..97).collect::<Vec<_>>());
    }
}
