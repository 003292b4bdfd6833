#include "lcomp/calibration/compression_statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "lcomp/calibration/calibrate.h"
#include "lcomp/compression/compress_model.h"
#include "lcomp/core/error.h"
#include "lcomp/formats/format.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "replaced_tensors.h"
#include "support/error_message.h"
#include "support/reference_data.h"
#include "tiny_model.h"

namespace lcomp {
namespace {

using ::testing::HasSubstr;

CompressionPlan plan(const nlohmann::json& quantizer) {
  return CompressionPlan::from_json({{"quantizer", quantizer}}, "plan");
}

// Notes what it is asked for, in order, and knows what others do.
class Recorder : public SequentialStatistics {
 public:
  explicit Recorder(const StatisticsSource& inner) : inner_(in_order(inner)) {}
  std::vector<std::size_t> order(const std::vector<ModelComponent>& c) const override { return inner_->order(c); }
  std::shared_ptr<const LayerStats> statistics(const ModelComponent& component) override {
    auto known = inner_->statistics(component);
    asked.push_back(component.name);
    if (known != nullptr) {
      const ConstMatrixView h = known->hessian;
      Matrix copy(h.rows(), h.cols());
      for (std::size_t i = 0; i < h.rows(); ++i) std::copy_n(h.row(i).data(), h.cols(), copy.row(i).data());
      hessians.emplace(component.name, std::move(copy));
    }
    return known;
  }
  void compressed(const ModelComponent& component, const CompressedWeight& weight) override {
    inner_->compressed(component, weight);
  }
  nlohmann::json description() const override { return inner_->description(); }

  std::vector<std::string> asked;
  std::map<std::string, Matrix> hessians;

 private:
  std::shared_ptr<SequentialStatistics> inner_;
};

struct CompressionStatistics : ::testing::TestWithParam<std::string> {
  testing::TemporaryFolder folder;
  ModelFolder model;
  CalibrationTexts texts;

