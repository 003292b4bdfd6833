// Products of 8-bit activations and stored integer weights, rounding of the activations included, beside the same
// products in float32 (oneDNN, as the decoder computes them). Items are multiplications.
#include <benchmark/benchmark.h>

#include "forward/linear.h"
#include "kernels/integer_product.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/grouped_integer.h"

namespace {

using lcomp::Matrix;

Matrix random_matrix(std::size_t rows, std::size_t cols) {
  lcomp::Rng rng(rows * 31 + cols);
  Matrix values(rows, cols);
  for (float& v : values.span()) v = static_cast<float>(rng.uniform(-1, 1));
  return values;
}

lcomp::GroupedIntegerWeight random_weight(std::size_t rows, std::size_t cols, int bits, std::size_t group_size,
                                          bool symmetric) {
  lcomp::GroupedIntegerLayout layout;
  layout.rows = rows;
  layout.cols = cols;
  layout.bits = bits;
  layout.symmetric = symmetric;
  layout.group_size = group_size == 0 ? cols : group_size;
  auto weight = lcomp::make_grouped_integer(layout, "benchmark");
  lcomp::Rng rng(7);
  for (auto& byte : weight.codes) byte = static_cast<std::uint8_t>(rng.below(256));
  for (auto& byte : weight.zeros) byte = static_cast<std::uint8_t>(rng.below(256));
  for (std::size_t i = 0; i < weight.scales.size(); i += 2) weight.scales[i + 1] = 0x20;  // 2^-7
  return weight;
}

struct Shape {
  explicit Shape(const benchmark::State& state)
      : tokens(static_cast<std::size_t>(state.range(0))),
        in(static_cast<std::size_t>(state.range(1))),
        out(static_cast<std::size_t>(state.range(2))) {}
  std::size_t tokens, in, out;
};

void count(benchmark::State& state, const Shape& s) {
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(s.tokens * s.in * s.out));
}

void float32(benchmark::State& state) {
  const Shape s(state);
  const Matrix x = random_matrix(s.tokens, s.in);
  lcomp::MatrixMultiplier multiplier(lcomp::ComputeType::float32);
  lcomp::LinearWeight weight;
  multiplier.pack(random_matrix(s.out, s.in).view(), {}, weight);
  Matrix y(s.tokens, s.out);
  for (auto unused : state) {
    (void)unused;
    multiplier.multiply(x.view(), weight, y.view());
  }
  count(state, s);
}

void integer(benchmark::State& state, lcomp::IntegerTileFunction tile_function, int bits, std::size_t group_size,
             bool symmetric_weight, bool symmetric) {
  const Shape s(state);
  if (tile_function == lcomp::multiply_tile_vnni && !lcomp::vnni_supported()) {
    state.SkipWithError("no AVX512-VNNI");
    return;
  }
  const Matrix x = random_matrix(s.tokens, s.in);
  const auto stored = random_weight(s.out, s.in, bits, group_size, symmetric_weight);
  lcomp::IntegerWeight weight;
  weight.pack(lcomp::view(stored), 0, s.out, "benchmark");
  lcomp::QuantizedRows codes;
  Matrix y(s.tokens, s.out);
  const lcomp::IntegerProduct multiply{tile_function};
  for (auto unused : state) {
    (void)unused;
    lcomp::quantize_rows(x.view(), symmetric, codes);
    multiply(codes, weight, {}, y.view());
  }
  count(state, s);
}

void round_rows(benchmark::State& state) {
  const Shape s(state);
  const Matrix x = random_matrix(s.tokens, s.in);
  lcomp::QuantizedRows codes;
  for (auto unused : state) {
    (void)unused;
    lcomp::quantize_rows(x.view(), true, codes);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(s.tokens * s.in));
}

void pack(benchmark::State& state) {
  const Shape s(state);
  const auto stored = random_weight(s.out, s.in, 4, 64, false);
  lcomp::IntegerWeight weight;
  for (auto unused : state) {
    (void)unused;
    weight.pack(lcomp::view(stored), 0, s.out, "benchmark");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(s.in * s.out));
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"tokens", "in", "out"});
  for (const int tokens : {1, 512}) {
    b->Args({tokens, 576, 1536})->Args({tokens, 1536, 576})->Args({tokens, 4096, 4096});
  }
  b->UseRealTime()->Unit(benchmark::kMicrosecond);
}

const auto vnni = lcomp::multiply_tile_vnni;
const auto portable = lcomp::multiply_tile;
BENCHMARK(float32)->Apply(shapes);
BENCHMARK_CAPTURE(integer, vnni_w8_channel, vnni, 8, 0, true, true)->Apply(shapes);
BENCHMARK_CAPTURE(integer, vnni_w4_g128, vnni, 4, 128, false, true)->Apply(shapes);
BENCHMARK_CAPTURE(integer, vnni_w4_g64, vnni, 4, 64, false, true)->Apply(shapes);
BENCHMARK_CAPTURE(integer, vnni_w4_g32, vnni, 4, 32, false, true)->Apply(shapes);
BENCHMARK_CAPTURE(integer, vnni_w8_asym_g64_asym, vnni, 8, 64, false, false)->Apply(shapes);
BENCHMARK_CAPTURE(integer, portable_w8_channel, portable, 8, 0, true, true)->Apply(shapes);
BENCHMARK_CAPTURE(integer, portable_w4_g64, portable, 4, 64, false, true)->Apply(shapes);
BENCHMARK(round_rows)->Apply(shapes);
BENCHMARK(pack)->ArgNames({"tokens", "in", "out"})->Args({1, 576, 1536})->Args({1, 4096, 4096})->UseRealTime();

}  // namespace
