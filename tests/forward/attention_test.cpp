// Blocked attention against the definition, written out in double.
#include "forward/attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "attention_shape.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "support/matrices.h"

namespace lcomp {
namespace {

// out[i] = sum_j softmax_j(cap(scale q_i k_j)) v_j over the positions j that i sees.
Matrix naive_attention(const AttentionShape& shape, ConstMatrixView q, ConstMatrixView k, ConstMatrixView v) {
  const std::size_t d = shape.head_dim;
  Matrix out(q.rows(), q.cols());
  for (std::size_t h = 0; h < shape.num_heads; ++h) {
    const std::size_t kv = h * shape.num_key_value_heads / shape.num_heads;
    for (std::size_t i = 0; i < q.rows(); ++i) {
      const std::size_t begin = shape.window != 0 && i + 1 > shape.window ? i + 1 - shape.window : 0;
      std::vector<double> weights;
      double sum = 0;
      for (std::size_t j = begin; j <= i; ++j) {
        double score = 0;
        for (std::size_t c = 0; c < d; ++c) score += static_cast<double>(q(i, h * d + c)) * k(j, kv * d + c);
        score *= shape.scale;
        if (shape.softcap > 0) score = shape.softcap * std::tanh(score / shape.softcap);
        weights.push_back(std::exp(score));
        sum += weights.back();
      }
      for (std::size_t c = 0; c < d; ++c) {
        double value = 0;
        for (std::size_t j = begin; j <= i; ++j) value += weights[j - begin] * v(j, kv * d + c);
        out(i, h * d + c) = static_cast<float>(value / sum);
      }
    }
  }
  return out;
}

struct Sequences {
  std::vector<Matrix> q, k, v;
  std::vector<KeyValueCache> caches;
};

Sequences make_sequences(const AttentionShape& shape, const std::vector<std::size_t>& lengths) {
  Sequences s;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    s.q.push_back(testing::random_matrix(lengths[i], shape.num_heads * shape.head_dim, 3 * i + 1, 2));
    s.k.push_back(testing::random_matrix(lengths[i], shape.num_key_value_heads * shape.head_dim, 3 * i + 2));
    s.v.push_back(testing::random_matrix(lengths[i], shape.num_key_value_heads * shape.head_dim, 3 * i + 3));
    s.caches.emplace_back(shape.num_key_value_heads, shape.head_dim);
  }
  return s;
}

double largest_difference(ConstMatrixView a, ConstMatrixView b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.rows(); ++i) {
    for (std::size_t j = 0; j < a.cols(); ++j) {
      if (std::isnan(a(i, j))) return INFINITY;
      largest = std::max(largest, std::abs(static_cast<double>(a(i, j)) - b(i, j)));
    }
  }
  return largest;
}

class AttentionOfShape : public ::testing::TestWithParam<AttentionShape> {};

// Ragged lengths around the size of a tile (64) and of a block of queries, all in one chunk.
TEST_P(AttentionOfShape, EqualsTheDefinition) {
  const AttentionShape shape = GetParam();
  const std::vector<std::size_t> lengths = {1, 2, 63, 64, 65, 130, 513};
  Sequences s = make_sequences(shape, lengths);
  std::size_t tokens = 0;
  std::vector<AttentionSpan> spans;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    s.caches[i].append(s.k[i].view(), s.v[i].view());
    spans.push_back({tokens, lengths[i], 0, &s.caches[i]});
    tokens += lengths[i];
  }
  Matrix queries(tokens, shape.num_heads * shape.head_dim), out(tokens, shape.num_heads * shape.head_dim);
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    std::copy(s.q[i].span().begin(), s.q[i].span().end(), queries.row(spans[i].first_row).data());
  }
  AttentionScratch scratch;
  attention(shape, spans, queries.view(), out.view(), scratch);
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const Matrix expected = naive_attention(shape, s.q[i].view(), s.k[i].view(), s.v[i].view());
    // Values are of size 1; float32 sums of a few hundred weights.
    EXPECT_LT(largest_difference(out.view().rows_range(spans[i].first_row, lengths[i]), expected.view()), 5e-6)
        << lengths[i];
  }
}

