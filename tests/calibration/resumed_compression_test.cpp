// compress_model() with statistics gathered as it goes, ended at every component and started again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <utility>

#include "lcomp/calibration/calibrate.h"
#include "lcomp/calibration/compression_statistics.h"
#include "lcomp/calibration/sensitivity.h"
#include "lcomp/compression/compress_model.h"
#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "support/error_message.h"
#include "support/reference_data.h"
#include "tiny_model.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

struct KilledCompression {};

// Ends the compression after some components, and counts whose statistics were asked for.
struct Ending {
  std::size_t left = 0;
  std::size_t asked = 0;

  void ask() {
    if (left-- == 0) throw KilledCompression();
    ++asked;
  }
};

class EndingOriginal : public RandomAccessStatistics {
 public:
  EndingOriginal(std::unique_ptr<RandomAccessStatistics> inner, std::size_t components)
      : ending{components}, inner_(std::move(inner)) {}
  std::shared_ptr<const LayerStats> statistics(const ModelComponent& component) override {
    ending.ask();
    return inner_->statistics(component);
  }
  nlohmann::json description() const override { return inner_->description(); }

  Ending ending;

 private:
  std::unique_ptr<RandomAccessStatistics> inner_;
};

class EndingSequential : public SequentialStatistics {
 public:
  EndingSequential(std::unique_ptr<SequentialStatistics> inner, std::size_t components)
      : ending{components}, inner_(std::move(inner)) {}
  std::vector<std::size_t> order(const std::vector<ModelComponent>& c) const override { return inner_->order(c); }
  std::shared_ptr<const LayerStats> statistics(const ModelComponent& component) override {
    ending.ask();
    return inner_->statistics(component);
  }
  void compressed(const ModelComponent& component, const CompressedWeight& weight) override {
    inner_->compressed(component, weight);
  }
  nlohmann::json description() const override { return inner_->description(); }

  Ending ending;

 private:
  std::unique_ptr<SequentialStatistics> inner_;
};

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
    Workspace workspace;
    if (!work.empty()) workspace = Workspace(work, key, replace ? OtherWork::discard : OtherWork::refuse);
    const auto statistics = std::make_shared<EndingSequential>(
        sequential_statistics(model, texts, GetParam(), {}, ComputeType::float32, workspace.part("stream")),
        components);
    CompressOptions options;
    options.replace = replace;
    options.statistics = statistics;
    options.work = workspace;
    const CompressionReport report = compress_model(model, plan, folder / out, options);
    reports[out] = to_json(report);
    return statistics->ending.asked;
  }

  std::map<std::string, nlohmann::json> reports;
};

TEST_P(ResumedCompression, EndsWithTheSameBytes) {
  const std::size_t all = compress("whole", never, {});
  for (std::size_t end = 0; end < all; end += end < 4 ? 1 : 3) {
    const std::string out = "out" + std::to_string(end);
    const fs::path work = folder / (out + ".work");
    EXPECT_THROW(compress(out, end, work), KilledCompression);
    EXPECT_FALSE(fs::exists(folder / out));
    EXPECT_EQ(compress(out, never, work), all - end) << "what was finished is done again";
    EXPECT_TRUE(read_text_file(folder / out / "model.safetensors") ==
                read_text_file(folder / "whole" / "model.safetensors"));
    EXPECT_EQ(reports[out], reports["whole"]);
  }
}

TEST_P(ResumedCompression, EndedSeveralTimes) {
  const std::size_t all = compress("whole", never, {});
  std::size_t left = all;
  while (left > 3) {
    EXPECT_THROW(compress("out", 3, folder / "work"), KilledCompression);
    left -= 3;
  }
  EXPECT_EQ(compress("out", never, folder / "work"), left);
  EXPECT_TRUE(read_text_file(folder / "out" / "model.safetensors") ==
              read_text_file(folder / "whole" / "model.safetensors"));
}

