// What libtorch does in several passes over memory, in one, with its gradient: for f32 on the CPU (products by bf16 weights too), where a
// training step spends a quarter of its time outside matrix products. And libtorch's own fused AdamW, and the setting of gradients, which
// tch does not reach.
//
// Our own sums over rows go by chunks of fixed size, so that no number depends on how many threads there are.

#include "guard.h"
#include "vectors.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

// Rows of a partial sum.
constexpr int64_t CHUNK = 32;

ALWAYS float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

// ---- x / rms(x) · w (Zhang and Sennrich 2019), over rows of n numbers; `scale` is 1 / rms of each row.

EACH_PROCESSOR void norm_rows(const float* x, const float* w, float* y, float* scale, int64_t rows, int64_t n, float eps) {
  for (int64_t i = 0; i < rows; i++, x += n, y += n) {
    float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
    for (int64_t j = 0; j < n; j++) squares += x[j] * x[j];
    const float r = 1.0f / std::sqrt(squares / n + eps);
    scale[i] = r;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) y[j] = x[j] * r * w[j];
  }
}

// dx of some rows; dw is added to.
EACH_PROCESSOR void norm_rows_back(const float* g, const float* x, const float* w, const float* scale, float* dx, float* dw,
                                   int64_t rows, int64_t n) {
  for (int64_t i = 0; i < rows; i++, x += n, g += n, dx += n) {
    const float r = scale[i];
    float dot = 0.0f;
#pragma omp simd reduction(+ : dot)
    for (int64_t j = 0; j < n; j++) dot += g[j] * w[j] * x[j];
    const float k = dot * r * r * r / n;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
      dx[j] = g[j] * w[j] * r - x[j] * k;
      dw[j] += g[j] * x[j] * r;
    }
  }
}

struct RmsNorm : Function<RmsNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& given, const Tensor& weight, double eps) {
    const auto x = given.contiguous(), w = weight.contiguous();
    const int64_t n = x.size(-1), rows = n == 0 ? 0 : x.numel() / n;
    auto y = at::empty_like(x), scale = at::empty({rows}, x.options());
    const auto *xs = x.const_data_ptr<float>(), *ws = w.const_data_ptr<float>();
    auto *ys = y.mutable_data_ptr<float>(), *scales = scale.mutable_data_ptr<float>();
    in_parallel(rows, n, [&](int64_t from, int64_t to) {
      norm_rows(xs + from * n, ws, ys + from * n, scales + from, to - from, n, static_cast<float>(eps));
    });
    context->save_for_backward({x, w, scale});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &w = saved[1], &scale = saved[2];
    const auto g = gradients[0].contiguous();
    const int64_t n = x.size(-1), rows = scale.size(0), chunks = (rows + CHUNK - 1) / CHUNK;
    auto dx = at::empty_like(x), dw = at::zeros({chunks, n}, x.options());
    const auto *gs = g.const_data_ptr<float>(), *xs = x.const_data_ptr<float>();
    const auto *ws = w.const_data_ptr<float>(), *scales = scale.const_data_ptr<float>();
    auto *dxs = dx.mutable_data_ptr<float>(), *dws = dw.mutable_data_ptr<float>();
    in_parallel(chunks, n * CHUNK, [&](int64_t from, int64_t to) {
      for (int64_t c = from; c < to; c++) {
        const int64_t row = c * CHUNK, at = row * n;
        norm_rows_back(gs + at, xs + at, ws, scales + row, dxs + at, dws + c * n, std::min(CHUNK, rows - row), n);
      }
    });
    return {dx, dw.sum(0), Tensor()};
  }
};

// ---- SwiGLU (Shazeer 2020): silu(a) · b, where a row holds the n numbers of a, then those of b.

// Of all rows' results, those from..to.
EACH_PROCESSOR void gate(const float* x, float* y, int64_t n, int64_t from, int64_t to) {
  while (from < to) {
    const int64_t row = from / n, end = std::min(to, (row + 1) * n);
    const float* a = x + row * n;  // before it lie as many numbers of a as of b
#pragma omp simd
    for (int64_t k = from; k < end; k++) y[k] = a[k] * sigmoid(a[k]) * a[n + k];
    from = end;
  }
}

