//! Which texts go through together, and how they lie beside each other.

use anyhow::Result;
use tch::{Device, Tensor};

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

/// Rows of different lengths as one `[B, T]`, zeros behind the shorter ones.
pub fn padded(rows: &[&[u32]], device: Device) -> Result<Tensor> {
    let width = width(rows);
    let mut all = vec![0_i64; rows.len() * width];
    for (places, row) in all.chunks_mut(width.max(1)).zip(rows) {
        for (place, &id) in places.iter_mut().zip(*row) {
            *place = i64::from(id);
        }
    }
    Ok(Tensor::f_from_slice(&all)?.f_view([rows.len() as i64, width as i64])?.f_to_device(device)?)
}

/// Which places of [`padded`] are no padding, bool `[B, T]`.
pub fn real(rows: &[&[u32]], device: Device) -> Result<Tensor> {
    let width = width(rows);
    let all: Vec<bool> = rows.iter().flat_map(|row| (0..width).map(|t| t < row.len())).collect();
    Ok(Tensor::f_from_slice(&all)?.f_view([rows.len() as i64, width as i64])?.f_to_device(device)?)
}

fn width(rows: &[&[u32]]) -> usize {
    rows.iter().map(|row| row.len()).max().unwrap_or(0)
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
