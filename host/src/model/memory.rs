//! What sampling takes in memory, from the config alone: before anything is loaded.

use tch::{Device, Kind};

use super::device;
use super::sampler::{Pieces, Sizes};
use super::spec::Spec;
use crate::config::{DeviceChoice, Generate, ModelSection};

/// Bytes that sampling takes, by what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamplingMemory {
    /// Parameters.
    pub weights: usize,
    /// Keys and values at the most.
    pub cache: usize,
    /// Prepacked matrices: a layout in which they multiply faster, in f32, on the CPU.
    pub prepacked: usize,
    /// What one pass holds beside them, at the most.
    pub activations: usize,
    /// The program and libtorch, as they lie in memory before anything is loaded.
    pub program: usize,
}

/// Measured on Linux, x86-64, of libtorch 2.11 on the CPU.
const PROGRAM: usize = 150 << 20;

impl SamplingMemory {
    /// For a model of this shape. The cache is what `generate.memory_mib` allows, where the model's positions can fill it; what it leaves is for
    /// prepacked matrices, where the device may turn out to be a CPU.
    pub fn plan(spec: &Spec, model: &ModelSection, generate: &Generate) -> Self {
        let (kind, is_cuda) = (device::kind(model.dtype), model.device == DeviceChoice::Cuda);
        let cached = device::activation_kind(kind, if is_cuda { Device::Cuda(0) } else { Device::Cpu });
        let is_prepacked = device::multiplies_in_f32(kind) && !is_cuda;
        let prompt = (spec.positions as usize).saturating_sub(generate.max_tokens);
        let sizes = Sizes { places: generate.unit, slots: generate.responses, prompt, response: generate.max_tokens };
        let (blocks, head) = spec.matrix_numbers();
        let tables = if spec.tied { head } else { 2 * head };
        let pieces = Pieces::on(model.device != DeviceChoice::Cpu);
        let tokens = pieces.prompt_tokens.min(generate.unit * spec.positions as usize);
        // In a pass over prompts no longer than a pass: the widest layer's inputs and outputs in f32, and a few copies of the residual stream.
        let pass = tokens * (3 * spec.feed_forward + 6 * spec.hidden) as usize * 4;
        // When tokens are drawn: logits and probabilities in f32.
        let draw = 2 * pieces.logit_rows * spec.vocabulary as usize * 4;
        // While the largest bf16 matrix, the head or gate and up, is prepacked: the same in f32.
        let largest = head.max(2 * spec.feed_forward * spec.hidden) as usize;
        let copied = if is_prepacked && kind != Kind::Float { largest * Kind::Float.elt_size_in_bytes() } else { 0 };
        let cache = cache_bytes(spec, cached, sizes).min(generate.memory_mib << 20);
        let prepacked = if is_prepacked { (blocks + head) as usize * Kind::Float.elt_size_in_bytes() } else { 0 };
        Self {
            weights: (blocks + tables) as usize * kind.elt_size_in_bytes(),
            cache,
            prepacked: prepacked.min((generate.memory_mib << 20) - cache),
            activations: pass.max(draw).max(copied),
            program: PROGRAM,
        }
    }

    /// All of it.
    pub fn total(&self) -> usize {
        self.weights + self.cache + self.prepacked + self.activations + self.program
    }
}

/// Bytes of the sampler's keys and values in buffers of these sizes.
pub fn cache_bytes(spec: &Spec, kind: Kind, sizes: Sizes) -> usize {
    let positions = sizes.places.saturating_mul(sizes.prompt + sizes.slots * sizes.response);
    positions.saturating_mul(spec.cached_per_position() as usize * kind.elt_size_in_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Dtype, NewModel};

    fn spec() -> Spec {
        let new =
            NewModel { hidden: 64, layers: 2, heads: 4, feed_forward: 128, positions: 96, scale_embedding: false };
        Spec::new_model(&new, 1000).expect("a sound shape")
    }

    fn plan(dtype: Dtype, generate: &Generate) -> SamplingMemory {
        let model = ModelSection { device: DeviceChoice::Cpu, dtype, ..ModelSection::default() };
        SamplingMemory::plan(&spec(), &model, generate)
    }

    #[test]
    fn weights_and_cache_are_counted_number_by_number() {
        let generate = Generate { responses: 3, max_tokens: 32, unit: 5, ..Generate::default() };
        let whole = plan(Dtype::F32, &generate);
        // Two blocks of four attention and three feed-forward matrices, and one table for both ends.
        assert_eq!(whole.weights, 4 * (2 * (4 * 64 * 64 + 3 * 64 * 128) + 1000 * 64));
        // Five places of a prompt of 64 and three responses of 32 tokens; keys and values of 64 numbers in two blocks.
        assert_eq!(whole.cache, 4 * 5 * (64 + 3 * 32) * 2 * 64 * 2);
        let half = plan(Dtype::Bf16, &generate);
        // On the CPU keys and values are f32 all the same.
        assert_eq!((half.weights * 2, half.cache), (whole.weights, whole.cache));
        // The one table is read as it is and, prepacked, multiplied by; so are bf16 matrices, in f32, if the processor does not multiply them.
        let in_f32 = if device::multiplies_in_f32(Kind::BFloat16) { whole.prepacked } else { 0 };
        assert_eq!((whole.prepacked, half.prepacked), (whole.weights, in_f32));
        assert_eq!(whole.total(), whole.weights + whole.cache + whole.prepacked + whole.activations + whole.program);
    }

    #[test]
    fn cache_and_prepacked_matrices_are_never_planned_above_what_the_config_allows() {
        let generate = Generate { memory_mib: 1, responses: 64, unit: 64, max_tokens: 32, ..Generate::default() };
        let tight = plan(Dtype::F32, &generate);
        assert_eq!((tight.cache, tight.prepacked), (1 << 20, 0));
    }
}
