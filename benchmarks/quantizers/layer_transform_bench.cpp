#include <benchmark/benchmark.h>

#include <cstring>

#include "lcomp/core/rng.h"
#include "lcomp/quantizers/transforms/layer_transform.h"

// Entries of a Hessian per second on all threads.
namespace lcomp {
namespace {

Matrix random_matrix(std::size_t n) {
  Matrix matrix(n, n);
  Rng rng(1);
  for (float& x : matrix.span()) x = static_cast<float>(rng.normal());
  return matrix;
}

void report(benchmark::State& state) { state.SetItemsProcessed(state.iterations() * state.range(0) * state.range(0)); }

void copy_hessian(benchmark::State& state) {
  const Matrix hessian = random_matrix(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(hessian.clone());
  report(state);
}
BENCHMARK(copy_hessian)->UseRealTime()->Arg(576)->Arg(1536)->Arg(4096);

void rotate_hessian(benchmark::State& state) {
  const Matrix hessian = random_matrix(static_cast<std::size_t>(state.range(0)));
  RotationOptions options;
  options.paley = state.range(1) != 0;
  const LayerTransform rotation = make_rotation(options, hessian.rows(), hessian.cols());
  for (auto _ : state) benchmark::DoNotOptimize(transform_hessian(hessian.view(), rotation));
  report(state);
}
BENCHMARK(rotate_hessian)
    ->UseRealTime()
    ->ArgNames({"n", "paley"})
    ->Args({576, 0})
    ->Args({576, 1})
    ->Args({1536, 0})
    ->Args({1536, 1})
    ->Args({4096, 0});

}  // namespace
}  // namespace lcomp