  void SetUp() override {
    LCOMP_REQUIRE(testing::golden("families/" + GetParam()));
    model = open_model(testing::golden("families/" + GetParam()));
    texts = {testing::random_tokens(250, model.config.vocab_size), "random tokens"};
  }
  std::string head() const { return model.config.tied_head ? "model.embed_tokens" : "lm_head"; }
};

// The Hessian of each linear is that of the model whose earlier components have the values of the compressed folder.
TEST_P(CompressionStatistics, AreThoseOfTheCompressedModel) {
  for (const BlockOrder order : {BlockOrder::whole_block, BlockOrder::by_stage}) {
    CalibrationOptions options;
    options.storage = ResidualStorage::float32;
    const auto statistics = std::make_shared<Recorder>(sequential_statistics(model, texts, order, options));
    compress_model(model, plan("gptq:bits=3,group=16,act_order"), folder / "out",
                   {.replace = true, .statistics = statistics});
    const ModelFolder compressed = open_model(folder / "out");

    testing::ReplacedTensors weights(model.tensors);
    ModelFolder partly = model;
    if (!model.config.tied_head) {
      auto embedding = std::make_shared<testing::ReplacedTensors>(model.tensors);
      embedding->replace("model.embed_tokens.weight", compressed.tensors->read("model.embed_tokens.weight"));
      partly.tensors = embedding;
    }
    Decoder decoder(std::move(partly));
    std::size_t compared = 0;
    for (std::size_t layer = 0; layer < model.config.num_layers(); ++layer) {
      const std::string block = "model.layers." + std::to_string(layer) + ".";
      const std::vector<std::vector<std::string>> stages = {
          {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
          {"self_attn.o_proj"},
          {"mlp.gate_proj", "mlp.up_proj"},
          {"mlp.down_proj"}};
      testing::ExactVisitor whole;
      const auto see = [&](testing::ExactVisitor& visitor) {
        for (const auto& stage : stages) visitor.wanted.insert(block + stage.front());
        ForwardOptions forward;
        forward.visitor = &visitor;
        forward.weights = &weights;
        decoder.forward(texts.batch, forward);
      };
      see(whole);
      for (const auto& stage : stages) {
        testing::ExactVisitor now;
        if (order == BlockOrder::by_stage) see(now);
        for (const std::string& linear : stage) {
          const auto& exact = order == BlockOrder::by_stage ? now : whole;
          EXPECT_LT(
              testing::hessian_error(statistics->hessians.at(block + linear).view(), *exact.of.at(block + linear)),
              3e-5)
              << block + linear;
          ++compared;
        }
        for (const std::string& linear : stage) {
          weights.replace(block + linear + ".weight", compressed.tensors->read(block + linear + ".weight"));
        }
      }
    }
    EXPECT_EQ(compared, 7 * model.config.num_layers());
    ForwardOptions forward;
    forward.weights = &weights;
    testing::ExactStatistics final_states;
    final_states.add(decoder.forward(texts.batch, forward).view());
    EXPECT_LT(testing::hessian_error(statistics->hessians.at(head()).view(), final_states), 3e-5);
    EXPECT_EQ(statistics->asked.back(), head());
    EXPECT_EQ(statistics->asked.size(), 7 * model.config.num_layers() + (model.config.tied_head ? 1u : 2u));
  }
}

TEST_P(CompressionStatistics, ArchivedAreThoseOfTheOriginal) {
  Decoder decoder(model);
  CalibrationArchive archive = calibrate(decoder, texts.batch, folder / "archive");
  const auto statistics =
      std::make_shared<Recorder>(archived_statistics(model, CalibrationArchive::open(folder / "archive")));
  compress_model(model, plan("gptq:bits=4,group=16"), folder / "out", {.statistics = statistics});
  for (const std::string& component : archive.components()) {
    EXPECT_TRUE(
        std::ranges::equal(statistics->hessians.at(component).span(), archive.statistics(component)->hessian.span()))
        << component;
  }
}

// The same bytes again, and lower errors of what the layers put out than by rounding.
TEST_P(CompressionStatistics, GptqIsBetterThanRoundingAndTheSameEveryTime) {
  const auto compress = [&](const char* method, const char* name, StatisticsSource statistics) {
    return compress_model(model, plan(method), folder / name, {.statistics = std::move(statistics)}).bytes;
  };
  const auto final_error = [&](const char* name) {
    Decoder original(model), compressed(open_model(folder / name));
    const Matrix a = original.forward(texts.batch), b = compressed.forward(texts.batch);
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double difference = static_cast<double>(a.span()[i]) - static_cast<double>(b.span()[i]);
      sum += difference * difference;
    }
    return sum;
  };
  const auto bytes = compress("gptq:bits=4,group=16", "a", sequential_statistics(model, texts, BlockOrder::by_stage));
  compress("gptq:bits=4,group=16", "b", sequential_statistics(model, texts, BlockOrder::by_stage));
  EXPECT_EQ(read_text_file(folder / "a/model.safetensors"), read_text_file(folder / "b/model.safetensors"));
  EXPECT_EQ(compress("rtn:bits=4,group=16", "rounded", {}), bytes);
  EXPECT_LT(final_error("a"), 0.95 * final_error("rounded"));
}

INSTANTIATE_TEST_SUITE_P(Families, CompressionStatistics, ::testing::Values("llama-tied", "llama2"),
                         [](const auto& family) {
                           std::string name = family.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(CompressionStatisticsTest, AnExpertWithoutTokensIsRoundedAndReported) {
  LCOMP_REQUIRE(testing::golden("families/mixtral"));
  const testing::TemporaryFolder folder;
  const ModelFolder model = open_model(testing::golden("families/mixtral"));
  CalibrationTexts texts{{}, "one token"};
  texts.batch.add(std::vector<std::int32_t>{5});
  const auto report = compress_model(model, plan("gptq:bits=4,group=16"), folder / "out",
                                     {.statistics = sequential_statistics(model, texts, BlockOrder::by_stage)});
  const ModelFolder compressed = open_model(folder / "out");
  const auto rounding = make_quantizer("rtn:bits=4,group=16", "test");
  std::size_t warned = 0;
  for (const ComponentReport& line : report.components) {
    if (line.warnings.empty() || line.kind != ComponentKind::linear) continue;
    if (line.warnings[0].find("no calibration token") == std::string::npos) continue;
    ++warned;
    const Matrix weight = model.tensors->read(line.name + ".weight");
    const Matrix expected = decode(rounding->quantize(weight.view(), {}, line.name).weight);
    EXPECT_TRUE(std::ranges::equal(compressed.tensors->read(line.name + ".weight").span(), expected.span()))
        << line.name;
  }
  // One token reaches experts_per_token experts of each layer: all three linear layers of the others are rounded.
  const auto& config = model.config;
  EXPECT_EQ(warned, 3 * config.num_layers() * (config.num_experts - config.experts_per_token));
}

TEST(CompressionStatisticsTest, GptqWithoutCalibrationIsRefused) {
  LCOMP_REQUIRE(testing::tiny_model());
  const testing::TemporaryFolder folder;
  try {
    compress_model(open_model(testing::tiny_model()), plan("gptq:bits=4"), folder / "out");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("without calibration"));
    EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  }
}

TEST(CompressionStatisticsTest, MayBeMadeOnWhatTheModelWasCompressedTo) {
  LCOMP_REQUIRE(testing::tiny_model());
  const testing::TemporaryFolder folder;
  const ModelFolder original = open_model(testing::tiny_model());
  compress_model(original, plan("rtn:bits=3,group=16"), folder / "once", {});
  const ModelFolder once = open_model(folder / "once");
  Decoder decoder(once);
  const CalibrationArchive archive = calibrate(decoder, testing::random_tokens(50, 137), folder / "archive");

  EXPECT_THROW(archived_statistics(original, CalibrationArchive::open(folder / "archive")), Error);
  const auto statistics = std::make_shared<Recorder>(
      archived_statistics(original, CalibrationArchive::open(folder / "archive"), {}, &once));
  compress_model(original, plan("gptq:bits=4,group=16"), folder / "twice", {.statistics = statistics});
  const std::string down = "model.layers.1.mlp.down_proj";
  EXPECT_TRUE(std::ranges::equal(statistics->hessians.at(down).span(), archive.statistics(down)->hessian.span()));
  EXPECT_EQ(statistics->description().at("measured"), archive.key().model);

  const ModelFolder other = open_model(testing::golden("families/llama2"));
  EXPECT_THAT(
      testing::message([&] { archived_statistics(other, CalibrationArchive::open(folder / "archive"), {}, &once); }),
      HasSubstr("same architecture"));
}

TEST(CompressionStatisticsTest, StatisticsOfAnotherModelAreRefused) {
  LCOMP_REQUIRE(testing::tiny_model());
  const testing::TemporaryFolder folder;
  Decoder decoder(open_model(testing::tiny_model()));
  calibrate(decoder, testing::random_tokens(50, 137), folder / "archive");
  EXPECT_THAT(testing::message([&] {
                archived_statistics(open_model(testing::golden("families/llama2")),
                                    CalibrationArchive::open(folder / "archive"));
              }),
              HasSubstr("model"));
}

}  // namespace
}  // namespace lcomp
