// The gradient of blocked attention against the definition, written out in double (itself held to differences).
#include "forward/attention_backward.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "attention_shape.h"
#include "finite_differences.h"
#include "lcomp/core/parallel.h"

namespace lcomp {
namespace {

using testing::finite_differences;
using testing::normal_matrix;
using testing::relative_error;

using Values = std::vector<double>;  // row-major

// One sequence in double.
struct Reference {
  AttentionShape shape;
  std::size_t tokens;
  Values out, query_gradient, key_gradient, value_gradient;

  Reference(const AttentionShape& s, std::size_t n) : shape(s), tokens(n) {}

  // Writes `out`; with out_gradient, the gradients too.
  void run(std::span<const double> q, std::span<const double> k, std::span<const double> v,
           std::span<const double> out_gradient) {
    const std::size_t d = shape.head_dim, width = shape.num_heads * d, kv_width = shape.num_key_value_heads * d;
    out.assign(tokens * width, 0);
    query_gradient.assign(tokens * width, 0);
    key_gradient.assign(tokens * kv_width, 0);
    value_gradient.assign(tokens * kv_width, 0);
    for (std::size_t h = 0; h < shape.num_heads; ++h) {
      const std::size_t kv = h * shape.num_key_value_heads / shape.num_heads;
      for (std::size_t i = 0; i < tokens; ++i) {
        const std::size_t begin = shape.window != 0 && i + 1 > shape.window ? i + 1 - shape.window : 0;
        const std::size_t row = i * width + h * d;
        Values scores, weights;
        for (std::size_t j = begin; j <= i; ++j) {
          double score = 0;
          for (std::size_t c = 0; c < d; ++c) score += q[row + c] * k[j * kv_width + kv * d + c];
          score *= static_cast<double>(shape.scale);
          if (shape.softcap > 0) score = cap() * std::tanh(score / cap());
          scores.push_back(score);
        }
        double sum = 0;
        const double highest = *std::max_element(scores.begin(), scores.end());
        for (const double s : scores) {
          weights.push_back(std::exp(s - highest));
          sum += weights.back();
        }
        for (double& w : weights) w /= sum;
        for (std::size_t j = begin; j <= i; ++j) {
          for (std::size_t c = 0; c < d; ++c) {
            out[row + c] += weights[j - begin] * v[j * kv_width + kv * d + c];
          }
        }
        if (out_gradient.empty()) continue;
        double dot = 0;
        for (std::size_t c = 0; c < d; ++c) dot += out[row + c] * out_gradient[row + c];
        for (std::size_t j = begin; j <= i; ++j) {
          const std::size_t key = j * kv_width + kv * d;
          const double weight = weights[j - begin], score = scores[j - begin];
          double weight_gradient = 0;
          for (std::size_t c = 0; c < d; ++c) weight_gradient += out_gradient[row + c] * v[key + c];
          double gradient = weight * (weight_gradient - dot);
          if (shape.softcap > 0) gradient *= 1 - score / cap() * (score / cap());
          gradient *= static_cast<double>(shape.scale);
          for (std::size_t c = 0; c < d; ++c) {
            value_gradient[key + c] += weight * out_gradient[row + c];
            query_gradient[row + c] += gradient * k[key + c];
            key_gradient[key + c] += gradient * q[row + c];
          }
        }
      }
    }
  }

  double cap() const { return static_cast<double>(shape.softcap); }
};

// Sequences end to end, [q | k | v] in the rows of one matrix as a block's forward pass has them.
struct Chunk {
  AttentionShape shape;
  std::vector<AttentionSequence> sequences;
  std::size_t tokens = 0;
  Matrix query_key_value, out, out_gradient;

  Chunk(const AttentionShape& s, const std::vector<std::size_t>& lengths) : shape(s) {
    for (const std::size_t length : lengths) {
      sequences.push_back({tokens, length});
      tokens += length;
    }
    query_key_value = normal_matrix(tokens, query_width() + 2 * key_width(), 1, 1.5);
    out_gradient = normal_matrix(tokens, query_width(), 2);
    out = Matrix(tokens, query_width());
    std::vector<KeyValueCache> caches;
    std::vector<AttentionSpan> spans;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      caches.emplace_back(shape.num_key_value_heads, shape.head_dim);
      const auto rows = query_key_value.view().rows_range(sequences[i].first_row, sequences[i].rows);
      caches.back().append(keys(rows), values(rows));
    }
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      spans.push_back({sequences[i].first_row, lengths[i], 0, &caches[i]});
    }
    AttentionScratch scratch;
    attention(shape, spans, queries(query_key_value.view()), out.view(), scratch);
  }