EACH_PROCESSOR void gate_rows_back(const float* g, const float* x, float* dx, int64_t rows, int64_t n) {
  for (int64_t i = 0; i < rows; i++, x += 2 * n, dx += 2 * n, g += n) {
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
      const float a = x[j], b = x[n + j], s = sigmoid(a);
      dx[j] = g[j] * b * s * (1.0f + a * (1.0f - s));
      dx[n + j] = g[j] * a * s;
    }
  }
}

struct Swiglu : Function<Swiglu> {
  static Tensor forward(AutogradContext* context, const Tensor& given) {
    const auto x = given.contiguous();
    auto sizes = x.sizes().vec();
    const int64_t n = sizes.back() / 2, rows = n == 0 ? 0 : x.numel() / (2 * n);
    sizes.back() = n;
    auto y = at::empty(sizes, x.options());
    const auto* xs = x.const_data_ptr<float>();
    auto* ys = y.mutable_data_ptr<float>();
    in_parallel(rows * n, 1, [&](int64_t from, int64_t to) { gate(xs, ys, n, from, to); });
    context->save_for_backward({x});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto x = context->get_saved_variables()[0];
    const auto g = gradients[0].contiguous();
    auto dx = at::empty_like(x);
    const int64_t n = g.size(-1), rows = n == 0 ? 0 : g.numel() / n;
    const auto *gs = g.const_data_ptr<float>(), *xs = x.const_data_ptr<float>();
    auto* dxs = dx.mutable_data_ptr<float>();
    in_parallel(rows, 2 * n, [&](int64_t from, int64_t to) {
      gate_rows_back(gs + from * n, xs + from * 2 * n, dxs + from * 2 * n, to - from, n);
    });
    return {dx};
  }
};

// ---- Rotary positions (Su et al. 2021): x [B, T, N, D] → [B, N, T, D], the first heads turned.

// A head's d numbers, of which the first `size` turn in pairs (i, i + size / 2); `sin` is negative in its first half.
ALWAYS void turn_head(const float* x, const float* cos, const float* sin, float* y, int64_t size, int64_t d) {
  const int64_t half = size / 2;
#pragma omp simd
  for (int64_t i = 0; i < half; i++) {
    y[i] = x[i] * cos[i] + x[half + i] * sin[i];
    y[half + i] = x[half + i] * cos[half + i] + x[i] * sin[half + i];
  }
  for (int64_t i = size; i < d; i++) y[i] = x[i];
}

ALWAYS void turn_head_back(const float* g, const float* cos, const float* sin, float* dx, int64_t size, int64_t d) {
  const int64_t half = size / 2;
#pragma omp simd
  for (int64_t i = 0; i < half; i++) {
    dx[i] = g[i] * cos[i] + g[half + i] * sin[half + i];
    dx[half + i] = g[half + i] * cos[half + i] + g[i] * sin[i];
  }
  for (int64_t i = size; i < d; i++) dx[i] = g[i];
}

struct Sizes {
  int64_t t, heads, turned, size, d;
};

// Positions from..to of all rows; `forth`: [B, T, N, D] → [B, N, T, D], else the gradient, back.
EACH_PROCESSOR void turn_positions(const float* x, const float* cos, const float* sin, float* y, Sizes s, bool forth, int64_t from,
                                   int64_t to) {
  for (int64_t p = from; p < to; p++) {
    const int64_t b = p / s.t, t = p % s.t;
    for (int64_t h = 0; h < s.heads; h++) {
      const int64_t standing = (p * s.heads + h) * s.d, lying = ((b * s.heads + h) * s.t + t) * s.d;
      const float* in = x + (forth ? standing : lying);
      float* out = y + (forth ? lying : standing);
      if (h >= s.turned) {
        std::memcpy(out, in, s.d * sizeof(float));
      } else if (forth) {
        turn_head(in, cos + p * s.size, sin + p * s.size, out, s.size, s.d);
      } else {
        turn_head_back(in, cos + p * s.size, sin + p * s.size, out, s.size, s.d);
      }
    }
  }
}