TEST_P(ResumedCompression, OtherWorkIsRefusedOrReplaced) {
  EXPECT_THROW(compress("out", 5, folder / "work", "one"), KilledCompression);
  try {
    compress("out", never, folder / "work", "other");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.parts().found, HasSubstr("another compression"));
    EXPECT_THAT(error.parts().advice, HasSubstr("--replace"));
  }
  EXPECT_THROW(compress("out", 1, folder / "work", "one"), KilledCompression) << "the refusal deletes nothing";
  EXPECT_GT(compress("out", never, folder / "work", "other", true), 5U);
}

TEST_P(ResumedCompression, ADamagedComponentIsAnError) {
  EXPECT_THROW(compress("out", 5, folder / "work"), KilledCompression);
  for (const auto& entry : fs::directory_iterator(folder / "work" / "weights")) {
    if (entry.path().extension() == ".h5") fs::resize_file(entry.path(), 600);
  }
  EXPECT_THROW(compress("out", never, folder / "work"), Error);
}

INSTANTIATE_TEST_SUITE_P(Orders, ResumedCompression, ::testing::Values(BlockOrder::whole_block, BlockOrder::by_stage),
                         [](const auto& order) {
                           return order.param == BlockOrder::by_stage ? "by_stage" : "whole_block";
                         });

// A budget shared out among rate-coded components: what is chosen for one depends on the bytes of those before.
struct RateCodedCompression : ::testing::TestWithParam<std::string> {
  testing::TemporaryFolder folder;
  ModelFolder model;
  std::map<std::string, CompressionReport> reports;
  static inline std::optional<testing::TemporaryFolder> statistics_folder;  // made once

  void SetUp() override {
    LCOMP_REQUIRE(testing::golden("families/llama-tied"));
    model = open_model(testing::golden("families/llama-tied"));
    if (statistics_folder) return;
    statistics_folder.emplace();
    const TokenBatch tokens = testing::random_tokens(100, model.config.vocab_size);
    Decoder decoder(model);
    calibrate(decoder, tokens, *statistics_folder / "statistics");
    add_sensitivities(decoder, tokens, *statistics_folder / "statistics");
  }
  static void TearDownTestSuite() { statistics_folder.reset(); }

  // Returns how many statistics were asked for.
  std::size_t compress(const std::string& out, nlohmann::json plan, std::size_t components = never,
                       const fs::path& work = {}, std::optional<SensitivityCost> cost = SensitivityCost::divergence) {
    const auto statistics = std::make_shared<EndingOriginal>(
        archived_statistics(model, CalibrationArchive::open(*statistics_folder / "statistics"), cost), components);
    CompressOptions options;
    options.statistics = statistics;
    options.work = Workspace(work, "key");
    plan["allocator"] = GetParam();
    reports[out] = compress_model(model, CompressionPlan::from_json(plan, "plan"), folder / out, options);
    return statistics->ending.asked;
  }
  static constexpr std::size_t never = 1000000;

  // After a kill early and one at the end of compression.
  void ends_with_the_same_bytes(const nlohmann::json& plan) {
    const std::size_t all = compress("whole", plan);
    const std::size_t measured = all / 2;  // each is looked at before the first is compressed
    for (const std::size_t end : {measured + 1, all - 3}) {
      const std::string out = "out" + std::to_string(end);
      const fs::path work = folder / (out + ".work");
      EXPECT_THROW(compress(out, plan, end, work), KilledCompression);
      EXPECT_EQ(compress(out, plan, never, work), all - (end - measured)) << "what was finished is done again";
      EXPECT_TRUE(read_text_file(folder / out / "model.safetensors") ==
                  read_text_file(folder / "whole" / "model.safetensors"));
    }
  }

