//! A small deterministic generator, because the sandbox has no random numbers: SplitMix64 (Steele, Lea & Flood 2014).
//!
//! The seed comes from the run. Give every purpose its own stream with [`Rng::keyed`], so that one more number drawn
//! in one place moves nothing elsewhere.

/// SplitMix64: 64 bits of state, period 2⁶⁴. Not for secrets.
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// A stream from a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The stream of one purpose: the seed mixed with a name (FNV-1a).
    pub fn keyed(seed: u64, key: &str) -> Self {
        let hash = key
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
        Self::new(mix(seed ^ mix(hash)))
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in 0..n by the high half of a 128-bit product; the bias is below n / 2⁶⁴. 0 for n = 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// Fisher–Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        // First outputs of SplitMix64 with seed 1234567, as in Vigna's reference C code.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
        assert_eq!(rng.next_u64(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn a_shuffle_keeps_every_item_and_depends_on_seed_and_key_only() {
        let shuffled = |seed, key| {
            let mut items: Vec<u32> = (0..100).collect();
            Rng::keyed(seed, key).shuffle(&mut items);
            items
        };
        assert_eq!(shuffled(1, "a"), shuffled(1, "a"));
        assert_ne!(shuffled(1, "a"), shuffled(2, "a"));
        assert_ne!(shuffled(1, "a"), shuffled(1, "b"));
        let mut sorted = shuffled(1, "a");
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn edges_zero_and_one_item() {
        let mut rng = Rng::new(0);
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
        rng.shuffle::<u8>(&mut []);
        assert!((0..1000).all(|_| (0.0..1.0).contains(&rng.uniform())));
    }
}
