// Counting the values of a linear's input into bins. Items are values.
#include <benchmark/benchmark.h>

#include <cmath>

#include "lcomp/core/rng.h"
#include "lcomp/quantizers/cost/input_histogram.h"

namespace {

lcomp::Matrix inputs(std::size_t tokens, std::size_t features) {
  lcomp::Rng rng(3);
  lcomp::Matrix values(tokens, features);
  for (float& v : values.span()) v = static_cast<float>(rng.normal() * std::exp(rng.normal()));
  return values;
}

void histogram(benchmark::State& state) {
  const lcomp::Matrix x = inputs(2048, static_cast<std::size_t>(state.range(0)));
  lcomp::InputHistogram sums;
  for (auto unused : state) {
    (void)unused;
    sums.add(x.view());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(x.size()));
}
BENCHMARK(histogram)->Arg(576)->Arg(4096)->UseRealTime();

}  // namespace
