//! Operations in fewer passes over memory than libtorch takes, each with its gradient: f32 on the CPU, products by bf16 weights too. Beside
//! them what tch does not reach, on any device: the setting of gradients, and AdamW. See `fused.cpp`.

use std::ffi::{c_char, c_int};

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use super::told;

unsafe extern "C" {
    fn udasa_rms_norm(
        out: *mut *mut C_tensor,
        x: *const C_tensor,
        weight: *const C_tensor,
        eps: f64,
        error: *mut c_char,
        length: usize,
    ) -> c_int;
    fn udasa_swiglu(out: *mut *mut C_tensor, x: *const C_tensor, error: *mut c_char, length: usize) -> c_int;
    fn udasa_turn(
        out: *mut *mut C_tensor,
        x: *const C_tensor,
        cos: *const C_tensor,
        sin: *const C_tensor,
        turned: i64,
        error: *mut c_char,
        length: usize,
    ) -> c_int;
    fn udasa_token_logprobs(
        out: *mut *mut C_tensor,
        logits: *const C_tensor,
        rows: *const C_tensor,
        tokens: *const C_tensor,
        error: *mut c_char,
        length: usize,
    ) -> c_int;
    fn udasa_product(
        out: *mut *mut C_tensor,
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        wide: c_int,
        error: *mut c_char,
        length: usize,
    ) -> c_int;
    fn udasa_lookup(
        out: *mut *mut C_tensor,
        table: *const C_tensor,
        ids: *const C_tensor,
        error: *mut c_char,
        length: usize,
    ) -> c_int;
    fn udasa_set_gradient(leaf: *const C_tensor, gradient: *const C_tensor, error: *mut c_char, length: usize)
    -> c_int;
    fn udasa_adamw(
        weights: *const C_tensor,
        gradient: *const C_tensor,
        m: *const C_tensor,
        v: *const C_tensor,
        step: i64,
        rate: f64,
        betas: *const f64,
        weight_decay: f64,
        eps: f64,
        divisor: f64,
        error: *mut c_char,
        length: usize,
    ) -> c_int;
}

/// Whether these operations are made for such a tensor.
pub fn fits(x: &Tensor) -> bool {
    x.device() == Device::Cpu && x.kind() == Kind::Float
}

/// Whether products are made for such a weight or bias.
pub fn fits_as_weight(x: &Tensor) -> bool {
    x.device() == Device::Cpu && [Kind::Float, Kind::BFloat16].contains(&x.kind())
}

/// x / √(mean x² + eps) · w over the last dimension; `weight` has its size.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Tensor {
    check(&[x, weight], weight.dim() == 1 && x.size().last() == weight.size().first());
    // SAFETY: live tensors, f32 on the CPU, of shapes that fit; so too below.
    made(|out, error, length| unsafe { udasa_rms_norm(out, x.as_ptr(), weight.as_ptr(), eps, error, length) })
}

/// silu(a) · b of `[…, 2 F]`, which holds `a` and then `b`: `[…, F]`.
pub fn swiglu(x: &Tensor) -> Tensor {
    check(&[x], x.size().last().is_some_and(|n| n % 2 == 0));
    // SAFETY: see `rms_norm`.
    made(|out, error, length| unsafe { udasa_swiglu(out, x.as_ptr(), error, length) })
}

/// Heads `[B, T, N, D]` as `[B, N, T, D]`, the first `turned` of them turned by `cos` and `sin` `[B, T, 1, R]`, whose R numbers of a head are
/// the first and turn in pairs (i, i + R/2); `sin` is negative in its first half.
pub fn turn(x: &Tensor, cos: &Tensor, sin: &Tensor, turned: i64) -> Tensor {
    let (size, table) = (x.size(), cos.size());
    let fit = size.len() == 4 && table.len() == 4 && size[..2] == table[..2] && table[2] == 1 && table[3] <= size[3];
    check(&[x, cos, sin], fit && sin.size() == table && (0..=size[2]).contains(&turned) && table[3] % 2 == 0);
    // SAFETY: see `rms_norm`.
    made(|out, error, length| unsafe { udasa_turn(out, x.as_ptr(), cos.as_ptr(), sin.as_ptr(), turned, error, length) })
}