struct Turn : Function<Turn> {
  static Tensor forward(AutogradContext* context, const Tensor& given, const Tensor& cosines, const Tensor& sines, int64_t turned) {
    const auto x = given.contiguous(), cos = cosines.contiguous(), sin = sines.contiguous();
    auto y = at::empty({x.size(0), x.size(2), x.size(1), x.size(3)}, x.options());
    run(x, cos, sin, y, turned, true);
    context->save_for_backward({cos, sin});
    context->saved_data["turned"] = turned;
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto g = gradients[0].contiguous();
    auto dx = at::empty({g.size(0), g.size(2), g.size(1), g.size(3)}, g.options());
    run(g, saved[0], saved[1], dx, context->saved_data["turned"].toInt(), false);
    return {dx, Tensor(), Tensor(), Tensor()};
  }

  static void run(const Tensor& from, const Tensor& cos, const Tensor& sin, Tensor& to, int64_t turned, bool forth) {
    const auto& standing = forth ? from : to;  // [B, T, N, D]
    const Sizes sizes{standing.size(1), standing.size(2), turned, cos.size(-1), standing.size(3)};
    const auto *x = from.const_data_ptr<float>(), *c = cos.const_data_ptr<float>(), *s = sin.const_data_ptr<float>();
    auto* y = to.mutable_data_ptr<float>();
    in_parallel(standing.size(0) * sizes.t, sizes.heads * sizes.d,
                [&](int64_t first, int64_t last) { turn_positions(x, c, s, y, sizes, forth, first, last); });
  }
};

// ---- log p of some tokens by rows of logits, which the gradient overwrites.

EACH_PROCESSOR void log_sums(const float* x, float* sums, int64_t rows, int64_t n) {
  for (int64_t i = 0; i < rows; i++, x += n) {
    float most = x[0];
#pragma omp simd reduction(max : most)
    for (int64_t j = 0; j < n; j++) most = x[j] > most ? x[j] : most;
    // In f64 over stretches: in f32 alone a hundred thousand terms lose the fifth digit.
    double sum = 0.0;
    for (int64_t j = 0; j < n; j += 4096) {
      const int64_t end = std::min(j + 4096, n);
      float part = 0.0f;
#pragma omp simd reduction(+ : part)
      for (int64_t k = j; k < end; k++) part += exponential(x[k] - most);
      sum += part;
    }
    sums[i] = most + static_cast<float>(std::log(sum));
  }
}

// Probabilities times a number for each row.
EACH_PROCESSOR void scaled_softmax(float* x, const float* sums, const float* times, int64_t rows, int64_t n) {
  for (int64_t i = 0; i < rows; i++, x += n) {
    const float sum = sums[i], by = times[i];
#pragma omp simd
    for (int64_t j = 0; j < n; j++) x[j] = exponential(x[j] - sum) * by;
  }
}

