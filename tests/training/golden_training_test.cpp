// Twenty steps of PyTorch's on fixed batches (golden/qat).
#include <gtest/gtest.h>

#include <cmath>

#include "lcomp/io/safetensors.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/models/model_in_memory.h"
#include "lcomp/training/adamw.h"
#include "lcomp/training/parameter_gradients.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::golden;

struct Reference {
  explicit Reference(const std::string& name)
      : batches(golden("qat/batches.safetensors")), expected(golden("qat/" + name + ".safetensors")) {}

  TrainingBatch batch(std::size_t step) const {
    std::vector<float> values(4 * 32);
    to_float(batches.entry("batches"), step * values.size(), values);
    const std::vector<std::int32_t> ids(values.begin(), values.end());
    TrainingBatch batch;
    for (std::size_t s = 0; s < 4; ++s) batch.tokens.add(std::span(ids).subspan(s * 32, 32));
    batch.weights.assign(ids.size(), 1.0F);
    for (std::size_t s = 0; s < 4; ++s) batch.weights[s * 32 + 31] = 0;
    batch.total_weight = 4 * 31;
    return batch;
  }
  float value(const char* name, std::size_t i) const {
    float value = 0;
    to_float(expected.entry(name), i, {&value, 1});
    return value;
  }
  double learning_rate(std::size_t step) const {
    double rate = 0;
    std::memcpy(&rate, batches.entry("lr").bytes.data() + step * sizeof(double), sizeof(double));
    return rate;
  }

  SafetensorsFile batches, expected;
};

// All within 2e-5, a few single values (whose gradient is almost 0) within 1e-3.
void expect_close(const SafetensorsFile& expected, const std::string& name, std::span<const float> values) {
  std::vector<float> other(values.size());
  to_float(expected.entry(name), 0, other);
  std::size_t off = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double difference = std::abs(static_cast<double>(values[i]) - other[i]);
    EXPECT_LE(difference, 1e-3) << name << " " << i;
    off += difference > 2e-5 ? 1 : 0;
  }
  EXPECT_LE(off, 5U) << name;
}

constexpr std::size_t steps = 20;
const AdamWOptions optimizer = {0.9, 0.95, 1e-8, 0.1};
const AdamWOptions undecayed = {0.9, 0.95, 1e-8, 0};

TEST(GoldenTraining, Plain) {
  LCOMP_REQUIRE(golden("qat/a-plain.safetensors"));
  const Reference reference("a-plain");
  const ModelFolder folder = open_model(golden("qat"));
  const auto weights = copy_parameters(folder);
  const ModelFolder model = model_in_memory(folder.path, folder.config_json, weights);
  Decoder decoder(model);
  Parameters gradient("gradient", weights->tensors()), m("m", weights->tensors()), v("v", weights->tensors());
  for (std::size_t step = 0; step < steps; ++step) {
    const TrainingBatch batch = reference.batch(step);
    EXPECT_NEAR(next_token_gradients(decoder, *weights, {&batch, 1}, gradient), reference.value("loss", step), 2e-5);
    const double norm = euclidean_norm(gradient.values());
    EXPECT_NEAR(norm, reference.value("grad_norm", step), 1e-4);
    for (const TensorInfo& info : weights->tensors()) {
      adamw_update(info.shape.size() == 2 ? optimizer : undecayed, reference.learning_rate(step), step + 1,
                   static_cast<float>(std::min(1.0, 1 / (norm + 1e-6))), gradient.values(info.name),
                   m.values(info.name), v.values(info.name), weights->values(info.name));
    }
  }
  for (const TensorInfo& info : weights->tensors()) {
    expect_close(reference.expected, "final." + info.name, weights->values(info.name));
  }
}

}  // namespace
}  // namespace lcomp
