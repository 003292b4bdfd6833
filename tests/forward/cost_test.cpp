// Costs on logits: values against reference ones, gradients against differences of the costs written out in double.
#include "lcomp/forward/cost.h"

#include <gtest/gtest.h>

#include <cmath>

#include "finite_differences.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/io/config_reader.h"
#include "support/golden_model.h"

namespace lcomp {
namespace {

using testing::finite_differences;
using testing::golden;
using testing::normal_matrix;
using testing::relative_error;

double log_sum(std::span<const double> logits) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double z : logits) sum += std::exp(z - highest);
  return highest + std::log(sum);
}

std::vector<std::size_t> all_tokens(std::size_t count) {
  std::vector<std::size_t> tokens(count);
  for (std::size_t i = 0; i < count; ++i) tokens[i] = i;
  return tokens;
}

// Two sequences of 3 and 2 tokens: predictions at 0, 1 and 3.
TokenBatch small_batch() {
  TokenBatch batch;
  batch.add(std::vector<std::int32_t>{5, 1, 36});
  batch.add(std::vector<std::int32_t>{2, 0});
  return batch;
}

// The gradient that `cost` leaves in the rows of `tokens` equals the differences of `in_double`, the cost's part of one
// row; the shares add up.
void expect_gradient(LogitCost& cost, const std::vector<std::size_t>& tokens, const Matrix& logits,
                     const std::function<double(std::size_t, std::span<const double>)>& in_double) {
  Matrix gradient = logits.clone();
  const double value = cost.add_gradient(tokens, gradient.view());
  double expected_value = 0;
  std::vector<double> expected;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto row_cost = [&](std::span<const double> row) { return in_double(tokens[i], row); };
    const std::vector<double> row = testing::to_doubles(logits.row(i));
    expected_value += row_cost(row);
    const auto differences = finite_differences(row_cost, row, 1e-2);
    expected.insert(expected.end(), differences.begin(), differences.end());
  }
  EXPECT_NEAR(value, expected_value, 1e-6 * std::abs(expected_value));
  EXPECT_LT(relative_error(gradient.span(), expected), 1e-6);
}

TEST(NextTokenCost, EqualsFiniteDifferences) {
  const TokenBatch batch = small_batch();
  const std::vector<float> weights = {0.5f, 2, 100, 1, 100};  // the last tokens of sequences predict nothing
  NextTokenCost plain(batch), weighted(batch, weights);
  for (const std::size_t t : {2, 4}) EXPECT_FALSE(plain.needs(t) || weighted.needs(t));
  const std::vector<std::size_t> tokens = {0, 1, 3};
  for (const std::size_t t : tokens) EXPECT_TRUE(plain.needs(t) && weighted.needs(t));
  const Matrix logits = normal_matrix(3, 37, 1, 3);
  expect_gradient(plain, tokens, logits, [&](std::size_t t, std::span<const double> row) {
    return (log_sum(row) - row[static_cast<std::size_t>(batch.ids[t + 1])]) / 3;
  });
  expect_gradient(weighted, tokens, logits, [&](std::size_t t, std::span<const double> row) {
    return (log_sum(row) - row[static_cast<std::size_t>(batch.ids[t + 1])]) * static_cast<double>(weights[t]) / 3.5;
  });
}

TEST(NextTokenCost, PreciseWhereThePredictionIsAllButSure) {
  TokenBatch batch;
  batch.add(std::vector<std::int32_t>{0, 1});
  NextTokenCost cost(batch);
  Matrix logits(1, 2);
  logits(0, 0) = 0;
  logits(0, 1) = 20;
  const double value = cost.add_gradient(all_tokens(1), logits.view());
  EXPECT_NEAR(value, std::log1p(std::exp(-20.0)), 1e-14);
  EXPECT_NEAR(logits(0, 1), -std::exp(-20.0), 1e-15);
}

