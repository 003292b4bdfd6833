// Input scales that go into norms and linear layers instead of being stored: what must not change, what must, which
// scales are chosen, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "lcomp/compression/compress_model.h"
#include "lcomp/core/error.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/compressed_folder.h"
#include "lcomp/formats/dense.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/models/scalable_inputs.h"
#include "lcomp/quantizers/cost/proxy_error.h"
#include "plans.h"
#include "support/error_message.h"
#include "support/golden_model.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Json = nlohmann::json;

struct Killed {};

TokenBatch random_sequence(const ModelFolder& model, std::size_t tokens, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<std::int32_t> ids(tokens);
  for (auto& id : ids) id = static_cast<std::int32_t>(rng.below(model.config.vocab_size));
  TokenBatch batch;
  batch.add(ids);
  return batch;
}

// The Hessian of every linear's input on random tokens, with channels of very different sizes: those of the tiny
// models are alike.
class RecordedHessians : public RandomAccessStatistics, private BlockVisitor {
 public:
  explicit RecordedHessians(const ModelFolder& model) {
    const TokenBatch batch = random_sequence(model, 120, 5);
    Decoder decoder(model);
    ForwardOptions options;
    options.visitor = this;
    const Matrix states = decoder.forward(batch, options);
    for (const ModelComponent& component : model_components(model)) {
      if (component.kind == ComponentKind::head) record(component.name, states.view());
    }
  }
  std::shared_ptr<const LayerStats> statistics(const ModelComponent& component) override {
    if (left == 0) throw Killed();
    --left;
    ++asked;
    const auto found = hessians.find(component.name);
    if (found == hessians.end()) return nullptr;
    auto stats = std::make_shared<LayerStats>();
    stats->hessian = found->second.view();
    stats->tokens = tokens.at(component.name);
    return stats;
  }
  Json description() const override { return "test"; }

  std::map<std::string, Matrix> hessians;
  std::map<std::string, std::uint64_t> tokens;
  std::size_t left = 1000000, asked = 0;

 private:
  void record(const std::string& name, ConstMatrixView input) {
    Matrix hessian(input.cols(), input.cols());
    for (std::size_t i = 0; i < input.cols(); ++i) {
      for (std::size_t j = 0; j < input.cols(); ++j) {
        double sum = 0;
        const double size = std::exp2(static_cast<double>(i % 7 + j % 7) - 6);
        for (std::size_t t = 0; t < input.rows(); ++t) sum += static_cast<double>(input(t, i)) * input(t, j);
        hessian(i, j) = static_cast<float>(2 * size * sum / static_cast<double>(input.rows()));
      }
    }
    tokens[name] = input.rows();
    hessians[name] = std::move(hessian);
  }
  void linear_input(std::size_t, std::span<const std::string> components, std::size_t, ConstMatrixView input) override {
    for (const std::string& name : components) record(name, input);
  }
  void expert_input(std::size_t, std::span<const std::string> components, std::span<const std::size_t>,
                    ConstMatrixView input) override {
    for (const std::string& name : components) record(name, input);
  }
};

// The model with norms and biases rounded to f16.
class HalfNorms : public TensorSource {
 public:
  explicit HalfNorms(const ModelFolder& model) : original_(model.tensors) {
    for (const std::string& tensor : uncompressed_tensors(model)) rounded_.insert(tensor);
  }
  const std::string& where() const override { return original_->where(); }
  const std::vector<TensorInfo>& tensors() const override { return original_->tensors(); }
  void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) const override {
    original_->read_rows(name, row_begin, row_count, out);
    if (!rounded_.contains(name)) return;
    for (float& value : out) value = rounded_to(DenseType::f16, value);
  }

 private:
  std::shared_ptr<const TensorSource> original_;
  std::set<std::string, std::less<>> rounded_;
};

CompressionPlan plan_by(const char* method) { return testing::plan_of(Json{{"quantizer", method}}); }

Matrix logits_of(const ModelFolder& model) {
  const TokenBatch batch = random_sequence(model, 40, 11);
  Decoder decoder(model);
  const Matrix normed = decoder.forward(batch);
  Matrix logits(normed.rows(), model.config.vocab_size);
  decoder.logits(normed.view(), logits.view());
  return logits;
}

class InputFoldingTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    LCOMP_REQUIRE(testing::golden(std::string("families/") + GetParam()));
    model = open_model(testing::golden(std::string("families/") + GetParam()));
    statistics = std::make_shared<RecordedHessians>(model);
  }
  CompressionReport compress(const CompressionPlan& plan, const std::string& out) {
    CompressOptions options;
    options.replace = true;
    options.statistics = statistics;
    return compress_model(model, plan, folder / out, options);
  }

  testing::TemporaryFolder folder;
  ModelFolder model;
  std::shared_ptr<RecordedHessians> statistics;
};

