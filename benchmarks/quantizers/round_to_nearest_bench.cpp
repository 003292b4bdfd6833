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
  const auto quantizer = make_quantizer(name, "test");
  for (auto _ : state) benchmark::DoNotOptimize(quantizer->quantize(weight.view(), {}, "w"));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(weight.size()));
}

#define LCOMP_BENCHMARK_QUANTIZER(name) BENCHMARK_CAPTURE(quantize, name, name)->UseRealTime()
LCOMP_BENCHMARK_QUANTIZER("f16");
LCOMP_BENCHMARK_QUANTIZER("rtn:bits=4,group=64,asym");
LCOMP_BENCHMARK_QUANTIZER("rtn:bits=3,group=64,asym");
LCOMP_BENCHMARK_QUANTIZER("rtn:bits=4,group=channel,sym");
LCOMP_BENCHMARK_QUANTIZER("rtn:bits=4,group=64,asym,scales=u8");
LCOMP_BENCHMARK_QUANTIZER("rtn:bits=4,group=64,asym,grid=mse");
LCOMP_BENCHMARK_QUANTIZER("rtn:bits=4,group=channel,sym,grid=mse");
LCOMP_BENCHMARK_QUANTIZER("rtn:bits=4,group=64,asym,grid=mse,scales=u8");

}  // namespace
}  // namespace lcomp
