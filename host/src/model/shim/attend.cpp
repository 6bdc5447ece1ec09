// The attention of one new token of each growing response over its prompt, whose keys and values all responses of a place read together, and
// over its own tokens: f32 on the CPU. One key head of one place is computed from the scores to the end, so that it stays in the processor's
// cache if the prompt is not too long, and every response as long as it is, without masks.

#include "guard.h"
#include "vectors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

using at::Tensor;

namespace {

// Numbers of a vector, whatever the processor makes of it.
constexpr int64_t LANES = 16;
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float))));
// Keys whose values are read at a time: they stay in the nearest cache.
constexpr int64_t PART = 64;
// Less than any score.
constexpr float LEAST = -1e30f;

constexpr int64_t whole_lanes(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

// A matrix in memory: where it begins, and what lies between its rows and between its columns.
struct Matrix {
  const float* at;
  int64_t row, column;
};

// Adds to N rows of LANES numbers those of a [N, n] times b [n, LANES].
template <int N>
ALWAYS void add_tile(Matrix a, Matrix b, int64_t n, float* out, int64_t out_row) {
  Lanes sum[N];
  for (int i = 0; i < N; i++) std::memcpy(&sum[i], out + i * out_row, sizeof(Lanes));
  for (int64_t j = 0; j < n; j++) {
    Lanes x;
    std::memcpy(&x, b.at + j * b.row, sizeof(Lanes));
#pragma GCC unroll 8
    for (int i = 0; i < N; i++) sum[i] += x * a.at[i * a.row + j * a.column];
  }
  for (int i = 0; i < N; i++) std::memcpy(out + i * out_row, &sum[i], sizeof(Lanes));
}

// Adds a [rows, n] times b [n, columns] to out; the columns are whole lanes.
EACH_PROCESSOR void add_product(Matrix a, Matrix b, int64_t rows, int64_t n, int64_t columns, float* out, int64_t out_row) {
  for (int64_t i = 0; i < rows; i += 8) {
    const Matrix from{a.at + i * a.row, a.row, a.column};
    const int64_t left = rows - i;
    for (int64_t c = 0; c < columns; c += LANES) {
      const Matrix lanes{b.at + c, b.row, 1};
      float* to = out + i * out_row + c;
      switch (std::min<int64_t>(left, 8)) {
        case 8: add_tile<8>(from, lanes, n, to, out_row); break;
        case 7: add_tile<7>(from, lanes, n, to, out_row); break;
        case 6: add_tile<6>(from, lanes, n, to, out_row); break;
        case 5: add_tile<5>(from, lanes, n, to, out_row); break;
        case 4: add_tile<4>(from, lanes, n, to, out_row); break;
        case 3: add_tile<3>(from, lanes, n, to, out_row); break;
        case 2: add_tile<2>(from, lanes, n, to, out_row); break;
        default: add_tile<1>(from, lanes, n, to, out_row);
      }
    }
  }
}

// Of each column of s [n, columns]: the most of it and what it was.
EACH_PROCESSOR void find_most(const float* s, int64_t n, int64_t columns, float* most) {
  for (int64_t t = 0; t < n; t++, s += columns) {
#pragma omp simd
    for (int64_t m = 0; m < columns; m++) most[m] = s[m] > most[m] ? s[m] : most[m];
  }
}

// s := e^(s - most); the sums of its columns are added.
EACH_PROCESSOR void weigh(float* s, int64_t n, int64_t columns, const float* most, float* sum) {
  for (int64_t t = 0; t < n; t++, s += columns) {
#pragma omp simd
    for (int64_t m = 0; m < columns; m++) {
      s[m] = exponential(s[m] - most[m]);
      sum[m] += s[m];
    }
  }
}

// s := cap · tanh(s / cap).
EACH_PROCESSOR void soften(float* s, int64_t n, float cap) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) s[i] = cap - 2.0f * cap / (1.0f + exponential(2.0f / cap * s[i]));
}

// Keys and values [rows, G, length, D] of one lot.
struct Lot {
  const float *keys, *values;
  int64_t heads, length, size;

  Lot(const Tensor& k, const Tensor& v)
      : keys(k.const_data_ptr<float>()), values(v.const_data_ptr<float>()), heads(k.size(1)), length(k.size(2)), size(k.size(3)) {}

  // The keys, or the values, of one head of a row from a token on.
  Matrix of(const float* all, int64_t row, int64_t head, int64_t token) const {
    return {all + ((row * heads + head) * length + token) * size, size, 1};
  }
};

// What all places share.
struct Step {
  const float* q;  // [R, H, D]
  Lot prompts, responses;
  const int64_t *lengths, *slots, *tokens;  // of the prompts; of the rows
  int64_t heads;                            // query heads of a key head
  float scale, cap;
  int64_t window;
  float* out;  // [R, H, D]
};

// Adds the values [n, D] by their weights [n, m], which lie in rows of `width`, to out [m, whole lanes of D].
void add_values(const float* weights, int64_t width, Matrix values, int64_t n, int64_t m, int64_t size, float* out,
                std::vector<float>& padded) {
  const int64_t lanes = whole_lanes(size);
  if (lanes != size) {  // rows of values that are no whole lanes would be read past their end
    padded.assign(PART * lanes, 0.0f);
  }
  for (int64_t t = 0; t < n; t += PART) {
    const int64_t part = std::min(PART, n - t);
    Matrix b{values.at + t * values.row, values.row, 1};
    if (lanes != size) {
      for (int64_t i = 0; i < part; i++) std::copy_n(b.at + i * b.row, size, &padded[i * lanes]);
      b = {padded.data(), lanes, 1};
    }
    add_product({weights + t * width, 1, width}, b, m, part, lanes, out, lanes);
  }
}