// Every weight that a scale goes into differs from the original's, and the logits don't.
TEST_P(InputFoldingTest, TheFunctionIsKept) {
  compress(plan_by("scale:fold,alpha=0.7+f32"), "folded");
  const ModelFolder folded = open_model(folder / "folded");
  EXPECT_LT(testing::relative_difference(logits_of(folded).view(), logits_of(model).view()), 1e-5);
  const auto differs = [&](const std::string& tensor) {
    const Matrix before = model.tensors->read(tensor), after = folded.tensors->read(tensor);
    return !std::ranges::equal(before.span(), after.span());
  };
  const std::vector<ScalableInput> inputs = scalable_inputs(model);
  EXPECT_GE(inputs.size(), 3 * model.config.num_layers() - (model.config.gated_mlp ? 0 : model.config.num_layers()));
  for (const ScalableInput& input : inputs) {
    for (const LinearSlices& reader : input.readers) EXPECT_TRUE(differs(reader.weight.tensor)) << reader.weight.tensor;
    for (const TensorSlice* slice : {&input.norm.gain, &input.norm.bias, &input.source.weight, &input.source.bias}) {
      EXPECT_TRUE(slice->tensor.empty() || differs(slice->tensor)) << slice->tensor;
    }
  }
}

// Norms and biases of 16-bit values become 16-bit values, with scales that fit: the function is kept nevertheless.
TEST_P(InputFoldingTest, KeptTensorsStayIn16Bits) {
  auto halves = std::make_shared<HalfNorms>(model);
  ModelFolder original = model;
  original.tensors = halves;
  CompressOptions options;
  options.statistics = statistics;
  compress_model(original, plan_by("scale:fold,alpha=0.7+f32"), folder / "folded", options);
  const CompressedFolder folded(folder / "folded");
  std::set<std::string> norm_biases;
  for (const ScalableInput& input : scalable_inputs(model)) norm_biases.insert(input.norm.bias.tensor);
  for (const std::string& tensor : uncompressed_tensors(model)) {
    if (norm_biases.contains(tensor)) continue;
    EXPECT_EQ(folded.info(tensor).stored_bytes, 2 * folded.info(tensor).elements()) << tensor;
  }
  EXPECT_LT(testing::relative_difference(logits_of(open_model(folder / "folded")).view(), logits_of(original).view()),
            1e-5);
}

// Nothing is stored for it, but where nothing can take the scale: two bytes a column then, and a warning.
TEST_P(InputFoldingTest, BytesAreThoseWithoutScales) {
  const CompressionReport folded = compress(plan_by("scale:fold,steps=2+gptq:bits=3,group=16"), "folded");
  const CompressionReport plain = compress(plan_by("gptq:bits=3,group=16"), "plain");
  std::uint64_t stored = 0;
  for (std::size_t i = 0; i < folded.components.size(); ++i) {
    const ComponentReport& line = folded.components[i];
    const bool stores_scale = line.bytes != plain.components[i].bytes;
    EXPECT_EQ(stores_scale, !model.config.gated_mlp && line.name.ends_with("fc2")) << line.name;
    if (stores_scale) stored += 2 * model.config.intermediate_size;
    EXPECT_EQ(stores_scale, std::ranges::any_of(line.warnings,
                                                [](const std::string& warning) {
                                                  return warning.find("which is stored") != std::string::npos;
                                                }))
        << line.name;
    const bool scaled = line.quantizer.starts_with("scale:fold,steps=2+gptq");
    EXPECT_EQ(scaled, line.kind == ComponentKind::linear || line.kind == ComponentKind::head) << line.name;
  }
  EXPECT_EQ(folded.kept_bytes, plain.kept_bytes);
  EXPECT_EQ(folded.bytes, plain.bytes + stored);
  EXPECT_EQ(CompressedFolder(folder / "folded").payload_bytes(), folded.bytes);
}

INSTANTIATE_TEST_SUITE_P(Families, InputFoldingTest, ::testing::ValuesIn(testing::golden_families),
                         testing::golden_family_name);

class LlamaFoldingTest : public InputFoldingTest {};