TEST(NextTokenCost, RefusesWrongWeightsAndIds) {
  const TokenBatch batch = small_batch();
  EXPECT_THROW(NextTokenCost(batch, std::vector<float>(4, 1.0f)), Error);
  EXPECT_THROW(NextTokenCost(batch, std::vector<float>{1, -1, 1, 1, 1}), Error);
  EXPECT_THROW(NextTokenCost(batch, std::vector<float>{NAN, 1, 1, 1, 1}), Error);
  NextTokenCost cost(batch);
  Matrix logits = normal_matrix(1, 36, 1);
  EXPECT_THROW(cost.add_gradient(std::vector<std::size_t>{1}, logits.view()), Error);  // token 36 follows
}

TEST(DistributionCost, EqualsFiniteDifferences) {
  constexpr std::size_t vocabulary = 37;
  const Matrix original = normal_matrix(3, vocabulary, 1, 2), logits = normal_matrix(3, vocabulary, 2, 2);
  for (const std::size_t count : {std::size_t{1}, std::size_t{8}, std::size_t{36}, vocabulary}) {
    TopTokens top;
    for (std::size_t t = 0; t < 3; ++t) top.add(original.row(t), count);
    DistributionCost cost(top);
    expect_gradient(cost, all_tokens(3), logits, [&](std::size_t t, std::span<const double> row) {
      double divergence = 0, p_rest = 1;
      std::vector<double> rest(row.begin(), row.end());
      for (std::size_t k = top.offsets[t]; k < top.offsets[t + 1]; ++k) {
        const auto id = static_cast<std::size_t>(top.ids[k]);
        const double log_p = top.log_probabilities[k];
        divergence += std::exp(log_p) * (log_p - (row[id] - log_sum(row)));
        p_rest -= std::exp(log_p);
        rest[id] = -INFINITY;
      }
      if (count < vocabulary) divergence += p_rest * (std::log(p_rest) - (log_sum(rest) - log_sum(row)));
      return divergence / 3;
    });
  }
}

// Tokens with an empty list are left out; of equal logits the lowest ids are kept.
TEST(DistributionCost, TokensWithoutAList) {
  TopTokens top;
  top.add_none();
  top.add(std::vector<float>{1, 2, 2, 2}, 2);
  EXPECT_EQ(top.ids, (std::vector<std::int32_t>{1, 2}));
  DistributionCost cost(top);
  EXPECT_FALSE(cost.needs(0));
  EXPECT_TRUE(cost.needs(1));
}

TEST(DistributionCost, NothingIsLostBesideLargeLogits) {
  TopTokens top;
  top.add(std::vector<float>{200, 0, 0}, 1);
  DistributionCost cost(top);
  Matrix logits(1, 3);
  logits(0, 0) = -200;  // all of the model's mass lies on the rest
  logits(0, 1) = 0;
  logits(0, 2) = 0;
  EXPECT_NEAR(cost.add_gradient(all_tokens(1), logits.view()), 200 + std::log(2.0), 1e-4);
  EXPECT_NEAR(logits(0, 0), -1, 1e-6);
  EXPECT_NEAR(logits(0, 1), 0.5, 1e-6);
}

TEST(DistributionCost, RefusesDamagedLists) {
  const auto lists = [](std::vector<std::int32_t> ids, std::vector<float> logarithms) {
    TopTokens top;
    top.offsets = {0, 2};
    top.ids = std::move(ids);
    top.log_probabilities = std::move(logarithms);
    return top;
  };
  EXPECT_NO_THROW(DistributionCost(lists({1, 2}, {-1, -1})));
  EXPECT_THROW(DistributionCost(lists({1, 1}, {-1, -1})), Error);
  EXPECT_THROW(DistributionCost(lists({1, 2}, {-1, NAN})), Error);
  EXPECT_THROW(DistributionCost(lists({1, 2}, {-0.1f, -0.1f})), Error);
  EXPECT_THROW(DistributionCost(lists({1, 2}, {3, -1})), Error);
  EXPECT_THROW(DistributionCost(lists({1, 2, 3}, {-1, -1})), Error);
}

