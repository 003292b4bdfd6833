// What gradients() promises beyond its values: finite differences, what visitors see, pieces, limits, and errors.
#include "lcomp/forward/gradients.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>

#include "calibration/replaced_tensors.h"
#include "forward/cpu_features.h"
#include "forward/token_chunks.h"
#include "gradient_recorder.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "lcomp/forward/cost.h"
#include "lcomp/models/model_folder.h"
#include "random_batch.h"
#include "support/golden_model.h"

namespace lcomp {
namespace {

using testing::golden;
using testing::GradientRecorder;

std::filesystem::path family(const std::string& name) { return golden("families/" + name); }

GradientRecorder record(Decoder& decoder, const TokenBatch& batch, const GradientOptions& options = {}) {
  NextTokenCost cost(batch);
  GradientRecorder recorder;
  gradients(decoder, batch, cost, recorder, options);
  return recorder;
}

// |a - b| / |b| over all tensors.
double difference(const GradientRecorder& a, const GradientRecorder& b) {
  EXPECT_EQ(a.order, b.order);
  double sum = 0, size = 0;
  for (const auto& [name, values] : b.of) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      sum += std::pow(static_cast<double>(a.of.at(name)[i]) - values[i], 2);
      size += std::pow(static_cast<double>(values[i]), 2);
    }
  }
  return std::sqrt(sum / size);
}

struct GradientFamily : ::testing::TestWithParam<const char*> {};

// Two entries of every tensor, the largest and a random one, of a second model of weights: the override. The
// embedding's too, where torch leaves out the padding token. The step balances the rounding of the cost (1e-6 of it,
// over the step) and its curvature (the square of the step).
TEST_P(GradientFamily, MatchesFiniteDifferences) {
  LCOMP_REQUIRE(family(GetParam()));
  Decoder decoder(open_model(family(GetParam())));
  const TokenBatch batch = testing::random_batch({9, 5}, decoder.config().vocab_size);
  testing::ReplacedTensors weights(decoder.model().tensors);
  Rng rng(3);
  GradientOptions options;
  options.weights = &weights;
  const auto factor = [&](const std::string& name, float scale) {
    Matrix values = decoder.model().tensors->read(name);
    for (float& v : values.span()) v *= scale;
    weights.replace(name, std::move(values));
  };
  for (const TensorInfo& tensor : decoder.model().tensors->tensors()) factor(tensor.name, 1.02F);
  const GradientRecorder exact = record(decoder, batch, options);
  const auto cost_at = [&](const std::string& name, std::size_t entry, float change) {
    const Matrix before = weights.read(name);
    Matrix after = before.clone();
    after.span()[entry] += change;
    weights.replace(name, std::move(after));
    NextTokenCost cost(batch);
    GradientVisitor nothing;
    const double value = gradients(decoder, batch, cost, nothing, options);
    weights.replace(name, before.clone());
    return value;
  };
  std::size_t checked = 0;
  for (const auto& [name, gradient] : exact.of) {
    if (name.find("layers.1.") == std::string::npos && name.find("layers.") != std::string::npos) continue;
    const auto largest = std::ranges::max_element(gradient, {}, [](float v) { return std::abs(v); });
    for (const std::size_t entry :
         {static_cast<std::size_t>(largest - gradient.begin()), static_cast<std::size_t>(rng.below(gradient.size()))}) {
      constexpr float step = 4e-3F;
      const double slope = (cost_at(name, entry, step) - cost_at(name, entry, -step)) / (2 * static_cast<double>(step));
      EXPECT_NEAR(gradient[entry], slope, 3e-4 + 1e-2 * std::abs(*largest)) << name << ", entry " << entry;
      ++checked;
    }
  }
  EXPECT_GE(checked, 2 * 9u);
}
INSTANTIATE_TEST_SUITE_P(Kinds, GradientFamily, ::testing::Values("llama-tied", "gemma3", "phi", "mixtral", "phi3"),
                         testing::golden_family_name);

// Sums over what linear_gradient() reports are the tensors' gradients, and every token is there once.
struct LinearSummer : GradientRecorder {
  struct Sum {
    std::size_t layer = 0;
    std::vector<double> weight;
    std::vector<std::size_t> tokens;
  };
  std::map<std::string, Sum> components;
  Matrix embedding;
  std::vector<std::int32_t> embedded;

