#include <benchmark/benchmark.h>

#include <cstring>

#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/banded_integer.h"
#include "lcomp/formats/codebook.h"
#include "lcomp/formats/dense.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/formats/logarithmic.h"
#include "lcomp/formats/transformed_weight.h"

// Weights per second on one thread, for a block of rows that stays in the cache (what the streaming decoder does to a
// layer at a time is mostly larger: then memory decides). The baseline copies as many float32 values.
namespace lcomp {
namespace {

constexpr std::size_t kRows = 64;
constexpr std::size_t kCols = 1536;

void report(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRows * kCols));
}

void copy_floats(benchmark::State& state) {
  Matrix from(kRows, kCols);
  Matrix to(kRows, kCols);
  from.fill(1);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), to.size() * sizeof(float));
    benchmark::DoNotOptimize(to.data());
    benchmark::ClobberMemory();
  }
  report(state);
}
BENCHMARK(copy_floats);

void decode_all(benchmark::State& state, const CompressedWeight& weight) {
  Matrix out(kRows, kCols);
  for (auto _ : state) {
    decode_rows(view(weight), 0, kRows, out.span());
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  report(state);
}

void decode_f16(benchmark::State& state) {
  Matrix weight(kRows, kCols);
  weight.fill(0.25f);
  decode_all(state, encode_dense(weight.view(), DenseType::f16, "w"));
}
BENCHMARK(decode_f16);

void decode_grouped(benchmark::State& state) {
  GroupedIntegerLayout layout;
  layout.rows = kRows;
  layout.cols = kCols;
  layout.bits = static_cast<int>(state.range(0));
  layout.group_size = static_cast<std::size_t>(state.range(1));
  layout.symmetric = false;
  GroupedIntegerWeight weight = make_grouped_integer(layout, "w");
  Rng rng(1);
  for (auto& byte : weight.codes) byte = static_cast<std::uint8_t>(rng.below(256));
  decode_all(state, weight);
}
BENCHMARK(decode_grouped)
    ->ArgNames({"bits", "group"})
    ->ArgsProduct({{1, 2, 3, 4, 5, 6, 7, 8}, {64}})
    ->Args({4, 32})
    ->Args({4, 16})
    ->Args({4, 20})
    ->Args({4, kCols});

void fill_codes(std::vector<std::uint8_t>& codes) {
  Rng rng(1);
  for (auto& byte : codes) byte = static_cast<std::uint8_t>(rng.below(256));
}

void decode_logarithmic(benchmark::State& state) {
  LogarithmicLayout layout;
  layout.rows = kRows;
  layout.cols = kCols;
  layout.bits = static_cast<int>(state.range(0));
  layout.group_size = static_cast<std::size_t>(state.range(1));
  LogarithmicWeight weight = make_logarithmic(layout, "w");
  set_base(weight, 2);
  fill_codes(weight.codes);
  decode_all(state, weight);
}
BENCHMARK(decode_logarithmic)->ArgNames({"bits", "group"})->Args({3, 64})->Args({4, 64})->Args({8, 64});

void decode_codebook(benchmark::State& state) {
  CodebookLayout layout;
  layout.rows = kRows;
  layout.cols = kCols;
  layout.bits = static_cast<int>(state.range(0));
  layout.group_size = static_cast<std::size_t>(state.range(1));
  CodebookWeight weight = make_codebook(layout, "w");
  fill_codes(weight.codes);
  decode_all(state, weight);
}
BENCHMARK(decode_codebook)->ArgNames({"bits", "group"})->Args({3, kCols})->Args({4, kCols})->Args({4, 64});

// Bands of all widths from `bits` down, on the average half as many.
void decode_banded(benchmark::State& state) {
  std::vector<std::uint8_t> bits(band_count(kCols));
  for (std::size_t b = 0; b < bits.size(); ++b) {
    bits[b] = static_cast<std::uint8_t>(static_cast<std::size_t>(state.range(0)) * (bits.size() - b) / bits.size());
  }
  BandedIntegerWeight weight = make_banded_integer(kRows, kCols, false, bits, "w");
  fill_codes(weight.codes);
  decode_all(state, weight);
}
BENCHMARK(decode_banded)->ArgName("bits")->Arg(4)->Arg(8);

// Blocks of inputs and outputs; 0: not rotated.
void decode_rotated(benchmark::State& state) {
  GroupedIntegerLayout layout;
  layout.rows = kRows;
  layout.cols = kCols;
  layout.group_size = 64;
  TransformedWeight weight;
  weight.rows = kRows;
  weight.cols = kCols;
  weight.transform.input_block = static_cast<std::size_t>(state.range(0));
  weight.transform.output_block = static_cast<std::size_t>(state.range(1));
  weight.base = make_grouped_integer(layout, "w");
  if (weight.transform.input_block > 0) weight.input_signs.resize(kCols / 8);
  if (weight.transform.output_block > 0) weight.output_signs.resize(kRows / 8);
  decode_all(state, weight);
}
BENCHMARK(decode_rotated)->ArgNames({"inputs", "outputs"})->Args({64, 0})->Args({0, 64})->Args({64, 64});

void pack_rows(benchmark::State& state) {
  GroupedIntegerLayout layout;
  layout.rows = kRows;
  layout.cols = kCols;
  layout.bits = static_cast<int>(state.range(0));
  layout.group_size = kCols;
  GroupedIntegerWeight weight = make_grouped_integer(layout, "w");
  const std::vector<std::uint8_t> codes(kCols, 1);
  for (auto _ : state) {
    for (std::size_t i = 0; i < kRows; ++i) pack_row(weight, i, codes);
    benchmark::DoNotOptimize(weight.codes.data());
  }
  report(state);
}
BENCHMARK(pack_rows)->ArgName("bits")->Arg(3)->Arg(4);

}  // namespace
}  // namespace lcomp