/// log p of `tokens` `[K]` by the `rows` `[K]` of `logits` `[M, V]`, which it takes over: backward writes their gradient into them.
pub fn token_logprobs(logits: Tensor, rows: &Tensor, tokens: &Tensor) -> Tensor {
    let below = |x: &Tensor, n: i64| {
        x.kind() == Kind::Int64
            && x.dim() == 1
            && (x.numel() == 0 || (x.min().int64_value(&[]) >= 0 && x.max().int64_value(&[]) < n))
    };
    let size = logits.size();
    let fit = size.len() == 2 && size[1] > 0 && rows.size() == tokens.size() && logits.is_contiguous();
    check(&[&logits], fit && below(rows, size[0]) && below(tokens, size[1]));
    let (rows, tokens) = (rows.contiguous(), tokens.contiguous());
    // SAFETY: see `rms_norm`.
    made(|out, error, length| unsafe {
        udasa_token_logprobs(out, logits.as_ptr(), rows.as_ptr(), tokens.as_ptr(), error, length)
    })
}

/// `x` `[…, in]` in f32 times `weight` `[out, in]` and `bias` `[out]` in f32 or bf16: `[…, out]` in f32. A bf16 weight is multiplied by in
/// bf16, or, `wide`, in f32, to which it is brought piece by piece. Backward adds the weight's gradient in place to the one that it has, if
/// it has one.
pub fn product(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, wide: bool) -> Tensor {
    let size = weight.size();
    let fit = size.len() == 2
        && fits_as_weight(weight)
        && x.size().last() == size.last()
        && bias.is_none_or(|bias| bias.kind() == weight.kind() && fits_as_weight(bias) && bias.size() == size[..1]);
    check(&[x], fit);
    let (bias, wide) = (bias.map_or(std::ptr::null(), |bias| bias.as_ptr()), c_int::from(wide));
    // SAFETY: see `rms_norm`; the weight may be bf16, and the bias is one or null, which stands for none.
    made(|out, error, length| unsafe { udasa_product(out, x.as_ptr(), weight.as_ptr(), bias, wide, error, length) })
}

/// Rows of `table` `[V, C]` by `ids` `[…]`: `[…, C]`. Backward adds the table's gradient in place to the one that it has, if it has one.
pub fn lookup(table: &Tensor, ids: &Tensor) -> Tensor {
    check(&[table], table.dim() == 2 && ids.kind() == Kind::Int64 && ids.device() == Device::Cpu);
    // SAFETY: see `rms_norm`; libtorch checks the ids.
    made(|out, error, length| unsafe { udasa_lookup(out, table.as_ptr(), ids.as_ptr(), error, length) })
}

/// Gives a leaf a gradient for backward to add to, of the leaf's shape, format and device; or takes its gradient away.
pub fn set_gradient(leaf: &Tensor, gradient: Option<&Tensor>) -> Result<()> {
    let alike = |x: &Tensor| leaf.size() == x.size() && leaf.kind() == x.kind() && leaf.device() == x.device();
    ensure!(leaf.is_leaf() && gradient.is_none_or(alike), "{gradient:?} cannot be the gradient of {leaf:?}");
    let gradient = gradient.map_or(std::ptr::null(), |x| x.as_ptr());
    // SAFETY: live tensors, the second of which can be the first one's gradient, or null, which stands for none.
    told(|error, length| unsafe { udasa_set_gradient(leaf.as_ptr(), gradient, error, length) })
}

/// A step of AdamW.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Its number, from 1.
    pub number: i64,
    /// Learning rate.
    pub rate: f64,
    /// β₁, β₂.
    pub betas: [f64; 2],
    /// λ.
    pub weight_decay: f64,
    /// ε.
    pub eps: f64,
    /// The gradient is divided by this.
    pub divisor: f64,
}

/// Takes a step in place, by libtorch's fused kernel: `[N]` each, f32, on any device. The gradient may be changed.
pub fn adamw(weights: &Tensor, gradient: &Tensor, m: &Tensor, v: &Tensor, step: &Step) -> Result<()> {
    let Step { number, rate, betas, weight_decay, eps, divisor } = *step;
    let alike = |x: &&Tensor| x.size() == weights.size() && x.kind() == Kind::Float && x.device() == weights.device();
    ensure!(
        [weights, gradient, m, v].iter().all(alike),
        "the vectors of an AdamW step differ in shape, format or place"
    );
    // SAFETY: live tensors, all of one size and format.
    told(|error, length| unsafe {
        udasa_adamw(
            weights.as_ptr(),
            gradient.as_ptr(),
            m.as_ptr(),
            v.as_ptr(),
            number,
            rate,
            betas.as_ptr(),
            weight_decay,
            eps,
            divisor,
            error,
            length,
        )
    })
}