  void linear_gradient(const LinearGradient& g) override {
    EXPECT_EQ(g.input.rows(), g.tokens.size());
    EXPECT_EQ(g.output_gradient.rows(), g.tokens.size());
    EXPECT_TRUE(std::ranges::is_sorted(g.tokens));
    std::size_t columns = 0;
    for (const ComponentOutputs& outputs : g.components) {
      EXPECT_EQ(outputs.begin, columns);
      columns += outputs.count;
      Sum& sum = components[outputs.component];
      sum.layer = g.layer;
      sum.tokens.insert(sum.tokens.end(), g.tokens.begin(), g.tokens.end());
      sum.weight.resize(outputs.count * g.input.cols());
      for (std::size_t t = 0; t < g.input.rows(); ++t) {
        for (std::size_t i = 0; i < outputs.count; ++i) {
          for (std::size_t j = 0; j < g.input.cols(); ++j)
            sum.weight[i * g.input.cols() + j] +=
                static_cast<double>(g.output_gradient(t, outputs.begin + i)) * g.input(t, j);
        }
      }
    }
    EXPECT_EQ(columns, g.output_gradient.cols());
  }
  void embedding_gradient(std::size_t first_token, std::span<const std::int32_t> ids,
                          ConstMatrixView gradient) override {
    EXPECT_EQ(first_token, embedded.size());
    EXPECT_EQ(gradient.rows(), ids.size());
    embedded.insert(embedded.end(), ids.begin(), ids.end());
  }
};

TEST(Gradients, VisitorsSeeEveryLinear) {
  for (const char* name : {"llama3", "mixtral", "phi3"}) {
    LCOMP_REQUIRE(family(name));
    Decoder decoder(open_model(family(name)));
    const TokenBatch batch = testing::random_batch({20, 1, 0, 33}, decoder.config().vocab_size);
    GradientOptions options;
    options.tokens_at_once = 30;
    NextTokenCost cost(batch);
    LinearSummer visitor;
    gradients(decoder, batch, cost, visitor, options);
    std::vector<std::size_t> all(batch.tokens());
    for (std::size_t t = 0; t < all.size(); ++t) all[t] = t;
    EXPECT_EQ(visitor.embedded, batch.ids);
    for (const auto& [component, sum] : visitor.components) {
      const std::vector<float>& gradient = visitor.of.at(component + ".weight");
      ASSERT_EQ(sum.weight.size(), gradient.size()) << component;
      double largest = 0, worst = 0;
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        largest = std::max(largest, std::abs(sum.weight[i]));
        worst = std::max(worst, std::abs(sum.weight[i] - static_cast<double>(gradient[i])));
      }
      EXPECT_LT(worst, 1e-5 * largest) << component;
      if (component.find("experts") != std::string::npos) continue;
      const bool head = component == "lm_head";
      EXPECT_EQ(sum.layer, head ? decoder.config().num_layers() : sum.layer);
      EXPECT_EQ(sum.tokens.size(), head ? 19u + 32u : all.size()) << component;
      if (!head) {
        EXPECT_EQ(sum.tokens, all) << component;
      }
    }
    for (const auto& [tensor, gradient] : visitor.of) {
      if (!tensor.ends_with("proj.weight")) continue;
      EXPECT_TRUE(visitor.components.contains(tensor.substr(0, tensor.size() - 7))) << tensor;
    }
  }
}

TEST(Gradients, OnlyWantedTensorsAreHandedOver) {
  LCOMP_REQUIRE(family("llama2"));
  Decoder decoder(open_model(family("llama2")));
  const TokenBatch batch = testing::random_batch({12}, decoder.config().vocab_size);
  const GradientRecorder all = record(decoder, batch);
  // The first and last of three linear layers with one input: two products.
  GradientRecorder some;
  some.wanted = {"model.layers.1.self_attn.q_proj.weight", "model.layers.1.self_attn.v_proj.weight",
                 "model.layers.0.mlp.up_proj.weight", "model.layers.2.post_attention_layernorm.weight"};
  NextTokenCost cost(batch);
  gradients(decoder, batch, cost, some);
  EXPECT_EQ(some.of.size(), 4u);
  for (const auto& [name, gradient] : some.of) {
    for (std::size_t i = 0; i < gradient.size(); ++i) ASSERT_NEAR(gradient[i], all.of.at(name)[i], 1e-6) << name;
  }
}

// An expert that no token chooses: one token, two of six experts.
TEST(Gradients, ExpertsWithoutTokensHaveAGradientOfZeros) {
  LCOMP_REQUIRE(family("mixtral"));
  Decoder decoder(open_model(family("mixtral")));
  const GradientRecorder found = record(decoder, testing::random_batch({2}, decoder.config().vocab_size));
  EXPECT_EQ(found.order, gradient_order(decoder.model()));
  std::size_t zero = 0;
  for (const auto& [name, gradient] : found.of) {
    if (name.ends_with("w2.weight")) zero += std::ranges::all_of(gradient, [](float v) { return v == 0; }) ? 1 : 0;
  }
  EXPECT_GE(zero, 3 * 2u);  // layers, at least two of six experts each
}

struct GradientPieces : ::testing::TestWithParam<const char*> {};

