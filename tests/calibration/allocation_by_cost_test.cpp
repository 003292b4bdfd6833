// Widths by what components cost, as sensitivities tell.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "lcomp/archive/archive.h"
#include "lcomp/calibration/calibrate.h"
#include "lcomp/calibration/compression_statistics.h"
#include "lcomp/calibration/sensitivity.h"
#include "lcomp/compression/compress_model.h"
#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/quantizers/cost/second_order_cost.h"
#include "support/error_message.h"
#include "tiny_model.h"

namespace lcomp {
namespace {

using ::testing::HasSubstr;

struct AllocationByCost : ::testing::TestWithParam<std::string> {
  testing::TemporaryFolder folder;
  ModelFolder model;

  void SetUp() override {
    LCOMP_REQUIRE(testing::tiny_model());
    model = open_model(testing::tiny_model());
    const TokenBatch tokens = testing::random_tokens(300, model.config.vocab_size);
    Decoder decoder(model);
    calibrate(decoder, tokens, folder / "statistics");
    add_sensitivities(decoder, tokens, folder / "statistics");
  }

  std::shared_ptr<RandomAccessStatistics> statistics(
      std::optional<SensitivityCost> cost = SensitivityCost::divergence) const {
    return archived_statistics(model, CalibrationArchive::open(folder / "statistics"), cost);
  }

  CompressionReport compress(const std::string& out, const std::string& allocator, const StatisticsSource& known,
                             CompressOptions options = {}, double bits = 5.0) const {
    options.statistics = known;
    const nlohmann::json plan = {
        {"quantizer", GetParam()}, {"target", {{"bits_per_weight", bits}}}, {"allocator", allocator}};
    return compress_model(model, CompressionPlan::from_json(plan, "plan"), folder / out, options);
  }

  // Of all components together.
  double cost(const std::string& out) const {
    const ModelFolder compressed = open_model(folder / out);
    const auto known = statistics();
    double sum = 0;
    for (const ModelComponent& component : model_components(model)) {
      const auto stats = known->statistics(component);
      const Matrix weight = model.tensors->read(component.tensor);
      const Matrix decoded = compressed.tensors->read(component.tensor);
      sum += second_order_cost(weight.view(), decoded.view(), *stats->sensitivity, component.name);
    }
    return sum;
  }
};

struct SlowAllocationByCost : AllocationByCost {};

TEST_P(SlowAllocationByCost, CostsLessThanOneWidth) {
  const auto known = statistics();
  const CompressionReport fixed = compress("fixed", "fixed", known);
  const CompressionReport across = compress("across", "across", known);
  EXPECT_LE(across.bits_per_weight, 5.0);
  EXPECT_GT(across.bits_per_weight, 4.9);
  EXPECT_LT(cost("across"), 0.97 * cost("fixed"));
  const auto [least, most] =
      std::minmax_element(across.components.begin(), across.components.end(),
                          [](const auto& a, const auto& b) { return a.bits_per_weight < b.bits_per_weight; });
  EXPECT_GT(most->bits_per_weight, least->bits_per_weight + 0.9);
}

// What was measured for one target serves others, to the same bytes, unless it was of something else.
TEST_P(SlowAllocationByCost, MeasuresOnce) {
  const auto known = statistics();
  const auto weights_of = [&](const std::string& out) { return read_text_file(folder / out / "model.safetensors"); };
  CompressOptions options;
  options.costs = Workspace(folder / "costs", "one");
  compress("five", "across", known, options, 5.0);
  const std::vector<std::string> measured = Archive::open(options.costs.folder(), "one").names();
  EXPECT_EQ(measured.size(), 8 * model_components(model).size());
  compress("four", "across", known, options, 4.0);
  EXPECT_EQ(Archive::open(options.costs.folder(), "one").names(), measured);
  compress("four, alone", "across", known, {}, 4.0);
  EXPECT_TRUE(weights_of("four") == weights_of("four, alone"));

  // Killed after some: goes on with them.
  std::size_t number = 0;
  for (const auto& file : std::filesystem::directory_iterator(options.costs.folder())) {
    if (file.path().extension() == ".h5" && ++number % 2 == 0) std::filesystem::remove(file.path());
  }
  EXPECT_LT(Archive::open(options.costs.folder(), "one").names().size(), measured.size());
  compress("five again", "across", known, options, 5.0);
  EXPECT_TRUE(weights_of("five") == weights_of("five again"));
  EXPECT_EQ(Archive::open(options.costs.folder(), "one").names(), measured);

  options.costs = Workspace(folder / "costs", "another");
  compress("five anew", "across", known, options, 5.0);
  EXPECT_EQ(Archive::open(options.costs.folder(), "another").names(), measured);
}

TEST_P(AllocationByCost, NeedsSensitivities) {
  const auto refuses = [&](const StatisticsSource& known, const char* text) {
    EXPECT_THAT(testing::message([&] { compress("refused", "across", known); }), HasSubstr(text)) << text;
  };
  refuses({}, "without statistics");
  refuses(statistics(std::nullopt), "no sensitivity");
}

INSTANTIATE_TEST_SUITE_P(Methods, AllocationByCost,
                         ::testing::Values("rtn:group=16", "gptq:group=16,act_order", "codebook:group=32"),
                         [](const auto& method) { return method.param.substr(0, method.param.find(':')); });
INSTANTIATE_TEST_SUITE_P(Methods, SlowAllocationByCost,
                         ::testing::Values("rtn:group=16", "gptq:group=16,act_order", "codebook:group=32"),
                         [](const auto& method) { return method.param.substr(0, method.param.find(':')); });

}  // namespace
}  // namespace lcomp
