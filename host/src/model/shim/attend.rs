//! The attention of one new token of each growing response: f32 on the CPU. See `attend.cpp`.

use std::ffi::{c_char, c_int};

use tch::Tensor;
use torch_sys::C_tensor;

use super::fused::{check, made};

unsafe extern "C" {
    fn udasa_attend_growing(
        out: *mut *mut C_tensor,
        q: *const C_tensor,
        kv: *const *const C_tensor,
        lengths: *const i64,
        slots: *const i64,
        tokens: *const i64,
        in_place: i64,
        scale: f64,
        cap: f64,
        window: i64,
        error: *mut c_char,
        length: usize,
    ) -> c_int;
}

/// Who grows, and by how much of the buffers each is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// Slots of a place: N.
    pub in_place: i64,
    /// Tokens of the prompt in each place.
    pub lengths: Vec<i64>,
    /// The rows' slots, place · N + response, ascending.
    pub slots: Vec<i64>,
    /// The rows' own tokens, the new one included.
    pub tokens: Vec<i64>,
}

/// How scores become weights.
#[derive(Debug, Clone, Copy)]
pub struct Scores {
    /// They are multiplied by it.
    pub scale: f64,
    /// And then kept within ± it, by a tangent.
    pub cap: Option<f64>,
    /// A key is seen from less than this after it.
    pub window: Option<i64>,
}

/// The rows' queries `[R, H, D]` over the keys and values of their places' prompts `[places, G, ·, D]` and of their own responses
/// `[places · N, G, ·, D]`: `[R, H, D]`, without a gradient.
pub fn attend_growing(
    q: &Tensor,
    prompts: [&Tensor; 2],
    responses: [&Tensor; 2],
    growth: &Growth,
    scores: Scores,
) -> Tensor {
    let Growth { in_place, lengths, slots, tokens } = growth;
    let tensors = [q, prompts[0], prompts[1], responses[0], responses[1]];
    let whole = |x: &&Tensor| x.is_contiguous() && !x.requires_grad();
    let positive = scores.cap.is_none_or(|cap| cap > 0.0) && scores.window.is_none_or(|window| window > 0);
    check(&tensors, tensors.iter().all(whole) && positive && fit(q, prompts, responses, growth));
    let kv = [prompts[0], prompts[1], responses[0], responses[1]].map(Tensor::as_ptr);
    let (cap, window) = (scores.cap.unwrap_or(0.0), scores.window.unwrap_or(0));
    // SAFETY: live tensors of f32 on the CPU without gaps, of the shapes above; no length, slot or token lies outside of them.
    made(|out, error, length| unsafe {
        udasa_attend_growing(
            out,
            q.as_ptr(),
            kv.as_ptr(),
            lengths.as_ptr(),
            slots.as_ptr(),
            tokens.as_ptr(),
            *in_place,
            scores.scale,
            cap,
            window,
            error,
            length,
        )
    })
}