TEST_P(GradientPieces, ChunksChangeRoundingAndRepetitionNothing) {
  LCOMP_REQUIRE(family(GetParam()));
  Decoder decoder(open_model(family(GetParam())));
  const TokenBatch batch = testing::random_batch({70, 1, 0, 50, 530, 40}, decoder.config().vocab_size);
  GradientOptions options;
  options.tokens_at_once = 100000;
  const GradientRecorder whole = record(decoder, batch, options);
  EXPECT_EQ(difference(record(decoder, batch, options), whole), 0);
  options.memory_limit = 0;  // the blocks' inputs in a file
  EXPECT_EQ(difference(record(decoder, batch, options), whole), 0);
  // The insides of no block kept, and of the last one or two (some 2 MiB each).
  for (const std::uint64_t limit : {std::uint64_t{0}, std::uint64_t{4} << 20}) {
    options.activation_limit = limit;
    EXPECT_LT(difference(record(decoder, batch, options), whole), 1e-5) << limit;
  }
  options.tokens_at_once = 150;
  EXPECT_LT(difference(record(decoder, batch, options), whole), 1e-5);
  options.storage = ResidualStorage::scaled_half;
  const double rounded = difference(record(decoder, batch, options), whole);
  EXPECT_LT(rounded, 3e-3);
  EXPECT_GT(rounded, 1e-6);
  const std::size_t before = thread_count();
  set_thread_count(before == 1 ? 2 : 1);
  const GradientRecorder threads = record(decoder, batch);
  set_thread_count(before);
  EXPECT_LT(difference(threads, whole), 1e-5);
}
INSTANTIATE_TEST_SUITE_P(Kinds, GradientPieces, ::testing::Values("llama-tied", "gemma2", "phi"),
                         testing::golden_family_name);

TEST(Gradients, WeightsInMemoryGiveTheSame) {
  LCOMP_REQUIRE(family("qwen3"));
  Decoder streamed(open_model(family("qwen3"))), resident(open_model(family("qwen3")));
  resident.load_all();
  const TokenBatch batch = testing::random_batch({30}, streamed.config().vocab_size);
  EXPECT_EQ(difference(record(resident, batch), record(streamed, batch)), 0);
}

// The cost of one token: its later ones have no gradients, and only its row of logits is computed.
struct OneToken : LogitCost {
  explicit OneToken(std::size_t t) : token(t) {}
  std::size_t token, calls = 0;
  float slope = 1;
  bool needs(std::size_t t) const override { return t == token; }
  double add_gradient(std::span<const std::size_t> tokens, MatrixView<float> logits) override {
    EXPECT_THAT(tokens, ::testing::ElementsAre(token));
    ++calls;
    const double value = logits(0, 3);
    std::ranges::fill(logits.row(0), 0.0F);
    logits(0, 3) = slope;
    return value;
  }
};

TEST(Gradients, OnlyTokensWithACostAreScored) {
  LCOMP_REQUIRE(family("llama3"));
  Decoder decoder(open_model(family("llama3")));
  const TokenBatch batch = testing::random_batch({10, 10}, decoder.config().vocab_size);
  struct Recorder : GradientVisitor {
    Matrix gradient;
    void embedding_gradient(std::size_t, std::span<const std::int32_t>, ConstMatrixView g) override {
      gradient = Matrix(g.rows(), g.cols());
      for (std::size_t i = 0; i < g.rows(); ++i) std::ranges::copy(g.row(i), gradient.row(i).begin());
    }
  } recorder;
  OneToken cost(6);
  gradients(decoder, batch, cost, recorder);
  EXPECT_EQ(cost.calls, 1u);
  for (std::size_t t = 0; t < batch.tokens(); ++t) {
    const bool zero = std::ranges::all_of(recorder.gradient.row(t), [](float v) { return v == 0; });
    EXPECT_EQ(zero, t > 6) << t;
  }
}

TEST(Gradients, ReportsProgress) {
  LCOMP_REQUIRE(family("llama2"));
  Decoder decoder(open_model(family("llama2")));
  std::uint64_t last = 0;
  GradientOptions options;
  options.progress = [&](const ProgressEvent& event) {
    EXPECT_EQ(event.total, 9u);
    EXPECT_GE(event.done, last);
    last = event.done;
  };
  record(decoder, testing::random_batch({5}, decoder.config().vocab_size), options);
  EXPECT_EQ(last, 9u);
}

void expect_error(const std::function<void()>& use, const std::vector<std::string>& texts) {
  try {
    use();
    FAIL() << "no error";
  } catch (const Error& error) {
    for (const std::string& text : texts) EXPECT_THAT(error.what(), ::testing::HasSubstr(text));
  }
}