struct TokenLogprobs : Function<TokenLogprobs> {
  // `rows` and `tokens` [K], i64.
  static Tensor forward(AutogradContext* context, const Tensor& logits, const Tensor& rows, const Tensor& tokens) {
    const int64_t m = logits.size(0), n = logits.size(1), count = rows.size(0);
    auto sums = at::empty({m}, logits.options()), out = at::empty({count}, logits.options());
    const auto* xs = logits.const_data_ptr<float>();
    auto *all = sums.mutable_data_ptr<float>(), *outs = out.mutable_data_ptr<float>();
    in_parallel(m, n, [&](int64_t from, int64_t to) { log_sums(xs + from * n, all + from, to - from, n); });
    const auto *r = rows.const_data_ptr<int64_t>(), *t = tokens.const_data_ptr<int64_t>();
    for (int64_t k = 0; k < count; k++) outs[k] = xs[r[k] * n + t[k]] - all[r[k]];
    // Not as a variable: nobody else has the logits, and libtorch would guard them against being written to.
    context->saved_data["logits"] = logits.detach();
    context->save_for_backward({sums, rows, tokens});
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto g = gradients[0].contiguous();
    auto dx = context->saved_data["logits"].toTensor();
    const int64_t m = dx.size(0), n = dx.size(1);
    const auto *gs = g.const_data_ptr<float>(), *sums = saved[0].const_data_ptr<float>();
    const auto *r = saved[1].const_data_ptr<int64_t>(), *t = saved[2].const_data_ptr<int64_t>();
    std::vector<float> times(m, 0.0f);
    for (int64_t k = 0; k < g.size(0); k++) times[r[k]] -= gs[k];
    auto* dxs = dx.mutable_data_ptr<float>();
    in_parallel(m, n, [&](int64_t from, int64_t to) {
      scaled_softmax(dxs + from * n, sums + from, times.data() + from, to - from, n);
    });
    for (int64_t k = 0; k < g.size(0); k++) dxs[r[k] * n + t[k]] += gs[k];
    return {dx, Tensor(), Tensor()};
  }
};

// ---- Products and look-ups whose backward adds to the parameter's gradient in place: libtorch makes a new one and then adds it.

// The gradient of a leaf to add to; none where it has none, wants none, or where the gradient is to be derived again.
const Tensor* gathered(const Tensor& leaf) {
  return !at::GradMode::is_enabled() && leaf.is_leaf() && leaf.requires_grad() && leaf.grad().defined() ? &leaf.mutable_grad() : nullptr;
}

// Numbers of a weight that are widened at a time: a few megabytes, which stay in the cache.
constexpr int64_t PIECE = 1 << 20;

// Calls `work(from, n)` for all rows of a weight [out, in], some at a time.
template <typename F>
void by_pieces(const Tensor& weight, F work) {
  const int64_t out = weight.size(0), step = std::max<int64_t>(1, PIECE / std::max<int64_t>(1, weight.size(1)));
  for (int64_t from = 0; from < out; from += step) work(from, std::min(step, out - from));
}

// x [..., in] in f32 times a weight [out, in], with or without a bias: [..., out] in f32. They are multiplied in the weight's format;
// `wide`: in f32, to which the weight is brought piece by piece.
struct Product : Function<Product> {
  static Tensor forward(AutogradContext* context, const Tensor& given, const Tensor& weight, const std::optional<Tensor>& bias,
                        bool wide) {
    const auto kind = wide ? at::kFloat : weight.scalar_type();
    const auto x = given.to(kind);
    // Of a frozen weight there is no gradient, for which alone the inputs are kept.
    context->save_for_backward({weight.requires_grad() ? x : Tensor(), weight});
    context->saved_data["sizes"] = given.sizes();
    context->saved_data["kind"] = kind;
    context->saved_data["bias"] = bias.has_value();
    if (weight.scalar_type() == kind) return at::linear(x, weight, bias).to(given.scalar_type());
    auto sizes = x.sizes().vec();
    sizes.back() = weight.size(0);
    const auto rows = x.reshape({-1, weight.size(1)});
    auto y = at::empty({rows.size(0), weight.size(0)}, x.options());
    by_pieces(weight, [&](int64_t from, int64_t n) {
      auto part = y.narrow(1, from, n);
      at::mm_out(part, rows, weight.narrow(0, from, n).to(kind).t());
    });
    if (bias) y.add_(*bias);
    return y.view(sizes);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1];
    const auto kind = context->saved_data["kind"].toScalarType();
    const auto given = gradients[0].reshape({-1, weight.size(0)}), g = given.to(kind);
    const bool whole = weight.scalar_type() == kind;
    Tensor dx, dw, db;
    if (context->needs_input_grad(0)) {
      if (whole) {
        dx = g.mm(weight);
      } else {
        dx = at::zeros({g.size(0), weight.size(1)}, g.options());
        by_pieces(weight, [&](int64_t from, int64_t n) { dx.addmm_(g.narrow(1, from, n), weight.narrow(0, from, n).to(kind)); });
      }
      dx = dx.view(context->saved_data["sizes"].toIntVector()).to(given.scalar_type());
    }
    if (context->needs_input_grad(1)) {
      const auto rows = x.reshape({-1, weight.size(1)});
      const auto* sum = gathered(weight);
      if (sum && whole) {
        sum->addmm_(g.t(), rows);
      } else if (sum) {
        by_pieces(weight, [&](int64_t from, int64_t n) { sum->narrow(0, from, n).add_(g.narrow(1, from, n).t().mm(rows)); });
      } else {
        dw = g.t().mm(rows);
      }
    }
    if (context->saved_data["bias"].toBool() && context->needs_input_grad(2)) db = given.sum(0);
    return {dx, dw, db, Tensor()};
  }
};