// The rows from..to, which are those of one place, by one key head.
void attend_place(const Step& step, int64_t place, int64_t head, int64_t from, int64_t to) {
  const int64_t size = step.prompts.size, heads = step.heads, all = step.prompts.heads * heads;
  const int64_t queries = (to - from) * heads, width = whole_lanes(queries), own = whole_lanes(heads), lanes = whole_lanes(size);
  const int64_t length = step.lengths[place];
  // The first position that a row sees.
  const auto first = [&](int64_t row) { return step.window > 0 ? std::max<int64_t>(0, length + step.tokens[row] - step.window) : 0; };
  int64_t begin = length, longest = 0;
  for (int64_t r = from; r < to; r++) {
    begin = std::min(begin, first(r));
    longest = std::max(longest, step.tokens[r]);
  }
  const int64_t shared = length - begin;

  // Queries below each other in columns, so that a key is one number for all of them; the lanes after the last row's are zero.
  std::vector<float> q(size * (width + own), 0.0f);
  const int64_t stride = width + own;
  for (int64_t i = 0; i < queries; i++) {
    const float* row = step.q + ((from + i / heads) * all + head * heads + i % heads) * size;
    for (int64_t d = 0; d < size; d++) q[d * stride + i] = row[d] * step.scale;
  }
  std::vector<float> scores(shared * width, 0.0f), most(width + own, LEAST), sum(width, 0.0f);
  const Matrix keys = step.prompts.of(step.prompts.keys, place, head, begin);
  add_product(keys, {q.data(), stride, 1}, shared, size, width, scores.data(), width);
  if (step.cap > 0) soften(scores.data(), shared * width, step.cap);
  for (int64_t r = from; r < to; r++) {
    for (int64_t t = begin; t < std::min(first(r), length); t++) {
      std::fill_n(&scores[(t - begin) * width + (r - from) * heads], heads, LEAST);
    }
  }
  find_most(scores.data(), shared, width, most.data());

  // Each row over its own tokens, its heads in the first of the lanes; what the others hold is not looked at.
  std::vector<float> owns((to - from) * longest * own, 0.0f);
  for (int64_t r = from; r < to; r++) {
    const int64_t hidden = std::max<int64_t>(0, first(r) - length), n = step.tokens[r] - hidden, i = (r - from) * heads;
    float* s = &owns[(r - from) * longest * own];
    add_product(step.responses.of(step.responses.keys, step.slots[r], head, hidden), {&q[i], stride, 1}, n, size, own, s, own);
    if (step.cap > 0) soften(s, n * own, step.cap);
    std::vector<float> highest(most.begin() + i, most.begin() + i + own);
    find_most(s, n, own, highest.data());
    std::copy_n(highest.begin(), heads, most.begin() + i);
  }
  weigh(scores.data(), shared, width, most.data(), sum.data());

  std::vector<float> out(queries * lanes, 0.0f), padded;
  add_values(scores.data(), width, step.prompts.of(step.prompts.values, place, head, begin), shared, queries, size, out.data(), padded);
  for (int64_t r = from; r < to; r++) {
    const int64_t hidden = std::max<int64_t>(0, first(r) - length), n = step.tokens[r] - hidden, i = (r - from) * heads;
    float* s = &owns[(r - from) * longest * own];
    std::vector<float> of_own(own, 0.0f);
    weigh(s, n, own, &most[i], of_own.data());
    for (int64_t h = 0; h < heads; h++) sum[i + h] += of_own[h];
    add_values(s, own, step.responses.of(step.responses.values, step.slots[r], head, hidden), n, heads, size, &out[i * lanes], padded);
  }
  for (int64_t i = 0; i < queries; i++) {
    float* row = step.out + ((from + i / heads) * all + head * heads + i % heads) * size;
    for (int64_t d = 0; d < size; d++) row[d] = out[i * lanes + d] / sum[i];
  }
}

}  // namespace

extern "C" {

// `kv` holds keys and values of the prompts, then of the responses.
int udasa_attend_growing(Tensor** out, const Tensor* q, const Tensor* const* kv, const int64_t* lengths, const int64_t* slots,
                         const int64_t* tokens, int64_t in_place, double scale, double cap, int64_t window, char* error, size_t length) {
  return guarded(error, length, [&] {
    const Lot prompts(*kv[0], *kv[1]), responses(*kv[2], *kv[3]);
    auto made = at::empty_like(*q);
    const int64_t rows = q->size(0), heads = q->size(1) / prompts.heads;
    const Step step{q->const_data_ptr<float>(), prompts, responses, lengths, slots, tokens, heads,
                    static_cast<float>(scale), static_cast<float>(cap), window, made.mutable_data_ptr<float>()};
    // Where the rows of each place begin, and the most that one of them sees.
    std::vector<int64_t> begins;
    int64_t longest = 0;
    for (int64_t r = 0; r < rows; r++) {
      longest = std::max(longest, lengths[slots[r] / in_place] + tokens[r]);
      if (r == 0 || slots[r] / in_place != slots[r - 1] / in_place) begins.push_back(r);
    }
    begins.push_back(rows);
    const int64_t places = static_cast<int64_t>(begins.size()) - 1;
    in_parallel(places * prompts.heads, longest * prompts.size, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; i++) {
        const int64_t first = begins[i / prompts.heads];
        attend_place(step, slots[first] / in_place, i % prompts.heads, first, begins[i / prompts.heads + 1]);
      }
    });
    *out = new Tensor(std::move(made));
  });
}
}
