// How our loops become vectors and threads.

#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

// Compiled once for each generation of processors; the loader takes the best. (An `arch=` by a processor's name would be taken on that very
// processor alone.)
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
// Which GCC knows as levels from 12 on.
#if __GNUC__ >= 12
#define EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#else
#define EACH_PROCESSOR
#endif
// Else a function of its own, for the least of processors.
#define ALWAYS inline __attribute__((always_inline))

// Numbers that a thread is worth waking for.
constexpr int64_t GRAIN = 1 << 15;

// Calls `work(from, to)` for parts of `rows` rows of `width` numbers.
template <typename F>
inline void in_parallel(int64_t rows, int64_t width, F work) {
  at::parallel_for(0, rows, std::max<int64_t>(1, GRAIN / std::max<int64_t>(1, width)), work);
}

// e^x, within 2 ulp where x is in [-87, 88]; at the ends of that outside of it. Written so that compilers make vectors of it.
ALWAYS float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  constexpr float rounder = 12582912.0f;  // 1.5 · 2²³: what is added to it is rounded to a whole number
  const float n = (x * 1.44269504f + rounder) - rounder;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  return p * __builtin_bit_cast(float, bits);
}