TEST_P(AttentionOfShape, InPiecesItIsTheSame) {
  const AttentionShape shape = GetParam();
  constexpr std::size_t length = 300;
  Sequences s = make_sequences(shape, {length});
  AttentionScratch scratch;
  Matrix out(length, shape.num_heads * shape.head_dim);
  std::size_t at = 0;
  for (const std::size_t size : {1, 1, 62, 1, 64, 100, 71}) {
    s.caches[0].append(s.k[0].view().rows_range(at, size), s.v[0].view().rows_range(at, size));
    const AttentionSpan span{0, size, at, &s.caches[0]};
    attention(shape, {&span, 1}, s.q[0].view().rows_range(at, size), out.view().rows_range(at, size), scratch);
    at += size;
  }
  ASSERT_EQ(at, length);
  const Matrix expected = naive_attention(shape, s.q[0].view(), s.k[0].view(), s.v[0].view());
  EXPECT_LT(largest_difference(out.view(), expected.view()), 5e-6);
}

TEST_P(AttentionOfShape, ThreadsDoNotChangeABit) {
  const AttentionShape shape = GetParam();
  Sequences s = make_sequences(shape, {400});
  s.caches[0].append(s.k[0].view(), s.v[0].view());
  const AttentionSpan span{0, 400, 0, &s.caches[0]};
  Matrix one(400, shape.num_heads * shape.head_dim), three(400, shape.num_heads * shape.head_dim);
  AttentionScratch scratch;
  const std::size_t before = thread_count();
  set_thread_count(1);
  attention(shape, {&span, 1}, s.q[0].view(), one.view(), scratch);
  set_thread_count(3);
  attention(shape, {&span, 1}, s.q[0].view(), three.view(), scratch);
  set_thread_count(before);
  EXPECT_EQ(largest_difference(one.view(), three.view()), 0);
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionOfShape,
                         ::testing::Values(testing::make_shape(9, 3, 64), testing::make_shape(4, 4, 12),
                                           testing::make_shape(2, 1, 20), testing::make_shape(1, 1, 2),
                                           testing::make_shape(8, 1, 128), testing::make_shape(4, 2, 16, 1),
                                           testing::make_shape(4, 2, 16, 8), testing::make_shape(6, 2, 16, 100),
                                           testing::make_shape(3, 3, 32, 64, 4.0f), testing::make_shape(250, 1, 4)),
                         [](const auto& param) {
                           const AttentionShape& s = param.param;
                           return std::to_string(s.num_heads) + "_" + std::to_string(s.num_key_value_heads) + "_" +
                                  std::to_string(s.head_dim) + "_window_" + std::to_string(s.window);
                         });

// Scores of a few hundred: the exponentials overflow if the maximum is not subtracted, and the largest weight wins.
TEST(Attention, LargeScoresDoNotOverflow) {
  AttentionShape shape = testing::make_shape(1, 1, 16);
  Sequences s = make_sequences(shape, {100});
  shape.scale = 100;
  s.caches[0].append(s.k[0].view(), s.v[0].view());
  const AttentionSpan span{0, 100, 0, &s.caches[0]};
  Matrix out(100, 16);
  AttentionScratch scratch;
  attention(shape, {&span, 1}, s.q[0].view(), out.view(), scratch);
  for (const float v : out.span()) ASSERT_TRUE(std::isfinite(v));
}

// What a cache held before truncate() must not matter, not even NaN.
TEST(Attention, ForgottenTokensLeaveNothing) {
  const AttentionShape shape = testing::make_shape(2, 1, 16);
  Sequences s = make_sequences(shape, {70});
  Matrix nan(70, 16);
  nan.fill(NAN);
  s.caches[0].append(nan.view(), nan.view());
  s.caches[0].truncate(0);
  s.caches[0].append(s.k[0].view(), s.v[0].view());
  const AttentionSpan span{0, 70, 0, &s.caches[0]};
  Matrix out(70, 32);
  AttentionScratch scratch;
  attention(shape, {&span, 1}, s.q[0].view(), out.view(), scratch);
  const Matrix expected = naive_attention(shape, s.q[0].view(), s.k[0].view(), s.v[0].view());
  EXPECT_LT(largest_difference(out.view(), expected.view()), 5e-6);
}

}  // namespace
}  // namespace lcomp
