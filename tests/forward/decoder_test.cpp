// What the decoder promises beyond its values: batching, threads, visitors, weights from elsewhere.
#include "lcomp/forward/decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "forward/token_chunks.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "lcomp/models/model_folder.h"
#include "random_batch.h"
#include "support/golden_model.h"

namespace lcomp {
namespace {

using testing::golden;

struct FamilyDecoder : ::testing::TestWithParam<const char*> {
  std::filesystem::path folder() const { return golden(std::string("families/") + GetParam()); }
};

// Lengths around the sizes of attention's tiles and of a chunk of tokens; an empty sequence among them.
TEST_P(FamilyDecoder, ASequenceAloneIsTheSameAsInABatch) {
  LCOMP_REQUIRE(folder());
  Decoder decoder(open_model(folder()));
  const TokenBatch batch = testing::random_batch({1, 2, 63, 64, 65, 513, 0, 300, 77, 512}, decoder.config().vocab_size);
  const Matrix together = decoder.forward(batch);
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    if (batch.sequence(s).empty()) continue;
    TokenBatch alone;
    alone.add(batch.sequence(s));
    const Matrix expected = decoder.forward(alone);
    EXPECT_LT(
        testing::relative_difference(together.view().rows_range(batch.offsets[s], expected.rows()), expected.view()),
        1e-5)
        << "sequence " << s;
  }
}

// Prefixes of lengths around the sizes of attention's tiles, in one chunk and across several; one is used again after
// another, one by nobody, one is empty. Sliding windows of the families end inside them.
TEST_P(FamilyDecoder, ASharedPrefixGivesTheStatesOfWholeSequences) {
  LCOMP_REQUIRE(folder());
  Decoder decoder(open_model(folder()));
  const TokenBatch parts =
      testing::random_batch({64, 5, 1, 700, 130, 63, 65, 0, 20, 31, 40}, decoder.config().vocab_size);
  TokenBatch shared;
  const auto add_whole = [&](std::size_t s) { shared.add(parts.sequence(s)); };
  const auto add_after = [&](std::size_t prefix, std::size_t s) { shared.add_after(prefix, parts.sequence(s)); };
  add_whole(0);
  add_after(0, 1);
  add_after(0, 2);
  add_whole(3);  // sequence 3, longer than a chunk
  add_after(3, 4);
  add_after(0, 5);
  add_after(3, 6);
  add_whole(7);  // sequence 7, empty
  add_after(7, 8);
  add_whole(9);
  add_after(3, 10);
  const Matrix together = decoder.forward(shared);
  for (std::size_t s = 0; s < shared.sequences(); ++s) {
    if (shared.sequence(s).empty() ||
        !prefix_can_be_shared(decoder.config(), shared.prefix_length(s), shared.prefix_length(s) + 1))
      continue;
    std::vector<std::int32_t> ids;
    if (shared.prefix(s) != TokenBatch::no_prefix) {
      const auto prefix = shared.sequence(shared.prefix(s));
      ids.assign(prefix.begin(), prefix.end());
    }
    ids.insert(ids.end(), shared.sequence(s).begin(), shared.sequence(s).end());
    TokenBatch alone;
    alone.add(ids);
    const Matrix expected = decoder.forward(alone);
    const std::size_t own = shared.sequence(s).size();
    EXPECT_LT(testing::relative_difference(together.view().rows_range(shared.offsets[s], own),
                                           expected.view().rows_range(expected.rows() - own, own)),
              1e-5)
        << "sequence " << s;
  }
}

TEST_P(FamilyDecoder, ThreadsChangeRoundingAtMostAndRepetitionNothing) {
  LCOMP_REQUIRE(folder());
  const TokenBatch batch = testing::random_batch({70, 600}, open_model(folder()).config.vocab_size);
  const std::size_t before = thread_count();
  const auto run = [&](std::size_t threads) {
    set_thread_count(threads);
    return Decoder(open_model(folder())).forward(batch);
  };
  const Matrix one = run(1), two = run(2), again = run(2);
  set_thread_count(before);
  EXPECT_LT(testing::relative_difference(two.view(), one.view()), 1e-5);
  EXPECT_EQ(testing::relative_difference(again.view(), two.view()), 0);
}

// Every linear of a layer is reported for every token once, chunk by chunk, with its input width.
struct InputCounter : BlockVisitor {
  explicit InputCounter(const DecoderConfig& c) : config(c) {}
  const DecoderConfig& config;
  std::map<std::string, std::size_t> tokens;
  std::map<std::string, std::size_t> widths;
  void linear_input(std::size_t layer, std::span<const std::string> components, std::size_t first_token,
                    ConstMatrixView input) override {
    for (const std::string& name : components) {
      EXPECT_NE(name.find("layers." + std::to_string(layer) + "."), std::string::npos) << name;
      EXPECT_EQ(tokens[name], first_token) << name;
      tokens[name] += input.rows();
      widths[name] = input.cols();
    }
  }
};

TEST_P(FamilyDecoder, VisitorsSeeTheInputOfEveryLinear) {
  LCOMP_REQUIRE(folder());
  Decoder decoder(open_model(folder()));
  const DecoderConfig& c = decoder.config();
  const TokenBatch batch = testing::random_batch({600, 3}, c.vocab_size);
  InputCounter counter(c);
  ForwardOptions options;
  options.visitor = &counter;
  decoder.forward(batch, options);
  for (const BlockSlices& block : decoder.model().slices.blocks) {
    for (const LinearSlices* linear :
         {&block.query, &block.key, &block.value, &block.output, &block.mlp.gate, &block.mlp.up, &block.mlp.down}) {
      if (linear->weight.tensor.empty()) continue;
      const std::string name =
          linear->weight.tensor.substr(0, linear->weight.tensor.size() - std::string(".weight").size());
      EXPECT_EQ(counter.tokens[name], batch.tokens()) << name;
      EXPECT_EQ(counter.widths[name], linear->weight.cols) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyDecoder, ::testing::ValuesIn(testing::golden_families),
                         testing::golden_family_name);

// The model's tensors with some values changed.
class ChangedSource : public TensorSource {
 public:
  ChangedSource(const TensorSource& original, std::string tensor, std::size_t row, std::size_t col, float value)
      : original_(original), tensor_(std::move(tensor)), row_(row), col_(col), value_(value) {}
  const std::string& where() const override { return original_.where(); }
  const std::vector<TensorInfo>& tensors() const override { return original_.tensors(); }
  void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) const override {
    original_.read_rows(name, row_begin, row_count, out);
    if (name != tensor_ || row_ < row_begin || row_ >= row_begin + row_count) return;
    out[(row_ - row_begin) * (out.size() / row_count) + col_] = value_;
  }

 private:
  const TensorSource& original_;
  std::string tensor_;
  std::size_t row_, col_;
  float value_;
};

TEST(Decoder, WeightsThatAreNotFiniteAreNamed) {
  LCOMP_REQUIRE(golden("families/llama2"));
  const auto expect_refused = [&](const std::string& tensor, std::size_t row, std::size_t col, float value,
                                  const std::string& text, auto&& use) {
    ModelFolder model = open_model(golden("families/llama2"));
    const auto original = model.tensors;
    model.tensors = std::make_shared<ChangedSource>(*original, tensor, row, col, value);
    Decoder decoder(std::move(model));
    try {
      use(decoder);
      FAIL() << "no error for " << tensor;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(tensor), std::string::npos) << error.what();
    }
  };
  const auto forward = [](Decoder& d) { d.forward(testing::random_batch({4}, 151)); };
  const auto load = [](Decoder& d) { d.load_all(); };
  const auto head = [](Decoder& d) {
    Matrix states(1, 48), logits(1, 151);
    states.fill(0);
    d.logits(states.view(), logits.view());
  };
  expect_refused("model.layers.1.mlp.down_proj.weight", 47, 87, NAN, "NaN", forward);
  expect_refused("model.layers.1.mlp.down_proj.weight", 47, 87, NAN, "row 47, column 87", load);
  expect_refused("model.layers.2.input_layernorm.weight", 3, 0, INFINITY, "infinity", forward);
  expect_refused("lm_head.weight", 100, 5, -INFINITY, "infinity", head);
  expect_refused("model.norm.weight", 0, 0, NAN, "NaN", forward);
}

TEST(Decoder, BlocksReadTheirWeightsFromElsewhereWhenTold) {
  LCOMP_REQUIRE(golden("families/llama2"));
  Decoder decoder(open_model(golden("families/llama2")));
  const TokenBatch batch = testing::random_batch({20}, decoder.config().vocab_size);
  const Matrix original = decoder.forward(batch);
  const ChangedSource changed(*decoder.model().tensors, "model.layers.0.self_attn.v_proj.weight", 0, 0, 5.0f);
  ForwardOptions options;
  options.weights = &changed;
  const Matrix other = decoder.forward(batch, options);
  EXPECT_GT(testing::relative_difference(other.view(), original.view()), 1e-3);
  decoder.load_all();  // weights in memory must not hide the others
  EXPECT_EQ(testing::relative_difference(decoder.forward(batch, options).view(), other.view()), 0);
  EXPECT_EQ(testing::relative_difference(decoder.forward(batch).view(), original.view()), 0);
}

TEST(Decoder, ForwardIsItsPartsInOrder) {
  LCOMP_REQUIRE(golden("families/llama3"));
  Decoder decoder(open_model(golden("families/llama3")));
  const TokenBatch batch = testing::random_batch({20, 30}, decoder.config().vocab_size);
  Matrix states = decoder.embed(batch);
  for (std::size_t layer = 0; layer < decoder.config().num_layers(); ++layer)
    decoder.run_block(layer, batch, states.view());
  decoder.normalize(states.view());
  EXPECT_EQ(testing::relative_difference(decoder.forward(batch).view(), states.view()), 0);
}

// Its linear layers are given what they are given in the whole block; the others are not reached, nor their weights
// read.
TEST(Decoder, TheAttentionHalfAlone) {
  LCOMP_REQUIRE(golden("families/llama3"));
  Decoder decoder(open_model(golden("families/llama3")));
  const TokenBatch batch = testing::random_batch({20, 600}, decoder.config().vocab_size);
  const Matrix embedded = decoder.embed(batch);
  const ChangedSource damaged(*decoder.model().tensors, "model.layers.0.mlp.up_proj.weight", 0, 0, NAN);
  InputCounter counter(decoder.config());
  ForwardOptions options;
  options.visitor = &counter;
  options.weights = &damaged;
  Matrix half = embedded.clone();
  decoder.run_block(0, batch, half.view(), options, BlockPart::attention);
  std::map<std::string, std::size_t> expected;
  for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
    expected[std::string("model.layers.0.self_attn.") + name] = batch.tokens();
  }
  EXPECT_EQ(counter.tokens, expected);
  Matrix whole = embedded.clone();
  options.visitor = nullptr;
  EXPECT_THROW(decoder.run_block(0, batch, whole.view(), options), Error);
}

