// One forward and backward pass of SmolLM2-135M, or the model that LCOMP_SMOLLM2 names, with the gradients of all
// weights, in float32.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <cstdlib>
#include <filesystem>

#include "lcomp/core/rng.h"
#include "lcomp/forward/cost.h"
#include "lcomp/forward/gradients.h"
#include "lcomp/models/model_folder.h"

namespace {

std::filesystem::path model_path() {
  const char* path = std::getenv("LCOMP_SMOLLM2");
  return path != nullptr ? path : "models/smollm2-reference";
}

struct WantAll : lcomp::GradientVisitor {
  double first = 0;
  bool wants_tensor(const std::string&) override { return true; }
  void tensor_gradient(const std::string&, std::span<const std::size_t>, std::span<const float> gradient) override {
    first += static_cast<double>(gradient[0]);
  }
};

// Mean cross-entropy of random tokens. weights: 1: the gradients of all tensors, 0: those of the linear layers' outputs
// alone.
void gradients(benchmark::State& state) {
  if (!std::filesystem::exists(model_path() / "config.json")) {
    state.SkipWithError("SmolLM2 is absent: set LCOMP_SMOLLM2 to its folder");
    return;
  }
  lcomp::Decoder decoder(lcomp::open_model(model_path()));
  lcomp::Rng rng(7);
  lcomp::TokenBatch batch;
  for (std::int64_t s = 0; s < state.range(0); ++s) {
    std::vector<std::int32_t> ids(static_cast<std::size_t>(state.range(1)));
    for (auto& id : ids) id = static_cast<std::int32_t>(rng.below(decoder.config().vocab_size));
    batch.add(ids);
  }
  lcomp::NextTokenCost cost(batch);
  lcomp::GradientVisitor none;
  WantAll all;
  for (auto unused : state) {
    (void)unused;
    benchmark::DoNotOptimize(
        lcomp::gradients(decoder, batch, cost, state.range(2) == 1 ? static_cast<lcomp::GradientVisitor&>(all) : none));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(batch.tokens()));
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  state.counters["peak_MiB"] = static_cast<double>(usage.ru_maxrss) / 1024;
}
BENCHMARK(gradients)
    ->ArgNames({"sequences", "length", "weights"})
    ->Args({8, 512, 1})
    ->Args({8, 512, 0})
    ->Args({16, 1024, 1})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1)
    ->UseRealTime();

}  // namespace