  // Bits of single components, below and above those of the model.
  void pins_hold(const std::string& quantizer, double bits, double low, double high) {
    compress("out", {{"quantizer", quantizer},
                     {"components",
                      {{"*.0.mlp.down_proj", {{"max_bits", low}}},
                       {"*.1.mlp.down_proj", {{"min_bits", 7.0}}},
                       {"*.2.mlp.down_proj", "rtn:bits=4,group=16"}}},
                     {"target", {{"bits_per_weight", bits}}}});
    EXPECT_LE(reports["out"].bits_per_weight, bits);
    for (const ComponentReport& line : reports["out"].components) {
      if (line.name.ends_with(".0.mlp.down_proj")) {
        EXPECT_LE(line.bits_per_weight, low);
      }
      if (line.name.ends_with(".1.mlp.down_proj")) {
        EXPECT_GE(line.bits_per_weight, high);
      }
      if (line.name.ends_with(".2.mlp.down_proj")) {
        EXPECT_EQ(line.quantizer, "rtn:bits=4,group=16,asym");
      }
    }
  }
};

TEST_P(RateCodedCompression, MeetsTheBudget) {
  constexpr double bits = 4;
  compress("out", {{"quantizer", "rate"}, {"target", {{"bits_per_weight", bits}}}});
  EXPECT_LE(reports["out"].bits_per_weight, bits);
  EXPECT_GT(reports["out"].bits_per_weight, 0.98 * bits) << "of some ten thousand weights";
  EXPECT_EQ(reports["out"].bytes, open_model(folder / "out").stored_bytes());
}

// Five compressions each: too many for the sanitizers.
struct SlowRateCodedCompression : RateCodedCompression {};

TEST_P(SlowRateCodedCompression, EndsWithTheSameBytes) {
  ends_with_the_same_bytes({{"quantizer", "rate"}, {"target", {{"ratio", 4}}}});
}

TEST_P(RateCodedCompression, PinsAndFixedComponentsHold) { pins_hold("rate", 4.5, 2.0, 6.8); }

TEST_P(RateCodedCompression, EqualBitsOrOnePrice) {
  compress("out", {{"quantizer", "rate"}, {"target", {{"bits_per_weight", 4.5}}}});
  double least = 100;
  double most = 0;
  for (const ComponentReport& line : reports["out"].components) {
    least = std::min(least, line.bits_per_weight);
    most = std::max(most, line.bits_per_weight);
  }
  if (GetParam() == "fixed" || GetParam() == "within") {
    EXPECT_LT(most - least, 0.35);
  } else {
    EXPECT_GT(most - least, 0.6);
  }
}

TEST_P(RateCodedCompression, RefusesWhatItCantDo) {
  const auto refuses = [&](const nlohmann::json& plan, const char* text,
                           std::optional<SensitivityCost> cost = SensitivityCost::divergence) {
    EXPECT_THAT(testing::message([&] { compress("refused", plan, never, {}, cost); }), HasSubstr(text)) << plan;
  };
  refuses({{"quantizer", "rate"}, {"target", {{"bits_per_weight", 0.1}}}}, "at least");
  refuses({{"quantizer", "rate"}, {"target", {{"bits_per_weight", 40}}}}, "at most");
  refuses({{"quantizer", "rate"}, {"components", {{"*.0.*", "rtn"}}}, {"target", {{"ratio", 4}}}}, "one kind");
  refuses({{"quantizer", "rotate+rate:bits=4"}}, "transforms");
  refuses({{"quantizer", "rate:bits=4,precision=3"}}, "one of them");
  refuses({{"quantizer", "rate:bits=4,min_bits=5,max_bits=4"}}, "min_bits");
  if (GetParam() == "across" || GetParam() == "second_order") {
    refuses({{"quantizer", "rate"}, {"target", {{"ratio", 4}}}}, "sensitivit", std::nullopt);
    if (GetParam() == "second_order") refuses({{"quantizer", "rtn"}, {"target", {{"ratio", 4}}}}, "fixed width");
  } else {
    compress("plain", {{"quantizer", "rate"}, {"target", {{"ratio", 4}}}}, never, {}, std::nullopt);
  }
  Decoder decoder(model);
  CompressOptions options;
  options.statistics = sequential_statistics(model, {testing::random_tokens(120, model.config.vocab_size), "random"},
                                             BlockOrder::whole_block);
  const auto plan = CompressionPlan::from_json(
      {{"quantizer", "rate"}, {"allocator", GetParam()}, {"target", {{"ratio", 4}}}}, "plan");
  EXPECT_THROW(compress_model(model, plan, folder / "sequential", options), Error);
  EXPECT_THROW(compress_model(model, plan, folder / "nothing"), Error);
}