TEST(Decoder, IdsOutsideTheVocabularyAreRefused) {
  LCOMP_REQUIRE(golden("families/llama2"));
  Decoder decoder(open_model(golden("families/llama2")));
  TokenBatch batch;
  for (const std::int32_t id : {151, -1}) {
    batch.add(std::vector<std::int32_t>{3, id});
    EXPECT_THROW(decoder.forward(batch), Error);
  }
  EXPECT_EQ(decoder.forward(TokenBatch()).rows(), 0u);
}

// longrope: the factors of all positions follow from the whole length (original length 32).
TEST(Decoder, APrefixWithOtherRotaryFactorsIsRefused) {
  LCOMP_REQUIRE(golden("families/phi3-longrope"));
  Decoder decoder(open_model(golden("families/phi3-longrope")));
  TokenBatch batch = testing::random_batch({20}, 100);
  const TokenBatch more = testing::random_batch({12, 13}, 100);
  batch.add_after(0, more.sequence(0));
  EXPECT_NO_THROW(decoder.forward(batch));
  batch.add_after(0, more.sequence(1));
  EXPECT_THROW(decoder.forward(batch), Error);
}

TEST(Decoder, ReportsAStepABlock) {
  LCOMP_REQUIRE(golden("families/llama2"));
  Decoder decoder(open_model(golden("families/llama2")));
  std::vector<std::uint64_t> done;
  ForwardOptions options;
  options.progress = [&](const ProgressEvent& event) {
    EXPECT_EQ(event.total, 3u);
    done.push_back(event.done);
  };
  decoder.forward(testing::random_batch({5}, 151), options);
  ASSERT_FALSE(done.empty());
  EXPECT_EQ(done.back(), 3u);
}

