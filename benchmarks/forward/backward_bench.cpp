// Gradients of the parts of a block, next to what the forward pass takes for the same shapes. Items are floating-point
// operations for attention, bytes read and written for the rest.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "forward/activation.h"
#include "forward/activation_backward.h"
#include "forward/attention.h"
#include "forward/attention_backward.h"
#include "forward/norm.h"
#include "forward/norm_backward.h"
#include "lcomp/core/rng.h"

namespace {

using lcomp::Matrix;

Matrix random_matrix(std::size_t rows, std::size_t cols) {
  lcomp::Rng rng(rows * 31 + cols);
  Matrix values(rows, cols);
  for (float& v : values.span()) v = static_cast<float>(rng.uniform(-1, 1));
  return values;
}

constexpr std::size_t heads = 9, kv_heads = 3, head_dim = 64;  // SmolLM2-135M

// range(0) sequences of range(1) tokens; range(2): with a soft cap.
void attention(benchmark::State& state, bool backward) {
  const auto sequences = static_cast<std::size_t>(state.range(0)), length = static_cast<std::size_t>(state.range(1));
  const std::size_t tokens = sequences * length;
  lcomp::AttentionShape shape;
  shape.num_heads = heads;
  shape.num_key_value_heads = kv_heads;
  shape.head_dim = head_dim;
  shape.scale = 0.125f;
  shape.softcap = state.range(2) == 0 ? 0.0f : 50.0f;
  const Matrix q = random_matrix(tokens, heads * head_dim), k = random_matrix(tokens, kv_heads * head_dim),
               v = random_matrix(tokens, kv_heads * head_dim), out_gradient = random_matrix(tokens, heads * head_dim);
  std::vector<lcomp::KeyValueCache> caches(sequences);
  std::vector<lcomp::AttentionSpan> spans;
  std::vector<lcomp::AttentionSequence> whole;
  for (std::size_t s = 0; s < sequences; ++s) {
    caches[s] = lcomp::KeyValueCache(kv_heads, head_dim);
    caches[s].append(k.view().rows_range(s * length, length), v.view().rows_range(s * length, length));
    spans.push_back({s * length, length, 0, &caches[s]});
    whole.push_back({s * length, length});
  }
  Matrix out(tokens, heads * head_dim), dq(tokens, heads * head_dim), dk(tokens, kv_heads * head_dim),
      dv(tokens, kv_heads * head_dim);
  lcomp::AttentionScratch scratch;
  lcomp::AttentionBackwardScratch backward_scratch;
  lcomp::attention(shape, spans, q.view(), out.view(), scratch);
  for (auto unused : state) {
    (void)unused;
    if (backward) {
      lcomp::attention_backward(shape, whole, q.view(), k.view(), v.view(), out.view(), out_gradient.view(), dq.view(),
                                dk.view(), dv.view(), backward_scratch);
    } else {
      lcomp::attention(shape, spans, q.view(), out.view(), scratch);
    }
    benchmark::DoNotOptimize(dq.data());
  }
  // Multiplications and additions of the scores that causality leaves, in two products or five.
  const std::size_t products = backward ? 5 : 2;
  state.SetItemsProcessed(
      state.iterations() *
      static_cast<std::int64_t>(sequences * heads * (length * (length + 1) / 2) * head_dim * 2 * products));
}
void attention_shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"sequences", "length", "softcap"})->Unit(benchmark::kMicrosecond)->UseRealTime();
  for (const std::int64_t length : {64, 512, 2048}) benchmark->Args({4096 / length / 2, length, 0});
  benchmark->Args({4, 512, 1});
}
BENCHMARK_CAPTURE(attention, forward, false)->Apply(attention_shapes);
BENCHMARK_CAPTURE(attention, backward, true)->Apply(attention_shapes);

void gated_silu(benchmark::State& state, bool backward) {
  constexpr std::size_t rows = 512, width = 1536;
  const Matrix gate_up = random_matrix(rows, 2 * width), out_gradient = random_matrix(rows, width);
  Matrix out(rows, width), gradient(rows, 2 * width);
  for (auto unused : state) {
    (void)unused;
    if (backward) {
      lcomp::gated_activation_backward(lcomp::Activation::silu, gate_up.view(), out_gradient.view(), gradient.view());
    } else {
      lcomp::gated_activation(lcomp::Activation::silu, gate_up.view(), out.view());
    }
    benchmark::DoNotOptimize(gradient.data());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(4 * rows * width * (backward ? 5 : 3)));
}
BENCHMARK_CAPTURE(gated_silu, forward, false)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(gated_silu, backward, true)->Unit(benchmark::kMicrosecond)->UseRealTime();

void rms_norm(benchmark::State& state, bool backward) {
  constexpr std::size_t rows = 2048, width = 576;
  const Matrix in = random_matrix(rows, width), out_gradient = random_matrix(rows, width);
  Matrix out(rows, width);
  lcomp::NormWeights weights;
  weights.gain = lcomp::AlignedBuffer<float>(width);
  std::fill_n(weights.gain.data(), width, 1.5f);
  std::vector<double> gain_gradient(width);
  for (auto unused : state) {
    (void)unused;
    if (backward) {
      lcomp::normalize_backward(lcomp::NormKind::rms, 1e-5, weights, in.view(), out_gradient.view(), out.view(),
                                gain_gradient, {});
    } else {
      lcomp::normalize(lcomp::NormKind::rms, 1e-5, weights, in.view(), out.view());
    }
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(4 * rows * width * (backward ? 3 : 2)));
}
BENCHMARK_CAPTURE(rms_norm, forward, false)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(rms_norm, backward, true)->Unit(benchmark::kMicrosecond)->UseRealTime();

// What moving as many bytes takes.
void copy(benchmark::State& state) {
  const Matrix in = random_matrix(2048, 576);
  Matrix out(2048, 576);
  for (auto unused : state) {
    (void)unused;
    std::memcpy(out.data(), in.data(), in.size() * sizeof(float));
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(8 * in.size()));
}
BENCHMARK(copy)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