INSTANTIATE_TEST_SUITE_P(Allocators, RateCodedCompression,
                         ::testing::Values("fixed", "across", "within", "second_order"),
                         [](const auto& allocator) { return allocator.param; });
INSTANTIATE_TEST_SUITE_P(Allocators, SlowRateCodedCompression,
                         ::testing::Values("fixed", "across", "within", "second_order"),
                         [](const auto& allocator) { return allocator.param; });

// The same for banded components, whose widths are all chosen beforehand.
struct BandedCompression : RateCodedCompression {};

TEST_P(BandedCompression, MeetsTheBudgetOfBands) {
  constexpr double bits = 6;
  compress("out", {{"quantizer", "banded"}, {"target", {{"bits_per_weight", bits}}}});
  EXPECT_LE(reports["out"].bits_per_weight, bits);
  EXPECT_GT(reports["out"].bits_per_weight, (GetParam() == "fixed" ? 0.9 : 0.97) * bits) << "some ten thousand weights";
  EXPECT_EQ(reports["out"].bytes, open_model(folder / "out").stored_bytes());
  for (const ComponentReport& line : reports["out"].components) EXPECT_EQ(line.format.substr(0, 6), "banded");
}

struct SlowBandedCompression : BandedCompression {};

TEST_P(SlowBandedCompression, BandsEndWithTheSameBytes) {
  ends_with_the_same_bytes({{"quantizer", "banded:sym"}, {"target", {{"ratio", 3}}}});
}

TEST_P(BandedCompression, PinsOfBandsHold) { pins_hold("banded", 6, 4.0, 7.0); }

TEST_P(BandedCompression, RefusesWhatBandsCantDo) {
  const auto refuses = [&](const nlohmann::json& plan, const char* text,
                           std::optional<SensitivityCost> cost = SensitivityCost::divergence) {
    EXPECT_THAT(testing::message([&] { compress("refused", plan, never, {}, cost); }), HasSubstr(text)) << plan;
  };
  refuses({{"quantizer", "banded"}, {"target", {{"bits_per_weight", 0.6}}}}, "at least");
  refuses({{"quantizer", "banded"}, {"target", {{"bits_per_weight", 40}}}}, "at most");
  refuses({{"quantizer", "banded"}, {"components", {{"*.0.*", "rate"}}}, {"target", {{"ratio", 3}}}}, "one kind");
  refuses({{"quantizer", "banded:min_bits=3.01,max_bits=3.02"}, {"target", {{"ratio", 3}}}}, "widths between");
  if (GetParam() == "across" || GetParam() == "second_order") {
    refuses({{"quantizer", "banded"}, {"target", {{"ratio", 3}}}}, "sensitivit", std::nullopt);
  } else {
    compress("plain", {{"quantizer", "banded"}, {"target", {{"ratio", 3}}}}, never, {}, std::nullopt);
  }
  const auto plan = CompressionPlan::from_json(
      {{"quantizer", "banded"}, {"allocator", GetParam()}, {"target", {{"ratio", 3}}}}, "plan");
  EXPECT_THAT(testing::message([&] { compress_model(model, plan, folder / "nothing"); }),
              HasSubstr("without statistics"));
}

INSTANTIATE_TEST_SUITE_P(BandAllocators, BandedCompression,
                         ::testing::Values("fixed", "across", "within", "second_order"),
                         [](const auto& allocator) { return allocator.param; });
INSTANTIATE_TEST_SUITE_P(BandAllocators, SlowBandedCompression,
                         ::testing::Values("fixed", "across", "within", "second_order"),
                         [](const auto& allocator) { return allocator.param; });

}  // namespace
}  // namespace lcomp