/// The C++ reads memory as it is told to: this is what keeps it inside.
pub fn check(tensors: &[&Tensor], shapes_fit: bool) {
    assert!(tensors.iter().all(|x| fits(x)) && shapes_fit, "a fused operation was given {tensors:?}");
}

/// The tensor that a function makes. It panics where that fails, as tch's plain operations do.
pub fn made(call: impl FnOnce(*mut *mut C_tensor, *mut c_char, usize) -> c_int) -> Tensor {
    let mut out = std::ptr::null_mut();
    match told(|error, length| call(&raw mut out, error, length)) {
        // SAFETY: where 0 was returned, `out` is a new tensor, which is nobody else's.
        Ok(()) => unsafe { Tensor::from_ptr(out) },
        Err(error) => panic!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers between -2 and 2, the same every time.
    fn numbers(size: &[i64]) -> Tensor {
        let n = size.iter().product::<i64>();
        ((Tensor::arange(n, (Kind::Float, Device::Cpu)) * 0.7310585).sin() * 2.0).view(size)
    }

    /// Both give the same, and the same gradients by every input, whatever comes after them.
    fn same(inputs: &[Tensor], fused: impl Fn(&[Tensor]) -> Tensor, plain: impl Fn(&[Tensor]) -> Tensor) {
        let run = |of: &dyn Fn(&[Tensor]) -> Tensor| {
            let leaves: Vec<Tensor> =
                inputs.iter().map(|x| x.detach().copy().set_requires_grad(x.kind() == Kind::Float)).collect();
            let y = of(&leaves);
            (&y * numbers(&y.size())).sum(None).backward();
            let gradients = leaves.iter().filter(|x| x.requires_grad()).map(Tensor::grad);
            std::iter::once(y.detach()).chain(gradients).collect::<Vec<_>>()
        };
        for (ours, theirs) in run(&fused).iter().zip(run(&plain)) {
            assert_eq!(ours.size(), theirs.size());
            let (off, most) = ((ours - &theirs).abs().max(), theirs.abs().max());
            assert!(off.double_value(&[]) <= 2e-6 * most.double_value(&[]).max(1.0), "{off} of {most}");
        }
    }

    #[test]
    fn norms_are_those_of_libtorch_for_odd_sizes_and_many_rows() {
        for size in [[1, 1, 5], [3, 33, 7], [1, 70, 384]] {
            let inputs = [numbers(&size), numbers(&[size[2]]) + 1.5];
            same(&inputs, |x| rms_norm(&x[0], &x[1], 1e-6), |x| x[0].rms_norm(size[2], Some(&x[1]), 1e-6));
        }
    }

    #[test]
    fn gates_are_silu_times_the_other_half_far_from_zero_too() {
        let far = Tensor::from_slice(&[-200_f32, -90.0, -20.0, 0.0, 30.0, 100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        for x in [numbers(&[2, 9, 26]), far.view([1, 12])] {
            let half = x.size()[x.dim() - 1] / 2;
            let plain = |x: &[Tensor]| x[0].narrow(-1, 0, half).silu() * x[0].narrow(-1, half, half);
            same(&[x], |x| swiglu(&x[0]), plain);
        }
    }

    #[test]
    fn heads_turn_in_whole_or_in_part_and_values_do_not() {
        for (size, turned) in [(8, 5), (6, 5), (8, 3)] {
            let (cos, sin) = (numbers(&[2, 3, 1, size]), numbers(&[2, 3, 1, size]) * 0.5);
            let plain = |x: &[Tensor]| {
                let part = x[0].narrow(2, 0, turned);
                let (half, turning) = (size / 2, part.narrow(3, 0, size));
                let swapped = Tensor::cat(&[turning.narrow(3, half, half), turning.narrow(3, 0, half)], 3);
                let part = Tensor::cat(&[turning * &cos + swapped * &sin, part.narrow(3, size, 8 - size)], 3);
                Tensor::cat(&[part, x[0].narrow(2, turned, 5 - turned)], 2).transpose(1, 2)
            };
            same(&[numbers(&[2, 3, 5, 8])], |x| turn(&x[0], &cos, &sin, turned), plain);
        }
    }

    #[test]
    fn tokens_have_the_logarithms_of_softmax_where_a_row_has_several_or_none() {
        let (rows, tokens) = (Tensor::from_slice(&[0_i64, 2, 2, 0, 2]), Tensor::from_slice(&[4_i64, 0, 8998, 4, 0]));
        let inputs = [numbers(&[4, 8999]) * 20.0];
        let plain = |x: &[Tensor]| {
            x[0].log_softmax(-1, Kind::Float).index_select(0, &rows).gather(1, &tokens.unsqueeze(1), false).squeeze()
        };
        // A step before it: the logits that it takes over must not be a leaf.
        same(&inputs, |x| token_logprobs(&x[0] * 1.0, &rows, &tokens), |x| plain(&[&x[0] * 1.0]));
    }

    #[test]
    fn products_and_rows_of_a_table_have_the_gradients_of_libtorch_and_add_them_to_what_is_there() {
        let (x, weight, bias) = (numbers(&[2, 3, 5]), numbers(&[7, 5]) + 0.5, numbers(&[7]));
        let linear = |x: &Tensor, weight: &Tensor, bias: Option<&Tensor>| x.linear(weight, bias);
        let two = [x.shallow_clone(), weight.shallow_clone()];
        same(&two, |x| product(&x[0], &x[1], None, true), |x| linear(&x[0], &x[1], None));
        let fixed = std::slice::from_ref(&x);
        same(fixed, |x| product(&x[0], &weight, Some(&bias), true), |x| linear(&x[0], &weight, Some(&bias)));
        let three = [x.shallow_clone(), weight.shallow_clone(), bias];
        same(&three, |x| product(&x[0], &x[1], Some(&x[2]), true), |x| linear(&x[0], &x[1], Some(&x[2])));
        same(&three[1..], |w| product(&x, &w[0], Some(&w[1]), true), |w| linear(&x, &w[0], Some(&w[1])));
        let ids = Tensor::from_slice(&[3_i64, 0, 3, 4]).view([2, 2]);
        let table = numbers(&[5, 6]);
        let one = std::slice::from_ref(&table);
        same(one, |x| lookup(&x[0], &ids), |x| Tensor::embedding(&x[0], &ids, -1, false, false));

        // A leaf that is looked up in and multiplied by, as a tied head is, three times; its gradient is a window on a longer vector.
        let gathered = Tensor::zeros([64], (Kind::Float, Device::Cpu));
        let leaf = table.copy().set_requires_grad(true);
        set_gradient(&leaf, Some(&gathered.narrow(0, 8, 30).view([5, 6]))).expect("it fits");
        for _ in 0..3 {
            product(&lookup(&leaf, &ids), &leaf, None, true).square().sum(None).backward();
        }
        let plain = table.copy().set_requires_grad(true);
        let looked_up = Tensor::embedding(&plain, &ids, -1, false, false);
        (linear(&looked_up, &plain, None).square().sum(None) * 3.0).backward();
        let expected = Tensor::zeros([64], (Kind::Float, Device::Cpu));
        expected.narrow(0, 8, 30).copy_(&plain.grad().view(-1));
        let (off, most) = ((gathered - &expected).abs().max(), expected.abs().max());
        assert!(off.double_value(&[]) <= 2e-6 * most.double_value(&[]), "{off} of {most}");
        assert!(set_gradient(&leaf, Some(&numbers(&[6, 5]))).is_err());
        set_gradient(&leaf, None).expect("a leaf");
        assert!(!leaf.grad().defined());
    }

    #[test]
    fn a_bf16_weight_is_multiplied_by_in_f32_or_in_bf16_and_has_its_gradient_in_bf16() {
        let bf16 = |x: Tensor| x.to_kind(Kind::BFloat16);
        let near = |ours: &Tensor, theirs: &Tensor, tolerance: f64| {
            let off = (ours.to_kind(Kind::Float) - theirs).abs().max() / theirs.abs().max();
            assert!(off.double_value(&[]) <= tolerance, "{off}");
        };
        // Fewer and more numbers than are widened at a time.
        for (out, input) in [(7, 5), (1100, 1024)] {
            let (x, weight, bias) = (numbers(&[2, 3, input]), bf16(numbers(&[out, input])), bf16(numbers(&[out])));
            let leaves = || [x.copy(), weight.copy(), bias.copy()].map(|x| x.set_requires_grad(true));
            let [px, pw, pb] = leaves().map(|x| x.detach().to_kind(Kind::Float).set_requires_grad(true));
            let plain = px.linear(&pw, Some(&pb));
            (&plain * numbers(&plain.size())).sum(None).backward();
            // Gradients of weights are rounded to bf16; in bf16 the inputs are too, by a few thousandths of terms that partly cancel.
            for (wide, tolerance, rounded) in [(true, 2e-6, 1e-2), (false, 3e-2, 3e-2)] {
                let [x, w, b] = leaves();
                let y = product(&x, &w, Some(&b), wide);
                assert_eq!(y.kind(), Kind::Float);
                (&y * numbers(&y.size())).sum(None).backward();
                near(&y, &plain, tolerance);
                near(&x.grad(), &px.grad(), tolerance);
                for (ours, theirs) in [(w.grad(), pw.grad()), (b.grad(), pb.grad())] {
                    assert_eq!(ours.kind(), Kind::BFloat16);
                    near(&ours, &theirs, rounded);
                }
                // The second gradient is added to the first, and the weight turned round has it as well.
                set_gradient(&w, Some(&w.grad().copy())).expect("it fits");
                (product(&x, &w, None, wide) * numbers(&y.size())).sum(None).backward();
                near(&w.grad(), &(pw.grad() * 2.0), rounded);
                let turned = w.detach().tr().contiguous().set_requires_grad(true);
                (product(&x, &turned.tr(), None, wide) * numbers(&y.size())).sum(None).backward();
                near(&turned.grad().tr(), &pw.grad(), rounded);
            }
        }
    }

    #[test]
    fn backward_hands_no_gradient_on_where_it_has_added_it_in_place() {
        let leaf = numbers(&[5, 6]).set_requires_grad(true);
        set_gradient(&leaf, Some(&leaf.zeros_like())).expect("it fits");
        let ids = Tensor::from_slice(&[3_i64, 0]);
        let bf16 = leaf.detach().to_kind(Kind::BFloat16).set_requires_grad(true);
        set_gradient(&bf16, Some(&bf16.zeros_like())).expect("it fits");
        let x = numbers(&[2, 6]);
        let all = [
            (&leaf, product(&x, &leaf, None, true)),
            (&leaf, lookup(&leaf, &ids)),
            (&bf16, product(&x, &bf16, None, true)),
            (&bf16, product(&x, &bf16, None, false)),
        ];
        for (leaf, y) in all {
            let before = leaf.grad().copy();
            let handed_on = Tensor::run_backward(&[y.sum(None)], std::slice::from_ref(leaf), false, false);
            assert!(!handed_on[0].defined() && leaf.grad() != before);
        }
    }

    #[test]
    fn what_would_reach_outside_of_memory_is_refused() {
        let refused = |work: &dyn Fn() -> Tensor| {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).expect_err("refused");
            assert!(panic.downcast_ref::<String>().is_some_and(|text| text.contains("a fused operation was given")));
        };
        let (x, one) = (numbers(&[2, 3]), Tensor::from_slice(&[0_i64]));
        refused(&|| rms_norm(&x, &numbers(&[4]), 1e-6));
        refused(&|| rms_norm(&x.to_kind(Kind::Double), &numbers(&[3]), 1e-6));
        refused(&|| swiglu(&x));
        refused(&|| product(&x, &numbers(&[4, 2]), None, true));
        refused(&|| product(&x, &numbers(&[4, 3]), Some(&numbers(&[3])), true));
        refused(&|| product(&x, &numbers(&[4, 3]), Some(&numbers(&[4]).to_kind(Kind::BFloat16)), true));
        refused(&|| product(&x.to_kind(Kind::BFloat16), &numbers(&[4, 3]), None, true));
        refused(&|| product(&x, &numbers(&[4, 3]).to_kind(Kind::Double), None, true));
        refused(&|| lookup(&x, &x));
        assert!(std::panic::catch_unwind(|| lookup(&numbers(&[2, 3]), &Tensor::from_slice(&[2_i64]))).is_err());
        refused(&|| token_logprobs(x.copy(), &one, &Tensor::from_slice(&[3_i64])));
        refused(&|| token_logprobs(x.copy(), &Tensor::from_slice(&[2_i64]), &one));
        refused(&|| turn(&numbers(&[1, 2, 3, 4]), &numbers(&[1, 2, 1, 6]), &numbers(&[1, 2, 1, 6]), 3));
    }
}