TEST(ChoiceCost, EqualsFiniteDifferences) {
  const std::vector<Choice> choices = {{9, {3, 30, 7, 0}, 2}, {4, {1, 2}, 0}};
  ChoiceCost cost(choices);
  EXPECT_TRUE(cost.needs(4) && cost.needs(9));
  EXPECT_FALSE(cost.needs(0) || cost.needs(5) || cost.needs(10));
  expect_gradient(cost, {4, 9}, normal_matrix(2, 37, 3, 3), [&](std::size_t t, std::span<const double> row) {
    const Choice& choice = t == 9 ? choices[0] : choices[1];
    std::vector<double> logits;
    for (const std::int32_t id : choice.candidates) logits.push_back(row[static_cast<std::size_t>(id)]);
    return (log_sum(logits) - logits[choice.answer]) / 2;
  });
}

TEST(ChoiceCost, RefusesWrongQuestions) {
  EXPECT_THROW(ChoiceCost({{0, {1, 2}, 2}}), Error);
  EXPECT_THROW(ChoiceCost({{0, {}, 0}}), Error);
  EXPECT_THROW(ChoiceCost({{0, {1, 1}, 0}}), Error);
  EXPECT_THROW(ChoiceCost({{0, {1, 2}, 0}, {0, {3, 4}, 0}}), Error);
  ChoiceCost cost({{0, {1, 50}, 0}});
  Matrix logits = normal_matrix(1, 37, 1);
  EXPECT_THROW(cost.add_gradient(all_tokens(1), logits.view()), Error);
}

// With one draw, tokens * gradient = p - onehot: the drawn label is where it is negative. Over many tokens labels are
// as frequent as p says.
TEST(SampledLabelCost, DrawsFromTheModelsDistribution) {
  constexpr std::size_t tokens = 20000;
  const float base[] = {0, 1, 2, -1, 0.5f};
  Matrix logits(tokens, 5);
  for (std::size_t t = 0; t < tokens; ++t) std::copy_n(base, 5, logits.row(t).data());
  SampledLabelCost cost(tokens, 7);
  const double value = cost.add_gradient(all_tokens(tokens), logits.view());
  double p[5], sum = 0, entropy = 0;
  for (std::size_t v = 0; v < 5; ++v) sum += p[v] = std::exp(static_cast<double>(base[v]));
  for (double& q : p) {
    q /= sum;
    entropy -= q * std::log(q);
  }
  std::size_t counts[5] = {};
  for (std::size_t t = 0; t < tokens; ++t) {
    double row_sum = 0;
    for (std::size_t v = 0; v < 5; ++v) {
      const double gradient = static_cast<double>(logits(t, v)) * tokens;
      counts[v] += gradient < 0 ? 1 : 0;
      ASSERT_NEAR(gradient, p[v] - (gradient < 0 ? 1 : 0), 1e-5);
      row_sum += gradient;
    }
    ASSERT_NEAR(row_sum, 0, 1e-5);
  }
  for (std::size_t v = 0; v < 5; ++v) {
    // Five standard deviations of a binomial share.
    EXPECT_NEAR(static_cast<double>(counts[v]) / tokens, p[v], 5 * std::sqrt(p[v] * (1 - p[v]) / tokens));
  }
  EXPECT_NEAR(value, entropy, 0.03);
}

TEST(SampledLabelCost, SeveralDrawsAreAveraged) {
  constexpr std::size_t draws = 1000;
  Matrix logits = normal_matrix(1, 6, 2);
  const std::vector<double> row = testing::to_doubles(logits.row(0));
  SampledLabelCost cost(1, 3, draws);
  cost.add_gradient(all_tokens(1), logits.view());
  double sum = 0;
  for (std::size_t v = 0; v < 6; ++v) {
    const double p = std::exp(row[v] - log_sum(row)), share = p - static_cast<double>(logits(0, v));
    EXPECT_NEAR(share, p, 5 * std::sqrt(p / draws));
    EXPECT_NEAR(share * draws, std::round(share * draws), 0.01) << "a whole number of draws";
    sum += share;
  }
  EXPECT_NEAR(sum, 1, 1e-5);
  EXPECT_THROW(SampledLabelCost(1, 3, 0), Error);
}

