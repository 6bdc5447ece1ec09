//! Many passes of a few rows each, without gradients, over weights that stay as they are: matrices are prepacked for their time. Passes over
//! thousands of rows gain nothing by it.

use super::decoder::Decoder;
use super::linear::Matrix;

/// While it lives, matrices are prepacked.
pub struct Prepacking<'a>(&'a Decoder);

impl Decoder {
    /// Prepacks matrices: the output projection first, then block by block, as far as `bytes` reach. While what is returned lives, weights must
    /// stay as they are and no pass may want gradients.
    #[must_use]
    pub fn prepacked(&self, bytes: usize) -> Prepacking<'_> {
        let all = Prepacking(self);
        let mut room = bytes;
        self.matrices().for_each(|matrix| matrix.prepack(&mut room));
        all
    }
}

impl Drop for Prepacking<'_> {
    fn drop(&mut self) {
        self.0.matrices().for_each(Matrix::forget_prepacked);
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor, no_grad};

    use super::super::decoder::Input;
    use super::super::family_tests::{families, ids};
    use super::super::golden_tests::device;
    use super::super::shim::Prepacked;
    use super::*;

    /// Logits `[1, T, V]` of a few ids.
    fn logits(decoder: &Decoder) -> Tensor {
        let ids: Vec<i64> = ids(30, 1).into_iter().map(i64::from).collect();
        let ids = Tensor::from_slice(&ids).view([1, -1]).to_device(device());
        let positions = Tensor::arange(30, (Kind::Int64, device())).view([1, 30]);
        let input = Input { ids: &ids, positions: &positions, mask: None, adapter: true };
        no_grad(|| decoder.logits(&decoder.hidden(&input)))
    }

    /// Where libtorch has no MKL, or on a GPU, nothing is prepacked.
    fn works() -> bool {
        let one = Tensor::ones([1, 1], (Kind::Float, Device::Cpu));
        device() == Device::Cpu && Prepacked::new(&one, false).is_some()
    }

    fn count(decoder: &Decoder) -> usize {
        decoder.matrices().filter(|matrix| matrix.is_prepacked()).count()
    }

    #[test]
    fn every_family_gives_its_logits_with_prepacked_matrices_and_the_same_as_before_without_them_again() {
        let Some((_, models)) = families() else { return };
        for (name, model) in models {
            let (decoder, plain) = (&model.decoder, logits(&model.decoder));
            let all = decoder.matrices().count();
            {
                let _prepacked = decoder.prepacked(usize::MAX);
                assert_eq!(count(decoder), if works() { all } else { 0 }, "{name}");
                let off = (logits(decoder) - &plain).abs().max().double_value(&[]);
                assert!(off < 5e-5, "{name}: {off}");
            }
            assert_eq!(count(decoder), 0);
            assert_eq!(logits(decoder), plain, "{name}");
        }
    }

    #[test]
    fn nothing_is_prepacked_beyond_the_bytes() {
        let Some((_, mut models)) = families() else { return };
        let (_, model) = models.next().expect("a model");
        let decoder = &model.decoder;
        let head = decoder.matrices().next().expect("an output projection");
        let bytes = head.weight().numel() * 4;
        {
            let _prepacked = decoder.prepacked(bytes - 1);
            assert!(!head.is_prepacked(), "too large by a byte");
        }
        let _prepacked = decoder.prepacked(bytes);
        assert_eq!((head.is_prepacked(), count(decoder)), (works(), usize::from(works())), "it takes all");
    }
}