  std::size_t query_width() const { return shape.num_heads * shape.head_dim; }
  std::size_t key_width() const { return shape.num_key_value_heads * shape.head_dim; }
  template <typename T>
  MatrixView<T> queries(MatrixView<T> rows) const {
    return rows.cols_range(0, query_width());
  }
  template <typename T>
  MatrixView<T> keys(MatrixView<T> rows) const {
    return rows.cols_range(query_width(), key_width());
  }
  template <typename T>
  MatrixView<T> values(MatrixView<T> rows) const {
    return rows.cols_range(query_width() + key_width(), key_width());
  }

  // Gradients of [q | k | v].
  void backward(ConstMatrixView operands, MatrixView<float> gradient) const {
    AttentionBackwardScratch scratch;
    attention_backward(shape, sequences, queries(operands), keys(operands), values(operands), out.view(),
                       out_gradient.view(), queries(gradient), keys(gradient), values(gradient), scratch);
  }
};

Values rows_of(ConstMatrixView view, const AttentionSequence& sequence) {
  Values values;
  for (std::size_t i = 0; i < sequence.rows; ++i) {
    const auto row = view.row(sequence.first_row + i);
    values.insert(values.end(), row.begin(), row.end());
  }
  return values;
}

TEST(AttentionReference, EqualsFiniteDifferences) {
  for (const AttentionShape& shape : {testing::make_shape(2, 1, 3), testing::make_shape(4, 2, 2, 3, 1.5f)}) {
    constexpr std::size_t tokens = 5;
    const std::size_t q_size = tokens * shape.num_heads * shape.head_dim,
                      k_size = tokens * shape.num_key_value_heads * shape.head_dim;
    const Matrix operands = normal_matrix(1, q_size + 2 * k_size, 3), weights = normal_matrix(1, q_size, 4);
    const Values at = testing::to_doubles(operands.span()), dy = testing::to_doubles(weights.span());
    Reference reference(shape, tokens);
    const auto run = [&](std::span<const double> p, std::span<const double> out_gradient) {
      reference.run(p.first(q_size), p.subspan(q_size, k_size), p.last(k_size), out_gradient);
    };
    const auto cost = [&](std::span<const double> p) {
      run(p, {});
      double sum = 0;
      for (std::size_t i = 0; i < q_size; ++i) sum += dy[i] * reference.out[i];
      return sum;
    };
    const Values expected = finite_differences(cost, at);
    run(at, dy);
    Values found = reference.query_gradient;
    found.insert(found.end(), reference.key_gradient.begin(), reference.key_gradient.end());
    found.insert(found.end(), reference.value_gradient.begin(), reference.value_gradient.end());
    EXPECT_LT(relative_error(std::span<double>(found), expected), 1e-8);
  }
}

class AttentionBackward : public ::testing::TestWithParam<AttentionShape> {};

