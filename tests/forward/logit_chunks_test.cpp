// From final states to logits, some rows at a time.
#include "lcomp/forward/logit_chunks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "lcomp/models/model_folder.h"
#include "random_batch.h"
#include "support/golden_model.h"

namespace lcomp {
namespace {

using testing::golden;

struct LogitChunks : ::testing::Test {
  void SetUp() override {
    LCOMP_REQUIRE(golden("families/llama2"));
    decoder.emplace(open_model(golden("families/llama2")));
    batch = testing::random_batch({20, 13}, decoder->config().vocab_size);
    states = decoder->forward(batch);
    logits = Matrix(states.rows(), decoder->config().vocab_size);
    decoder->logits(states.view(), logits.view());
  }

  std::optional<Decoder> decoder;
  TokenBatch batch;
  Matrix states, logits;  // all of the batch, [33, hidden] and [33, vocab]
};

// 33 rows, 8 at a time: 8, 8, 8, 8, 1.
TEST_F(LogitChunks, AllRowsInOrder) {
  std::vector<std::size_t> begins;
  for_each_logits(*decoder, states.view(), 8, [&](std::size_t first, MatrixView<float> some) {
    begins.push_back(first);
    EXPECT_LT(testing::relative_difference(some, logits.view().rows_range(first, some.rows())), 1e-5);
    std::fill_n(some.data(), some.size(), 7.0F);
  });
  EXPECT_EQ(begins, (std::vector<std::size_t>{0, 8, 16, 24, 32}));
}

TEST_F(LogitChunks, SomeRowsInAnyOrder) {
  const std::vector<std::size_t> rows = {30, 2, 2, 17, 5};
  std::size_t seen = 0;
  for_each_logits(*decoder, states.view(), rows, 3, [&](std::size_t first, ConstMatrixView some) {
    for (std::size_t i = 0; i < some.rows(); ++i) {
      EXPECT_LT(testing::relative_difference(some.rows_range(i, 1), logits.view().rows_range(rows[first + i], 1)),
                1e-5);
    }
    seen += some.rows();
  });
  EXPECT_EQ(seen, rows.size());
  for_each_logits(*decoder, states.view(), {}, 3, [&](std::size_t, ConstMatrixView) { FAIL(); });
}

TEST_F(LogitChunks, TheCostIsThatOfAllTokensThatHaveOne) {
  NextTokenCost cost(batch);
  std::vector<std::size_t> scored;
  Matrix some(batch.tokens() - 2, logits.cols());
  for (std::size_t t = 0; t < batch.tokens(); ++t) {
    if (!cost.needs(t)) continue;
    std::ranges::copy(logits.row(t), some.row(scored.size()).begin());
    scored.push_back(t);
  }
  ASSERT_EQ(scored.size(), some.rows());
  const double expected = cost.add_gradient(scored, some.view());
  EXPECT_NEAR(cost_of_states(*decoder, states.view(), cost, 7), expected, 1e-5 * expected);
  EXPECT_EQ(cost_of_states(*decoder, states.view(), cost, 7), cost_of_states(*decoder, states.view(), cost, 7));
}

TEST_F(LogitChunks, TokensThatAreNotAskedForHaveNoTopTokens) {
  const std::vector<std::size_t> tokens = {1, 2, 20};
  const TopTokens top = top_tokens(*decoder, states.view(), tokens, 5, 2);
  ASSERT_EQ(top.tokens(), batch.tokens());
  for (std::size_t t = 0; t < batch.tokens(); ++t) {
    const bool asked = std::ranges::find(tokens, t) != tokens.end();
    ASSERT_EQ(top.offsets[t + 1] - top.offsets[t], asked ? 5U : 0U) << t;
    if (!asked) continue;
    TopTokens expected;
    expected.add(logits.row(t), 5);
    EXPECT_TRUE(std::equal(expected.ids.begin(), expected.ids.end(),
                           top.ids.begin() + static_cast<std::ptrdiff_t>(top.offsets[t])))
        << t;
  }
}

}  // namespace
}  // namespace lcomp