// The scales are one for query, key and value, and those of least error in all, seen as errors of the original weights.
TEST_P(LlamaFoldingTest, TheBestScaleOfThoseThatShareAnInput) {
  const auto plan = [](const std::string& scale) {
    Json json = {{"quantizer", "rtn:bits=3,group=16"}, {"components", Json::object()}};
    for (const char* name : {"*.q_proj", "*.k_proj", "*.v_proj"})
      json["components"][name] = scale + "+rtn:bits=3,group=16";
    return testing::plan_of(json);
  };
  // The error of each layer.
  const auto errors = [&](const std::string& scale) {
    compress(plan(scale), "out");
    const ModelFolder compressed = open_model(folder / "out");
    std::vector<double> all;
    for (const BlockSlices& block : model.slices.blocks) {
      const Matrix before = model.tensors->read(block.input_norm.gain.tensor);
      const Matrix after = compressed.tensors->read(block.input_norm.gain.tensor);
      double error = 0;
      for (const LinearSlices* linear : {&block.query, &block.key, &block.value}) {
        const Matrix weight = model.tensors->read(linear->weight.tensor);
        Matrix decoded = compressed.tensors->read(linear->weight.tensor);
        for (std::size_t i = 0; i < decoded.rows(); ++i) {
          for (std::size_t j = 0; j < decoded.cols(); ++j) decoded(i, j) *= after(j, 0) / before(j, 0);
        }
        error += proxy_error(weight.view(), decoded.view(),
                             statistics->hessians.at(component_name(linear->weight.tensor)).view());
      }
      all.push_back(error);
    }
    return all;
  };
  const std::vector<double> chosen = errors("scale:fold,steps=4");
  std::vector<double> least = errors("scale:fold,alpha=0");
  std::size_t differ = 0;
  for (const char* alpha : {"0.25", "0.5", "0.75", "1"}) {
    const std::vector<double> other = errors(std::string("scale:fold,alpha=") + alpha);
    for (std::size_t layer = 0; layer < least.size(); ++layer) {
      differ += other[layer] != least[layer];
      least[layer] = std::min(least[layer], other[layer]);
    }
  }
  EXPECT_GT(differ, 0u);
  for (std::size_t layer = 0; layer < least.size(); ++layer) {
    EXPECT_NEAR(chosen[layer], least[layer], 1e-9 * least[layer]) << layer;
  }
}

TEST_P(LlamaFoldingTest, KilledAnywhereItEndsWithTheSameBytes) {
  const CompressionPlan plan = plan_by("scale:fold,steps=2+gptq:bits=3,group=16,act_order");
  compress(plan, "whole");
  const std::size_t all = statistics->asked;
  for (std::size_t end = 0; end < all; end += 5) {
    const std::string out = "out" + std::to_string(end);
    const auto killed = std::make_shared<RecordedHessians>(model), resumed = std::make_shared<RecordedHessians>(model);
    killed->left = end;
    CompressOptions options;
    options.work = Workspace(folder / (out + ".work"), "");
    options.statistics = killed;
    EXPECT_THROW(compress_model(model, plan, folder / out, options), Killed);
    options.statistics = resumed;
    compress_model(model, plan, folder / out, options);
    EXPECT_LE(resumed->asked, all - end + 6) << "what was finished is done again";
    EXPECT_TRUE(read_text_file(folder / out / "model.safetensors") ==
                read_text_file(folder / "whole" / "model.safetensors"))
        << end;
  }
}

TEST_P(LlamaFoldingTest, TargetsAndActivations) {
  CompressionPlan plan = testing::plan_of(Json{{"quantizer", "scale:fold,steps=2+rtn:group=16"},
                                               {"target", {{"bits_per_weight", 5}}},
                                               {"activations", {{"bits", 8}}}});
  const CompressionReport report = compress(plan, "out");
  EXPECT_LE(report.bits_per_weight, 5);
  EXPECT_GT(report.bits_per_weight, 4);
  EXPECT_TRUE(open_model(folder / "out").activations);
  plan.activations->granularity = ActivationGranularity::tensor;
  plan.activations->range = ActivationRange::minmax;
  EXPECT_THAT(testing::message([&] { compress(plan, "out"); }), HasSubstr("that are not scaled"));
}

TEST_P(LlamaFoldingTest, WhatCannotBeFoldedIsRefused) {
  const auto fails = [&](const Json& plan) {
    return testing::message([&] { compress(testing::plan_of(plan), "out"); });
  };
  EXPECT_THAT(fails({{"quantizer", "scale:fold+rtn:bits=4"}, {"components", {{"*.k_proj", "rtn:bits=4"}}}}),
              HasSubstr("share an input"));
  EXPECT_THAT(
      fails({{"quantizer", "scale:fold+rtn:bits=4"}, {"components", {{"*.k_proj", "scale:fold,alpha=1+rtn:bits=4"}}}}),
      HasSubstr("share an input"));
  EXPECT_THAT(fails({{"quantizer", "scale:fold+rtn:bits=4"}, {"components", {{"*.v_proj", "scale+rtn:bits=4"}}}}),
              HasSubstr("share an input"));
  EXPECT_THAT(fails({{"quantizer", "rtn:bits=4"},
                     {"components", {{"*.o_proj", "scale:fold+rtn:bits=4"}, {"*.v_proj", "banded:bits=4"}}}}),
              HasSubstr("v_proj"));
  const CompressionPlan plan = plan_by("scale:fold+rtn:bits=4");
  EXPECT_TRUE(uses_statistics(plan));
  EXPECT_THAT(testing::message([&] { compress_model(model, plan, folder / "out"); }), HasSubstr("without calibration"));
  CompressOptions options;
  options.statistics = in_order(statistics);
  EXPECT_THAT(testing::message([&] { compress_model(model, plan, folder / "out", options); }), HasSubstr("original"));
  EXPECT_FALSE(fs::exists(folder / "out"));
}

INSTANTIATE_TEST_SUITE_P(Llama, LlamaFoldingTest, ::testing::Values("llama2"), testing::golden_family_name);

}  // namespace
}  // namespace lcomp