fn fit(q: &Tensor, prompts: [&Tensor; 2], responses: [&Tensor; 2], growth: &Growth) -> bool {
    let Growth { in_place, lengths, slots, tokens } = growth;
    let (q, prompt, response) = (q.size(), prompts[0].size(), responses[0].size());
    let pairs = prompts[1].size() == prompt && responses[1].size() == response;
    let dims = q.len() == 3 && prompt.len() == 4 && response.len() == 4;
    pairs
        && dims
        && [prompt[1], prompt[3]] == [response[1], response[3]]
        && q[2] == prompt[3]
        && q.iter().chain(&prompt[1..]).all(|n| *n > 0)
        && q[1] % prompt[1] == 0
        && *in_place > 0
        && lengths.len() as i64 <= prompt[0]
        && lengths.iter().all(|n| (0..=prompt[2]).contains(n))
        && [slots.len() as i64, tokens.len() as i64] == [q[0]; 2]
        && slots.is_sorted_by(|a, b| a < b)
        && slots.iter().all(|&slot| slot >= 0 && slot / in_place < lengths.len() as i64 && slot < response[0])
        && tokens.iter().all(|n| (1..=response[2]).contains(n))
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// Numbers between -2 and 2, the same every time.
    fn numbers(size: &[i64], seed: f64) -> Tensor {
        let n = size.iter().product::<i64>();
        ((Tensor::arange(n, (Kind::Double, Device::Cpu)) * 0.7310585 + seed).sin() * 2.0).view(size)
    }

    fn single(x: &Tensor) -> Tensor {
        x.to_kind(Kind::Float)
    }

    /// Softmax over what each row sees, in f64, row by row.
    fn plainly(q: &Tensor, prompts: [&Tensor; 2], responses: [&Tensor; 2], growth: &Growth, scores: Scores) -> Tensor {
        let repeats = q.size()[1] / prompts[0].size()[1];
        let row = |r: usize| {
            let (slot, own) = (growth.slots[r], growth.tokens[r]);
            let place = slot / growth.in_place;
            let length = growth.lengths[place as usize];
            let first = scores.window.map_or(0, |window| (length + own - window).max(0));
            let [keys, values] = [0, 1].map(|i| {
                let parts = [prompts[i].get(place).narrow(1, 0, length), responses[i].get(slot).narrow(1, 0, own)];
                let seen = Tensor::cat(&parts, 1).narrow(1, first, length + own - first);
                seen.repeat_interleave_self_int(repeats, 0, None) // [H, T, D]
            });
            let mut all = q.get(r as i64).unsqueeze(1).matmul(&keys.transpose(1, 2)) * scores.scale;
            if let Some(cap) = scores.cap {
                all = (all / cap).tanh() * cap;
            }
            all.softmax(-1, Kind::Double).matmul(&values).squeeze_dim(1)
        };
        Tensor::stack(&(0..growth.slots.len()).map(row).collect::<Vec<_>>(), 0)
    }

    #[test]
    fn every_row_sees_its_prompt_and_its_own_tokens_whatever_the_sizes() {
        let growth = Growth {
            in_place: 3,
            lengths: vec![70, 0, 9, 141],
            slots: vec![0, 1, 2, 4, 7, 9, 11],
            tokens: vec![1, 17, 5, 3, 20, 2, 20],
        };
        for (heads, kv_heads, size) in [(2, 2, 16), (6, 2, 64), (5, 1, 12), (40, 2, 20), (3, 3, 7)] {
            let of = |rows, length, seed| numbers(&[rows, kv_heads, length, size], seed);
            let prompts = [of(5, 150, 0.1), of(5, 150, 0.2)];
            let responses = [of(12, 20, 0.3), of(12, 20, 0.4)];
            let q = numbers(&[7, heads, size], 0.5);
            let scale = 1.0 / (size as f64).sqrt();
            for (cap, window) in
                [(None, None), (Some(3.0), None), (None, Some(6)), (Some(50.0), Some(1)), (None, Some(80))]
            {
                let scores = Scores { scale, cap, window };
                let theirs = plainly(&q, prompts.each_ref(), responses.each_ref(), &growth, scores);
                let [prompts, responses] = [&prompts, &responses].map(|pair| pair.each_ref().map(single));
                let ours = attend_growing(&single(&q), prompts.each_ref(), responses.each_ref(), &growth, scores);
                let off = (ours - theirs).abs().max().double_value(&[]);
                assert!(off < 5e-6, "{heads} heads of {size}, {cap:?}, {window:?}: {off}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let buffers = |rows: i64| single(&numbers(&[rows, 1, 4, 3], 0.0));
        let (prompts, responses) = (buffers(2), buffers(4));
        let q = single(&numbers(&[1, 2, 3], 0.0));
        let sound = Growth { in_place: 2, lengths: vec![4, 3], slots: vec![3], tokens: vec![4] };
        let works = |q: &Tensor, keys: &Tensor, growth: &Growth| {
            let scores = Scores { scale: 1.0, cap: None, window: None };
            let attend = || attend_growing(q, [keys, &prompts], [&responses, &responses], growth, scores);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(attend)).is_ok()
        };
        assert!(works(&q, &prompts, &sound));
        assert!(!works(&q.to_kind(Kind::Double), &prompts, &sound));
        assert!(!works(&q.get(0), &prompts, &sound));
        assert!(!works(&q, &responses, &sound));
        let turned = single(&numbers(&[2, 1, 3, 4], 0.0)).transpose(2, 3);
        assert!(turned.size() == prompts.size() && !works(&q, &turned, &sound));
        assert!(!works(&q.copy().set_requires_grad(true), &prompts, &sound));
        assert!(!works(&single(&numbers(&[1, 2, 4], 0.0)), &prompts, &sound));
        assert!(!works(&single(&numbers(&[0, 2, 3], 0.0)), &prompts, &sound));
        let spoiled = [
            Growth { in_place: 0, ..sound.clone() },
            Growth { lengths: vec![4, 5], ..sound.clone() },
            Growth { lengths: vec![4], ..sound.clone() },
            Growth { lengths: vec![4, 3, 3], ..sound.clone() },
            Growth { slots: vec![4], ..sound.clone() },
            Growth { slots: vec![-1], ..sound.clone() },
            Growth { slots: vec![2, 3], tokens: vec![1, 1], ..sound.clone() },
            Growth { slots: vec![2, 3], ..sound.clone() },
            Growth { tokens: vec![5], ..sound.clone() },
            Growth { tokens: vec![0], ..sound.clone() },
        ];
        assert!(spoiled.iter().all(|growth| !works(&q, &prompts, growth)));
    }
}
