// compress_model() with statistics gathered as it goes, ended at every component and started again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <utility>

#include "lcomp/calibration/compression_statistics.h"
#include "lcomp/compression/compress_model.h"
#include "lcomp/core/error.h"
#include "support/reference_data.h"
#include "tiny_model.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

struct Killed {};

// Ends the compression after some components, and counts whose statistics were asked for.
class Ending : public StatisticsProvider {
 public:
  Ending(std::unique_ptr<StatisticsProvider> inner, std::size_t components)
      : inner_(std::move(inner)), left_(components) {}
  std::vector<std::size_t> order(const std::vector<ModelComponent>& c) const override { return inner_->order(c); }
  std::shared_ptr<const LayerStats> statistics(const ModelComponent& component) override {
    if (left_-- == 0) throw Killed();
    ++asked;
    return inner_->statistics(component);
  }
  void compressed(const ModelComponent& component, const CompressedWeight& weight) override {
    inner_->compressed(component, weight);
  }
  nlohmann::json description() const override { return inner_->description(); }

  std::size_t asked = 0;

 private:
  std::unique_ptr<StatisticsProvider> inner_;
  std::size_t left_;
};

std::string contents(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct ResumedCompression : ::testing::TestWithParam<BlockOrder> {
  static constexpr std::size_t never = 1000000;
  testing::TemporaryFolder folder;
  ModelFolder model;
  CalibrationTexts texts;
  CompressionPlan plan = CompressionPlan::from_json(
      {{"quantizer", "gptq:bits=3,group=16,act_order"}, {"activations", {{"bits", 8}, {"granularity", "tensor"}}}},
      "plan");

  void SetUp() override {
    LCOMP_REQUIRE(testing::golden("families/llama2"));
    model = open_model(testing::golden("families/llama2"));
    texts = {testing::random_tokens(120, model.config.vocab_size), "random tokens"};
  }

  // Returns how many statistics were asked for.
  std::size_t compress(const std::string& out, std::size_t components, const fs::path& work,
                       const std::string& key = "key", bool replace = false) {
    SequentialWork sequential;
    if (!work.empty()) sequential = {work / "stream", key};
    Ending statistics(sequential_statistics(model, texts, GetParam(), {}, ComputeType::float32, sequential),
                      components);
    CompressOptions options;
    options.replace = replace;
    options.statistics = &statistics;
    options.work = work;
    options.work_key = key;
    const CompressionReport report = compress_model(model, plan, folder / out, options);
    reports[out] = to_json(report);
    return statistics.asked;
  }

  std::map<std::string, nlohmann::json> reports;
};

TEST_P(ResumedCompression, EndsWithTheSameBytes) {
  const std::size_t all = compress("whole", never, {});
  for (std::size_t end = 0; end < all; end += end < 4 ? 1 : 3) {
    const std::string out = "out" + std::to_string(end);
    const fs::path work = folder / (out + ".work");
    EXPECT_THROW(compress(out, end, work), Killed);
    EXPECT_FALSE(fs::exists(folder / out));
    EXPECT_EQ(compress(out, never, work), all - end) << "what was finished is done again";
    EXPECT_TRUE(contents(folder / out / "model.safetensors") == contents(folder / "whole" / "model.safetensors"));
    EXPECT_EQ(reports[out], reports["whole"]);
  }
}

TEST_P(ResumedCompression, EndedSeveralTimes) {
  const std::size_t all = compress("whole", never, {});
  std::size_t left = all;
  while (left > 3) {
    EXPECT_THROW(compress("out", 3, folder / "work"), Killed);
    left -= 3;
  }
  EXPECT_EQ(compress("out", never, folder / "work"), left);
  EXPECT_TRUE(contents(folder / "out" / "model.safetensors") == contents(folder / "whole" / "model.safetensors"));
}

TEST_P(ResumedCompression, OtherWorkIsRefusedOrReplaced) {
  EXPECT_THROW(compress("out", 5, folder / "work", "one"), Killed);
  try {
    compress("out", never, folder / "work", "other");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.parts().found, HasSubstr("another compression"));
    EXPECT_THAT(error.parts().advice, HasSubstr("--replace"));
  }
  EXPECT_THROW(compress("out", 1, folder / "work", "one"), Killed) << "the refusal deletes nothing";
  fs::remove_all(folder / "work" / "stream");
  EXPECT_GT(compress("out", never, folder / "work", "other", true), 5U);
}

TEST_P(ResumedCompression, ADamagedComponentIsAnError) {
  EXPECT_THROW(compress("out", 5, folder / "work"), Killed);
  for (const auto& entry : fs::directory_iterator(folder / "work" / "weights")) {
    if (entry.path().extension() == ".h5") fs::resize_file(entry.path(), 600);
  }
  EXPECT_THROW(compress("out", never, folder / "work"), Error);
}

INSTANTIATE_TEST_SUITE_P(Orders, ResumedCompression, ::testing::Values(BlockOrder::whole_block, BlockOrder::by_stage),
                         [](const auto& order) {
                           return order.param == BlockOrder::by_stage ? "by_stage" : "whole_block";
                         });

}  // namespace
}  // namespace lcomp
