// One step of training a Llama with hidden size 256, 6 layers and a vocabulary of 2048: 4.9 million parameters.
#include <benchmark/benchmark.h>

#include <memory>

#include "lcomp/core/rng.h"
#include "lcomp/models/model_in_memory.h"
#include "lcomp/training/adamw.h"
#include "lcomp/training/parameters.h"
#include "lcomp/training/projected_weights.h"
#include "training/parameter_gradients.h"

namespace {

struct Training {
  Training() {
    const nlohmann::json config = {
        {"model_type", "llama"},    {"hidden_act", "silu"},     {"vocab_size", 2048},
        {"hidden_size", 256},       {"intermediate_size", 688}, {"num_hidden_layers", 6},
        {"num_attention_heads", 8}, {"num_key_value_heads", 4}, {"max_position_embeddings", 512},
        {"rms_norm_eps", 1e-5},     {"rope_theta", 10000.0},    {"tie_word_embeddings", true}};
    weights = std::make_shared<lcomp::Parameters>("weights", lcomp::required_tensors(config, "config"));
    model = lcomp::model_in_memory("model", config, weights);
    lcomp::initialize_parameters(*weights, model, 0.02, lcomp::Rng(1));
    lcomp::Rng rng(2);
    std::vector<std::int32_t> ids(256);
    for (int s = 0; s < 16; ++s) {
      for (auto& id : ids) id = static_cast<std::int32_t>(rng.below(2048));
      batch.tokens.add(ids);
    }
    batch.weights.assign(batch.tokens.tokens(), 1.0F);
    batch.total_weight = 16 * 255;
    for (std::size_t s = 0; s < 16; ++s) batch.weights[s * 256 + 255] = 0;
    gradient = std::make_unique<lcomp::Parameters>("gradient", weights->tensors());
    first = std::make_unique<lcomp::Parameters>("first moment", weights->tensors());
    second = std::make_unique<lcomp::Parameters>("second moment", weights->tensors());
  }

  void update() {
    const auto scale = static_cast<float>(std::min(1.0, 1 / lcomp::euclidean_norm(gradient->values())));
    lcomp::adamw_update({}, 1e-3, ++steps, scale, gradient->values(), first->values(), second->values(),
                        weights->values());
  }

  std::shared_ptr<lcomp::Parameters> weights;
  lcomp::ModelFolder model;
  lcomp::TrainingBatch batch;
  std::unique_ptr<lcomp::Parameters> gradient, first, second;
  std::uint64_t steps = 0;
};

// quantized: the weights in 4 bits, groups of 64.
void train_step(benchmark::State& state) {
  Training training;
  std::unique_ptr<lcomp::ProjectedWeights> projected;
  if (state.range(0) == 1) {
    const auto setting = lcomp::QuantizedTraining::from_json({{"quantizer", "rtn:bits=4,group=64"}}, "setting");
    projected = std::make_unique<lcomp::ProjectedWeights>(training.model, setting);
  }
  const lcomp::TensorSource& seen = projected ? static_cast<const lcomp::TensorSource&>(*projected) : *training.weights;
  lcomp::Decoder decoder(training.model);
  for (auto unused : state) {
    (void)unused;
    if (projected) projected->project(*training.weights);
    benchmark::DoNotOptimize(lcomp::training_gradients(decoder, seen, {&training.batch, 1}, {}, *training.gradient));
    training.update();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(training.batch.tokens.tokens()));
}
BENCHMARK(train_step)
    ->ArgName("quantized")
    ->Arg(0)
    ->Arg(1)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

void update_alone(benchmark::State& state) {
  Training training;
  for (auto unused : state) {
    (void)unused;
    training.update();
  }
}
BENCHMARK(update_alone)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();

}  // namespace