TEST(Gradients, BatchesWithoutACostAreRefused) {
  LCOMP_REQUIRE(family("llama2"));
  Decoder decoder(open_model(family("llama2")));
  const auto use = [&](const TokenBatch& batch) { return [&] { record(decoder, batch); }; };
  expect_error(use(testing::random_batch({1, 1}, 151)), {"2 sequences", "no token has a cost"});
  expect_error(use(TokenBatch()), {"no token has a cost"});
  TokenBatch outside;
  outside.add(std::vector<std::int32_t>{3, 151});
  expect_error(use(outside), {"token id 151", "position 1"});
}

TEST(Gradients, ValuesThatAreNotFiniteAreNamed) {
  LCOMP_REQUIRE(family("llama2"));
  Decoder decoder(open_model(family("llama2")));
  const TokenBatch batch = testing::random_batch({8}, 151);
  const auto with = [&](const std::string& name, float value) {
    testing::ReplacedTensors weights(decoder.model().tensors);
    Matrix values = decoder.model().tensors->read(name);
    values.fill(value);
    weights.replace(name, std::move(values));
    GradientOptions options;
    options.weights = &weights;
    record(decoder, batch, options);
  };
  for (const std::string name : {"model.layers.1.mlp.down_proj.weight", "model.norm.weight", "lm_head.weight",
                                 "model.embed_tokens.weight", "model.layers.0.input_layernorm.weight"}) {
    expect_error([&] { with(name, NAN); }, {name, "NaN"});
  }
  expect_error([&] { with("model.layers.1.mlp.up_proj.weight", 3e38F); }, {"layer 1", "its output"});
  expect_error([&] { with("lm_head.weight", 3e38F); }, {"cost"});
  // Finite weights and a finite cost, but gradients beyond float32.
  const auto steep = [&](float slope) {
    OneToken cost(6);
    cost.slope = slope;
    GradientRecorder recorder;
    gradients(decoder, batch, cost, recorder);
  };
  expect_error([&] { steep(INFINITY); }, {"the last layer"});
  expect_error([&] { steep(NAN); }, {"the last layer"});
  expect_error([&] { steep(3e38F); }, {"gradient", "NaN or infinity"});
}

// A gradient that overflows on its way through the blocks: its layer is named.
TEST(Gradients, TheLayerOfAnOverflowIsNamed) {
  LCOMP_REQUIRE(family("llama2"));
  Decoder decoder(open_model(family("llama2")));
  testing::ReplacedTensors weights(decoder.model().tensors);
  // Which leaves the outputs as they are, but the gradient between the two is 1e15 times as large.
  for (const auto& [name, factor] : {std::pair("up_proj", 1e-15F), std::pair("down_proj", 1e15F)}) {
    const std::string tensor = std::string("model.layers.1.mlp.") + name + ".weight";
    Matrix values = decoder.model().tensors->read(tensor);
    for (float& v : values.span()) v *= factor;
    weights.replace(tensor, std::move(values));
  }
  GradientOptions options;
  options.weights = &weights;
  OneToken cost(6);
  cost.slope = 1e30F;
  GradientVisitor visitor;
  expect_error([&] { gradients(decoder, testing::random_batch({8}, 151), cost, visitor, options); },
               {"layer 1: the gradient of its input"});
}

TEST(Gradients, AFolderWithoutRoomIsNamed) {
  LCOMP_REQUIRE(family("llama2"));
  Decoder decoder(open_model(family("llama2")));
  GradientOptions options;
  options.memory_limit = 0;
  options.spill_folder = "/absent/folder";
  expect_error([&] { record(decoder, testing::random_batch({8}, 151), options); }, {"/absent/folder"});
}

TEST(Gradients, ProductsInBfloat16AreRefused) {
  LCOMP_REQUIRE(family("llama2"));
  if (!bfloat16_supported()) GTEST_SKIP() << "needs AVX512-BF16 or AMX-BF16";
  Decoder decoder(open_model(family("llama2")), ComputeType::bfloat16);
  expect_error([&] { record(decoder, testing::random_batch({8}, 151)); }, {"bfloat16"});
}

TEST(TokenChunks, CutBetweenSequences) {
  const TokenBatch batch = testing::random_batch({100, 900, 0, 30, 470, 1}, 10);
  const auto chunks = cut_between_sequences(batch, 500);
  ASSERT_EQ(chunks.size(), 4u);
  EXPECT_EQ(chunks[1].first_token, 100u);
  EXPECT_EQ(chunks[1].tokens, 900u);  // longer than asked: alone
  EXPECT_EQ(chunks[2].first_token, 1000u);
  ASSERT_EQ(chunks[2].pieces.size(), 2u);
  EXPECT_EQ(chunks[2].pieces[1].first_row, 30u);
  EXPECT_EQ(chunks[2].pieces[1].sequence, 4u);
  EXPECT_EQ(chunks[2].pieces[1].sequence_length, 470u);
  EXPECT_EQ(chunks[3].tokens, 1u);
}

}  // namespace
}  // namespace lcomp