// Any order and any division into calls, on any number of threads.
TEST(Costs, HowTokensAreGroupedChangesNoBit) {
  constexpr std::size_t tokens = 20, vocabulary = 101;
  const Matrix logits = normal_matrix(tokens, vocabulary, 4, 2);
  TokenBatch batch;
  batch.add(std::vector<std::int32_t>(tokens + 1, 17));
  TopTokens top;
  for (std::size_t t = 0; t < tokens; ++t) top.add(normal_matrix(1, vocabulary, t).row(0), 10);
  std::vector<Choice> choices;
  for (std::size_t t = 0; t < tokens; ++t) choices.push_back({t, {1, 2, 3}, t % 3});
  NextTokenCost next(batch);
  DistributionCost distribution(top);
  ChoiceCost choice(choices);
  SampledLabelCost sampled(tokens, 5, 3);
  const std::size_t before = thread_count();
  for (LogitCost* cost : std::initializer_list<LogitCost*>{&next, &distribution, &choice, &sampled}) {
    Matrix together = logits.clone(), apart = logits.clone();
    set_thread_count(3);
    const double value = cost->add_gradient(all_tokens(tokens), together.view());
    set_thread_count(1);
    double sum = 0;
    for (std::size_t t = tokens; t-- > 0;) {
      sum += cost->add_gradient(std::vector<std::size_t>{t}, apart.view().rows_range(t, 1));
    }
    EXPECT_TRUE(std::equal(together.span().begin(), together.span().end(), apart.span().begin()));
    EXPECT_NEAR(sum, value, 1e-12);
  }
  set_thread_count(before);
}

TEST(Costs, NanGivesNan) {
  Matrix logits = normal_matrix(1, 37, 4);
  logits(0, 20) = NAN;
  SampledLabelCost sampled(1, 5);
  NextTokenCost next(small_batch());
  TopTokens top;
  top.add(normal_matrix(1, 37, 1).row(0), 5);
  DistributionCost distribution(top);
  for (LogitCost* cost : std::initializer_list<LogitCost*>{&sampled, &next, &distribution}) {
    Matrix row = logits.clone();
    EXPECT_TRUE(std::isnan(cost->add_gradient(all_tokens(1), row.view())));
  }
}

class GoldenCost : public ::testing::TestWithParam<const char*> {};

// Cross entropy and divergence of stored logits; the references are in double. The stored probabilities of the original
// and the exponentials are float32: 1e-7 of a nat.
TEST_P(GoldenCost, EqualsTheReference) {
  LCOMP_REQUIRE(golden("metrics/values.json"));
  const std::string name = GetParam();
  const auto expected = parse_json_file(golden("metrics/values.json")).at(name);
  const SafetensorsFile file(golden("metrics/logits.safetensors"));
  const std::size_t vocabulary = file.entry("ref").shape.at(1);
  const Matrix reference = testing::read_matrix(file, "ref", vocabulary),
               model = testing::read_matrix(file, name, vocabulary);
  const std::vector<std::int32_t> targets = testing::read_ids(file, "targets");
  const std::size_t tokens = reference.rows();
  const auto near = [](double found, double wanted) { EXPECT_NEAR(found, wanted, 3e-7 * std::max(1.0, wanted)); };

  TokenBatch batch;  // pairs whose second token is the target
  for (const std::int32_t target : targets) batch.add(std::vector<std::int32_t>{0, target});
  std::vector<std::size_t> firsts;
  for (std::size_t t = 0; t < tokens; ++t) firsts.push_back(2 * t);
  NextTokenCost next(batch);
  Matrix gradient = model.clone();
  near(next.add_gradient(firsts, gradient.view()), expected.at("q_cross_entropy"));

  TopTokens whole, some;
  for (std::size_t t = 0; t < tokens; ++t) {
    whole.add(reference.row(t), vocabulary);
    some.add(reference.row(t), 20);
  }
  DistributionCost divergence(whole), coarse(some);
  gradient = model.clone();
  near(divergence.add_gradient(all_tokens(tokens), gradient.view()), expected.at("kl_mean"));
  gradient = model.clone();
  const double lower = coarse.add_gradient(all_tokens(tokens), gradient.view());
  EXPECT_LE(lower, expected.at("kl_mean").get<double>() + 1e-6);
  EXPECT_GE(lower, 0.5 * expected.at("kl_mean").get<double>() - 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenCost, ::testing::Values("close", "far", "same", "large"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace lcomp