// Each token meets exactly experts_per_token experts, and both linear layers of an expert see the same tokens.
TEST(Decoder, VisitorsSeeTheTokensOfEachExpert) {
  LCOMP_REQUIRE(golden("families/mixtral"));
  struct Recorder : BlockVisitor {
    std::map<std::string, std::vector<std::size_t>> tokens;
    void expert_input(std::size_t, std::span<const std::string> components, std::span<const std::size_t> chosen,
                      ConstMatrixView input) override {
      EXPECT_EQ(input.rows(), chosen.size());
      for (const std::string& name : components) tokens[name].insert(tokens[name].end(), chosen.begin(), chosen.end());
    }
  } recorder;
  Decoder decoder(open_model(golden("families/mixtral")));
  ForwardOptions options;
  options.visitor = &recorder;
  const TokenBatch batch = testing::random_batch({700}, decoder.config().vocab_size);
  decoder.forward(batch, options);
  for (std::size_t layer = 0; layer < 3; ++layer) {
    std::vector<int> seen(batch.tokens());
    for (std::size_t e = 0; e < 6; ++e) {
      const std::string prefix =
          "model.layers." + std::to_string(layer) + ".block_sparse_moe.experts." + std::to_string(e);
      const auto& chosen = recorder.tokens[prefix + ".w1"];
      EXPECT_TRUE(std::is_sorted(chosen.begin(), chosen.end()));
      EXPECT_EQ(chosen, recorder.tokens[prefix + ".w2"]);
      EXPECT_EQ(chosen, recorder.tokens[prefix + ".w3"]);
      for (const std::size_t token : chosen) ++seen[token];
    }
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 2), static_cast<std::ptrdiff_t>(seen.size()));
  }
}

TEST(TokenChunks, CutAtFixedPlaces) {
  // 100 + 900 + 0 + 30 tokens: chunks of 512, 512 and 6.
  const TokenBatch batch = testing::random_batch({100, 900, 0, 30}, 10);
  const auto chunks = cut_into_chunks(batch);
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[2].tokens, 6u);
  ASSERT_EQ(chunks[0].pieces.size(), 2u);
  EXPECT_EQ(chunks[0].pieces[1].rows, 412u);
  ASSERT_EQ(chunks[1].pieces.size(), 2u);
  EXPECT_EQ(chunks[1].pieces[0].first_position, 412u);
  EXPECT_EQ(chunks[1].pieces[0].rows, 488u);
  EXPECT_EQ(chunks[1].pieces[0].sequence_length, 900u);
  EXPECT_EQ(chunks[1].pieces[1].sequence, 3u);
  EXPECT_EQ(chunks[1].pieces[1].first_row, 488u);
  EXPECT_EQ(chunks[2].pieces[0].first_position, 24u);
}

}  // namespace
}  // namespace lcomp
