#include <benchmark/benchmark.h>
#include <hwy/highway.h>
#include <zstd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "lcomp/core/matrix.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/rate_coded.h"

// Weights per second on one thread, and bits per weight, of codes of about 1 to 6 bits; next to them memcpy of as many
// float32 values, and zstd on the same codes, a byte each. Decoding by AVX2 stands beside decoding by the best
// instructions of the machine.
namespace lcomp {
namespace {

constexpr std::size_t kRows = 576;
constexpr std::size_t kCols = 1536;

// Codes of Gaussian weights, rows and columns of different magnitude, of 2^bits / 4.13 levels: an entropy of about
// `bits`. With a trellis the codes stand for levels twice as far apart.
RateCodedCodes codes_of(double bits, int trellis_memory = 0) {
  Rng rng(1);
  RateCodedCodes codes;
  codes.rows = kRows;
  codes.cols = kCols;
  codes.trellis_memory = trellis_memory;
  codes.row_steps.assign(kRows, 3);
  codes.col_steps.assign(kCols, 5);
  std::vector<double> col_scale(kCols);
  for (double& scale : col_scale) scale = std::exp2(0.4 * rng.normal());
  for (std::size_t i = 0; i < kRows; ++i) {
    const double row_scale = std::exp2(bits + 0.3 * rng.normal()) / 4.13;
    for (std::size_t j = 0; j < kCols; ++j) {
      codes.codes.push_back(static_cast<std::int32_t>(
          std::clamp(std::nearbyint(row_scale * col_scale[j] * rng.normal()), -127.0, 127.0)));
    }
  }
  return codes;
}

void report(benchmark::State& state, std::size_t bytes) {
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRows * kCols));
  state.counters["bits"] = 8 * static_cast<double>(bytes) / (kRows * kCols);
}

void copy_weights(benchmark::State& state) {
  Matrix from(kRows, kCols);
  Matrix to(kRows, kCols);
  from.fill(1);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), to.size() * sizeof(float));
    benchmark::DoNotOptimize(to.data());
    benchmark::ClobberMemory();
  }
  report(state, to.size() * sizeof(float));
}
BENCHMARK(copy_weights);

// While it lives, kernels use AVX2 and nothing newer.
class OnlyAvx2 {
 public:
  OnlyAvx2() {
    hwy::SetSupportedTargetsForTest(HWY_AVX2);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  ~OnlyAvx2() {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().DeInit();
  }
  OnlyAvx2(const OnlyAvx2&) = delete;
  OnlyAvx2& operator=(const OnlyAvx2&) = delete;
};

void decode_rate_coded(benchmark::State& state) {
  std::optional<OnlyAvx2> only_avx2;
  if (state.range(2) != 0) {
    if ((hwy::SupportedTargets() & HWY_AVX2) == 0) return state.SkipWithError("no AVX2 here");
    only_avx2.emplace();
  }
  const RateCodedWeight weight =
      encode_rate_coded(codes_of(static_cast<double>(state.range(0)), static_cast<int>(state.range(1))), "w");
  Matrix out(kRows, kCols);
  for (auto _ : state) {
    decode_rows(view(weight), 0, kRows, out.span());
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  report(state, weight.code_bytes + weight.blocks.size() + weight.side_bytes);
}
BENCHMARK(decode_rate_coded)
    ->ArgNames({"bits", "trellis", "only_avx2"})
    ->ArgsProduct({{1, 2, 3, 4, 5, 6}, {0, 3}, {0, 1}});

// Single rows of a matrix, as of an embedding for a text: items are weights of the rows that were asked for.
void decode_row(benchmark::State& state) {
  const RateCodedWeight weight = encode_rate_coded(codes_of(3, 3), "w");
  RateCodedView stored = view(weight);
  keep_side(stored, "w");  // as opening a file does
  std::vector<float> out(kCols);
  std::size_t row = 0;
  for (auto _ : state) {
    decode_rows(stored, row, 1, out);
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
    row = (row + 101) % kRows;
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kCols));
}
BENCHMARK(decode_row);

void encode_rate_coded(benchmark::State& state) {
  const RateCodedCodes codes = codes_of(static_cast<double>(state.range(0)), static_cast<int>(state.range(1)));
  const std::size_t threads = thread_count();
  set_thread_count(1);
  std::size_t bytes = 0;
  for (auto _ : state) bytes = encode_rate_coded(codes, "w").code_bytes;
  set_thread_count(threads);
  report(state, bytes);
}
BENCHMARK(encode_rate_coded)->ArgNames({"bits", "trellis"})->ArgsProduct({{1, 2, 3, 4, 5, 6}, {0, 3}});

std::vector<char> as_bytes(const RateCodedCodes& codes) { return {codes.codes.begin(), codes.codes.end()}; }

std::vector<char> zstd_compressed(const std::vector<char>& bytes, int level) {
  std::vector<char> out(ZSTD_compressBound(bytes.size()));
  out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), level));
  return out;
}

void decompress_zstd(benchmark::State& state) {
  const std::vector<char> bytes = as_bytes(codes_of(static_cast<double>(state.range(0))));
  const std::vector<char> compressed = zstd_compressed(bytes, 3);
  std::vector<char> out(bytes.size());
  for (auto _ : state) {
    benchmark::DoNotOptimize(ZSTD_decompress(out.data(), out.size(), compressed.data(), compressed.size()));
    benchmark::ClobberMemory();
  }
  report(state, compressed.size());
}
BENCHMARK(decompress_zstd)->ArgName("bits")->Arg(2)->Arg(3)->Arg(4);

void compress_zstd(benchmark::State& state) {
  const std::vector<char> bytes = as_bytes(codes_of(static_cast<double>(state.range(0))));
  std::size_t size = 0;
  for (auto _ : state) size = zstd_compressed(bytes, 3).size();
  report(state, size);
}
BENCHMARK(compress_zstd)->ArgName("bits")->Arg(2)->Arg(3)->Arg(4);

}  // namespace
}  // namespace lcomp
