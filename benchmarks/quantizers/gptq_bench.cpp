#include "quantizers/feedback/gptq.h"

#include <benchmark/benchmark.h>

#include <oneapi/dnnl/dnnl.h>
#include <algorithm>
#include <chrono>
#include <vector>

#include "lcomp/core/rng.h"
#include "lcomp/formats/format.h"
#include "lcomp/quantizers/cost/proxy_error.h"
#include "lcomp/quantizers/feedback/hessian_factor.h"

// GPTQ of a layer and its parts, on all threads, next to a matrix product (oneDNN's) of the same size. gptq_per_product
// is the measure that a busy machine spoils least: both are timed in turn, and the median of the ratios is what counts.
// The reference code's way takes 7 n^3 / 3 operations (two factorisations, an inverse, the updates), 7/6 of the
// product's.
namespace lcomp {
namespace {

struct Layer {
  Matrix weight, hessian;
};

Layer make_layer(std::size_t rows, std::size_t n) {
  Rng rng(1);
  Layer layer{Matrix(rows, n), Matrix(n, n)};
  for (float& w : layer.weight.span()) w = static_cast<float>(0.02 * rng.normal());
  Matrix inputs(n, n);
  for (float& x : inputs.span()) x = static_cast<float>(rng.normal());
  const auto size = static_cast<dnnl_dim_t>(n);
  dnnl_sgemm('T', 'N', size, size, size, 2.0f / static_cast<float>(n), inputs.data(), size, inputs.data(), size, 0,
             layer.hessian.data(), size);
  return layer;
}

Layer make_square_layer(std::int64_t n) { return make_layer(static_cast<std::size_t>(n), static_cast<std::size_t>(n)); }

void product(const Layer& layer, Matrix& out) {
  const auto size = static_cast<dnnl_dim_t>(out.rows());
  dnnl_sgemm('N', 'N', size, size, size, 1, layer.weight.data(), size, layer.hessian.data(), size, 0, out.data(), size);
}

GptqOptions options(std::size_t group_size, bool act_order) {
  GptqOptions options;
  options.bits = 4;
  options.granularity.group_size = group_size;
  options.act_order = act_order;
  return options;
}

CompressedWeight gptq(const Layer& layer, const GptqOptions& options) {
  LayerStats stats;
  stats.hessian = layer.hessian.view();
  return GptqQuantizer(options).quantize(layer.weight.view(), stats, "w").weight;
}

void count_operations(benchmark::State& state, double per_iteration) {
  state.counters["operations"] = benchmark::Counter(per_iteration, benchmark::Counter::kIsIterationInvariantRate);
}

double cube(std::int64_t n) { return static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n); }

void matrix_product(benchmark::State& state) {
  const Layer layer = make_square_layer(state.range(0));
  Matrix out(layer.weight.rows(), layer.weight.cols());
  for (auto _ : state) product(layer, out);
  count_operations(state, 2 * cube(state.range(0)));
}

void factor(benchmark::State& state) {
  const Layer layer = make_square_layer(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(factor_hessian(layer.hessian.view(), {0.01, true}, "w"));
  count_operations(state, cube(state.range(0)) / 3);
}

void proxy(benchmark::State& state) {
  const Layer layer = make_square_layer(state.range(0));
  Matrix zeros(layer.weight.rows(), layer.weight.cols());
  zeros.fill(0);
  for (auto _ : state) {
    benchmark::DoNotOptimize(proxy_error(layer.weight.view(), zeros.view(), layer.hessian.view()));
  }
  count_operations(state, cube(state.range(0)));
}

void quantize(benchmark::State& state) {
  const Layer layer = make_layer(static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)));
  const GptqOptions setting = options(static_cast<std::size_t>(state.range(2)), state.range(3) != 0);
  for (auto _ : state) benchmark::DoNotOptimize(gptq(layer, setting));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(layer.weight.size()));
}

void gptq_per_product(benchmark::State& state) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  const Layer layer = make_square_layer(state.range(0));
  Matrix out(layer.weight.rows(), layer.weight.cols());
  std::vector<double> ratios;
  for (auto _ : state) {
    const auto start = Clock::now();
    product(layer, out);
    const auto middle = Clock::now();
    benchmark::DoNotOptimize(gptq(layer, options(128, true)));
    const double time = seconds(Clock::now() - middle);
    ratios.push_back(time / seconds(middle - start));
    state.SetIterationTime(time);
  }
  std::sort(ratios.begin(), ratios.end());
  state.counters["times_product"] = ratios[ratios.size() / 2];
  state.counters["times_reference_operations"] = ratios[ratios.size() / 2] * 6 / 7;
}

BENCHMARK(matrix_product)->Arg(1536)->Arg(4096)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(factor)->Arg(1536)->Arg(4096)->Arg(11008)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(proxy)->Arg(1536)->Arg(4096)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(quantize)
    ->ArgNames({"rows", "cols", "group", "act"})
    ->Args({1536, 1536, 64, 0})
    ->Args({1536, 1536, 64, 1})
    ->Args({4096, 4096, 128, 0})
    ->Args({4096, 4096, 128, 1})
    ->Args({11008, 4096, 128, 1})
    ->Args({4096, 11008, 128, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(gptq_per_product)->Arg(4096)->Iterations(7)->Unit(benchmark::kMillisecond)->UseManualTime();

}  // namespace
}  // namespace lcomp