// Ragged lengths around the size of a tile (64) and of a block of queries, all in one chunk.
TEST_P(AttentionBackward, EqualsTheDefinition) {
  const Chunk chunk(GetParam(), {1, 2, 65, 1, 140});
  Matrix gradient(chunk.tokens, chunk.query_key_value.cols());
  gradient.fill(NAN);
  chunk.backward(chunk.query_key_value.view(), gradient.view());
  // Of queries, keys, values; relative to the largest gradient of all sequences, since that of a short one can be small
  // by cancellation (one token alone: dP - D is 0 but for rounding).
  Values found[3], expected[3];
  const auto append = [](Values& to, const Values& values) { to.insert(to.end(), values.begin(), values.end()); };
  for (const AttentionSequence& sequence : chunk.sequences) {
    const ConstMatrixView operands = chunk.query_key_value.view(), all = gradient.view();
    Reference reference(GetParam(), sequence.rows);
    reference.run(rows_of(chunk.queries(operands), sequence), rows_of(chunk.keys(operands), sequence),
                  rows_of(chunk.values(operands), sequence), rows_of(chunk.out_gradient.view(), sequence));
    append(found[0], rows_of(chunk.queries(all), sequence));
    append(found[1], rows_of(chunk.keys(all), sequence));
    append(found[2], rows_of(chunk.values(all), sequence));
    append(expected[0], reference.query_gradient);
    append(expected[1], reference.key_gradient);
    append(expected[2], reference.value_gradient);
  }
  const char* names[] = {"queries", "keys", "values"};
  for (int i = 0; i < 3; ++i) {
    const double error = relative_error(std::span<double>(found[i]), expected[i]);
    EXPECT_LT(error, 5e-6) << names[i];
    RecordProperty(names[i], fmt::format("{:.1e}", error));
  }
}

TEST_P(AttentionBackward, OverItsOperandsAndThreadsChangeNoBit) {
  const Chunk chunk(GetParam(), {130, 70, 1, 64});
  const auto run = [&](std::size_t threads, ConstMatrixView operands, MatrixView<float> gradient) {
    const std::size_t before = thread_count();
    set_thread_count(threads);
    chunk.backward(operands, gradient);
    set_thread_count(before);
  };
  Matrix one(chunk.tokens, chunk.query_key_value.cols()), three = chunk.query_key_value.clone();
  run(1, chunk.query_key_value.view(), one.view());
  run(3, three.view(), three.view());
  EXPECT_TRUE(std::equal(one.span().begin(), one.span().end(), three.span().begin()));
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionBackward,
                         ::testing::Values(testing::make_shape(9, 3, 64), testing::make_shape(4, 4, 12),
                                           testing::make_shape(2, 1, 20), testing::make_shape(1, 1, 2),
                                           testing::make_shape(4, 1, 80), testing::make_shape(4, 2, 16, 1),
                                           testing::make_shape(4, 2, 16, 8), testing::make_shape(6, 2, 16, 100),
                                           testing::make_shape(3, 3, 32, 64, 2.0f), testing::make_shape(250, 1, 4)),
                         [](const auto& param) {
                           const AttentionShape& s = param.param;
                           return std::to_string(s.num_heads) + "_" + std::to_string(s.num_key_value_heads) + "_" +
                                  std::to_string(s.head_dim) + "_window_" + std::to_string(s.window);
                         });

// The value gradients of a sequence add up to what came in: every row of weights adds up to 1.
TEST(AttentionBackwardSums, ValueGradientsAddUpToTheOutputGradients) {
  const Chunk chunk(testing::make_shape(2, 1, 16), {300});
  Matrix gradient(300, chunk.query_key_value.cols());
  chunk.backward(chunk.query_key_value.view(), gradient.view());
  for (std::size_t c = 0; c < 16; ++c) {
    double in = 0, out = 0;
    for (std::size_t i = 0; i < 300; ++i) {
      out += static_cast<double>(chunk.out_gradient(i, c)) + static_cast<double>(chunk.out_gradient(i, 16 + c));
      in += static_cast<double>(gradient(i, 48 + c));
    }
    EXPECT_NEAR(in, out, 1e-4);
  }
}

// Scores of thousands: no overflow, and NaN goes on to the gradients.
TEST(AttentionBackwardSums, LargeScoresAndNan) {
  AttentionShape shape = testing::make_shape(1, 1, 16);
  shape.scale = 500;
  Chunk chunk(shape, {100});
  Matrix gradient(100, 48);
  chunk.backward(chunk.query_key_value.view(), gradient.view());
  for (const float v : gradient.span()) ASSERT_TRUE(std::isfinite(v));
  chunk.query_key_value(70, 3) = NAN;  // of a query
  chunk.backward(chunk.query_key_value.view(), gradient.view());
  EXPECT_TRUE(std::isnan(gradient(70, 0)));
  EXPECT_TRUE(std::isnan(gradient(0, 16)));
  EXPECT_FALSE(std::isnan(gradient(69, 0)));
}

}  // namespace
}  // namespace lcomp
