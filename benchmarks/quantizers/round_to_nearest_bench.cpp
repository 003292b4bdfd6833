#include <benchmark/benchmark.h>

#include <cstring>

#include "lcomp/core/rng.h"
#include "lcomp/quantizers/quantizer_table.h"

// Weights per second on all threads, every quantizer in one table; "f16" is the baseline that only converts.
namespace lcomp {
namespace {

void quantize(benchmark::State& state, const char* name) {
  Matrix weight(1536, 576);
  Rng rng(1);
  for (float& w : weight.span()) w = static_cast<float>(0.02 * rng.normal());
  const auto quantizer = make_quantizer_from_name(name);
  for (auto _ : state) benchmark::DoNotOptimize(quantizer->quantize(weight.view(), {}, "w"));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(weight.size()));
}

#define LCOMP_BENCHMARK_QUANTIZER(name) BENCHMARK_CAPTURE(quantize, name, name)->UseRealTime()
LCOMP_BENCHMARK_QUANTIZER("f16");
LCOMP_BENCHMARK_QUANTIZER("rtn-asym-b4-g64");
LCOMP_BENCHMARK_QUANTIZER("rtn-asym-b3-g64");
LCOMP_BENCHMARK_QUANTIZER("rtn-sym-b4-channel");
LCOMP_BENCHMARK_QUANTIZER("rtn-asym-b4-g64-u8");
LCOMP_BENCHMARK_QUANTIZER("rtn-asym-b4-g64-mse");
LCOMP_BENCHMARK_QUANTIZER("rtn-sym-b4-channel-mse");
LCOMP_BENCHMARK_QUANTIZER("rtn-asym-b4-g64-mse-u8");

}  // namespace
}  // namespace lcomp
