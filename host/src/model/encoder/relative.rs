//! Disentangled attention: beside contents with contents, contents meet distances and distances contents (He et al. 2021, eq. 4), with far
//! distances in logarithmic buckets as DeBERTa-v2's code has them.
//!
//! Shape letters as in [`super::network`].

use tch::{Device, Kind, Tensor};

use super::spec::Relative;

/// The distances between the positions of one batch.
pub struct Distances {
    from_query: Tensor, // [T, T]: row of the table for query i and key j, δ(i, j)
    from_key: Tensor,   // [T, T]: the same for key i and query j, with the sign that transformers gives it
}

impl Distances {
    /// Between `t` positions.
    pub fn new(relative: &Relative, t: i64, device: Device) -> Self {
        let positions = Tensor::arange(t, (Kind::Int64, device));
        let plain = positions.unsqueeze(1) - positions.unsqueeze(0);
        let bucketed = match relative.buckets {
            Some([buckets, farthest]) => bucket(&plain, buckets, farthest),
            None => plain,
        };
        let row = |distance: &Tensor| (distance + relative.span).clamp(0, 2 * relative.span - 1);
        Self { from_query: row(&bucketed), from_key: row(&bucketed.neg()) }
    }

    /// Attention of `q`, `k`, `v` `[B, H, T, D]` with distances as keys and as queries `[1, H, 2S, D]`; all scores are divided by √(D · the
    /// number of kinds of score). `mask` bool `[B, 1, 1, T]`.
    pub fn attend(
        &self,
        [q, k, v]: [&Tensor; 3],
        keys: Option<&Tensor>,
        queries: Option<&Tensor>,
        mask: Option<&Tensor>,
    ) -> Tensor {
        let (b, h, t, d) = (q.size()[0], q.size()[1], q.size()[2], q.size()[3]);
        let kinds = 1 + i64::from(keys.is_some()) + i64::from(queries.is_some());
        let scale = 1.0 / ((d * kinds) as f64).sqrt();
        let all = |index: &Tensor| index.expand([b, h, t, t], false);
        let mut bias = Tensor::zeros([b, h, t, t], (q.kind(), q.device()));
        if let Some(keys) = keys {
            let scores = q.matmul(&keys.transpose(-1, -2)); // [B, H, T, 2S]
            bias += scores.gather(-1, &all(&self.from_query), false);
        }
        if let Some(queries) = queries {
            let scores = k.matmul(&queries.transpose(-1, -2));
            bias += scores.gather(-1, &all(&self.from_key), false).transpose(-1, -2);
        }
        bias *= scale;
        if let Some(mask) = mask {
            bias = bias.masked_fill(&mask.logical_not(), f64::NEG_INFINITY);
        }
        Tensor::scaled_dot_product_attention(q, k, v, Some(&bias), 0.0, false, scale, false)
    }
}

/// Distances up to half the buckets as they are, farther ones by their logarithm: transformers' `make_log_bucket_position`, step by step in
/// f32, for a ceiling shows every rounding.
fn bucket(distance: &Tensor, buckets: i64, farthest: i64) -> Tensor {
    let middle = buckets / 2;
    let near = distance.lt(middle).logical_and(&distance.gt(-middle));
    let absolute = distance.abs().masked_fill(&near, middle - 1);
    let widest = Tensor::from((((farthest - 1) as f64) / middle as f64) as f32).to_device(distance.device()).log();
    let log = ((absolute.to_kind(Kind::Float) / middle).log() / widest * (middle - 1)).ceil() + middle;
    let far = log * distance.sign().to_kind(Kind::Float);
    distance.to_kind(Kind::Float).where_self(&absolute.le(middle), &far).to_kind(Kind::Int64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_distances_are_kept_and_far_ones_share_buckets() {
        let distances: Vec<i64> = (-63..64).collect();
        let bucketed = Vec::<i64>::try_from(bucket(&Tensor::from_slice(&distances), 8, 64)).expect("whole numbers");
        for (distance, bucketed) in distances.iter().zip(&bucketed) {
            assert!(distance.abs() > 4 || bucketed == distance, "{distance} {bucketed}");
            assert!(bucketed.abs() <= 7 && bucketed.signum() == distance.signum(), "{distance} {bucketed}");
        }
        assert_eq!(bucketed[126], 7);
        let negated: Vec<i64> = bucketed.iter().rev().map(|b| -b).collect();
        assert_eq!(bucketed, negated, "both directions alike");
    }
}