// Rows of a table [V, C] by their numbers [...]: [..., C].
struct Lookup : Function<Lookup> {
  static Tensor forward(AutogradContext* context, const Tensor& table, const Tensor& ids) {
    context->save_for_backward({table, ids});
    return at::embedding(table, ids);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &table = saved[0], &ids = saved[1];
    const auto* sum = gathered(table);
    if (!sum) return {at::embedding_dense_backward(gradients[0], ids, table.size(0), -1, false), Tensor()};
    sum->index_add_(0, ids.reshape(-1), gradients[0].reshape({-1, table.size(1)}));
    return {Tensor(), Tensor()};
  }
};

// `work` makes a tensor for the caller to own.
template <typename F>
int made(Tensor** out, char* error, size_t length, F work) {
  return guarded(error, length, [&] { *out = new Tensor(work()); });
}

}  // namespace

extern "C" {

int udasa_rms_norm(Tensor** out, const Tensor* x, const Tensor* weight, double eps, char* error, size_t length) {
  return made(out, error, length, [&] { return RmsNorm::apply(*x, *weight, eps); });
}

int udasa_swiglu(Tensor** out, const Tensor* x, char* error, size_t length) {
  return made(out, error, length, [&] { return Swiglu::apply(*x); });
}

int udasa_turn(Tensor** out, const Tensor* x, const Tensor* cos, const Tensor* sin, int64_t turned, char* error, size_t length) {
  return made(out, error, length, [&] { return Turn::apply(*x, *cos, *sin, turned); });
}

int udasa_token_logprobs(Tensor** out, const Tensor* logits, const Tensor* rows, const Tensor* tokens, char* error, size_t length) {
  return made(out, error, length, [&] { return TokenLogprobs::apply(*logits, *rows, *tokens); });
}

int udasa_product(Tensor** out, const Tensor* x, const Tensor* weight, const Tensor* bias, int wide, char* error, size_t length) {
  return made(out, error, length, [&] {
    return Product::apply(*x, *weight, bias ? std::optional<Tensor>(*bias) : std::nullopt, wide != 0);
  });
}

int udasa_lookup(Tensor** out, const Tensor* table, const Tensor* ids, char* error, size_t length) {
  return made(out, error, length, [&] { return Lookup::apply(*table, *ids); });
}

int udasa_set_gradient(const Tensor* leaf, const Tensor* gradient, char* error, size_t length) {
  return guarded(error, length, [&] { leaf->mutable_grad() = gradient ? *gradient : Tensor(); });
}

// One step of libtorch's fused AdamW on a vector, in place; the gradient is divided by `divisor` first.
int udasa_adamw(const Tensor* weights, const Tensor* gradient, const Tensor* m, const Tensor* v, int64_t step, double rate,
                const double* betas, double weight_decay, double eps, double divisor, char* error, size_t length) {
  return guarded(error, length, [&] {
    const auto one = weights->options().dtype(at::kFloat);
    std::optional<Tensor> scale;
    if (divisor != 1.0) scale = at::full({}, divisor, one);
    at::_fused_adamw_({*weights}, {*gradient}, {*m}, {*v}, {}, {at::full({}, static_cast<double>(step), one)}, rate, betas[0],
                      betas[1], weight_decay, eps, false, false, scale, std::nullopt);
  });
}
}
