// Gradients of tiny models of each family against values made with torch and transformers
// (../shared/golden/README.md), for every tensor of the checkpoint. Tolerance: 1e-4 of a tensor's norm; float32
// rounding gives about 1e-6 to 1e-5, and a wrong detail of the mathematics 1e-2 or more.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "gradient_recorder.h"
#include "lcomp/core/rng.h"
#include "lcomp/forward/gradients.h"
#include "lcomp/models/model_folder.h"
#include "support/golden_model.h"

namespace lcomp {
namespace {

using testing::golden;
using testing::GradientRecorder;

constexpr double gradient_tolerance = 1e-4;

double norm(std::span<const float> values) {
  double sum = 0;
  for (const float v : values) sum += static_cast<double>(v) * v;
  return std::sqrt(sum);
}

// |a - b| / |b|, or |a| where b is 0.
double relative_error(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    sum += difference * difference;
  }
  const double size = norm(b);
  return size > 0 ? std::sqrt(sum) / size : std::sqrt(sum);
}

// The largest relative error of a tensor's gradient, which is printed.
void expect_golden_gradients(const std::filesystem::path& folder, const std::string& io_name,
                             GradientOptions options = {}) {
  Decoder decoder(open_model(folder));
  const SafetensorsFile io(folder / io_name);
  const TokenBatch batch = testing::read_batch(io, "input_ids");
  NextTokenCost cost(batch);
  GradientRecorder recorder;
  const auto padding = decoder.model().config_json.find("pad_token_id");  // has no gradient as an input in torch
  if (padding != decoder.model().config_json.end() && padding->is_number())
    options.padding_token = padding->get<std::int32_t>();
  const double loss = gradients(decoder, batch, cost, recorder, options);
  float expected_loss = 0;
  to_float(io.entry("loss"), 0, {&expected_loss, 1});
  EXPECT_NEAR(loss, expected_loss, 1e-5);

  EXPECT_EQ(recorder.order, gradient_order(decoder.model()));
  double worst = 0;
  std::string worst_name;
  std::size_t compared = 0;
  for (const SafetensorsEntry& entry : io.entries()) {
    if (!entry.name.starts_with("grad.")) continue;
    const std::string name = entry.name.substr(5);
    ASSERT_TRUE(recorder.of.contains(name)) << name;
    EXPECT_EQ(recorder.shapes.at(name), entry.shape) << name;
    std::vector<float> expected(recorder.of.at(name).size());
    to_float(entry, 0, expected);
    const double error = relative_error(recorder.of.at(name), expected);
    EXPECT_LT(error, gradient_tolerance) << name;
    if (error > worst) {
      worst = error;
      worst_name = name;
    }
    ++compared;
  }
  EXPECT_EQ(compared, recorder.of.size());
  std::printf("%-14s %-20s largest relative error %.1e (%s)\n", folder.filename().c_str(), io_name.c_str(), worst,
              worst_name.c_str());
}

struct FamilyGradient : ::testing::TestWithParam<const char*> {
  std::filesystem::path folder() const { return golden(std::string("families/") + GetParam()); }
};

TEST_P(FamilyGradient, MatchesTheReference) {
  LCOMP_REQUIRE(folder());
  expect_golden_gradients(folder(), "io.safetensors");
  if (std::filesystem::exists(folder() / "io_long.safetensors"))
    expect_golden_gradients(folder(), "io_long.safetensors");
}

// One sequence at a time through each block, the blocks' inputs on disk, and their insides computed again.
TEST_P(FamilyGradient, MatchesTheReferenceInPieces) {
  LCOMP_REQUIRE(folder());
  GradientOptions options;
  options.tokens_at_once = 24;
  options.memory_limit = 0;
  options.activation_limit = 0;
  expect_golden_gradients(folder(), "io.safetensors", options);
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyGradient, ::testing::ValuesIn(testing::golden_families),
                         testing::golden_family_name);

}  // namespace
}  // namespace lcomp
