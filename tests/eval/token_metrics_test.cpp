#include "lcomp/eval/token_metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/safetensors.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::golden;

TEST(TokenMetrics, NegativeLogLikelihoodByHand) {
  // softmax(0, log 3) = (1/4, 3/4)
  const std::vector<float> logits = {0.0f, std::log(3.0f)};
  EXPECT_NEAR(negative_log_likelihood(logits, 0), std::log(4.0), 1e-7);
  EXPECT_NEAR(negative_log_likelihood(logits, 1), std::log(4.0 / 3.0), 1e-7);
}

TEST(TokenMetrics, LargeLogitsDoNotOverflow) {
  const std::vector<float> logits = {3e38f, 3e38f, -3e38f};
  EXPECT_NEAR(negative_log_likelihood(logits, 1), std::log(2.0), 1e-12);
}

TEST(TokenMetrics, DivergenceByHand) {
  // p = (1/2, 1/2), q = (1/4, 3/4): KL = 1/2 log 2 + 1/2 log(2/3) = 1/2 log(4/3)
  const std::vector<float> p = {5.0f, 5.0f};
  const std::vector<float> q = {0.0f, std::log(3.0f)};
  EXPECT_NEAR(divergence(p, q).kl, 0.5 * std::log(4.0 / 3.0), 1e-7);
  EXPECT_FALSE(divergence(p, q).same_top) << "a tie goes to the lowest id";
  EXPECT_EQ(divergence(q, q).kl, 0.0);
  EXPECT_TRUE(divergence(q, q).same_top);
}

TEST(TokenMetrics, AShiftOfTheLogitsChangesNothing) {
  std::vector<float> p(1003);
  std::vector<float> q(1003);
  for (std::size_t i = 0; i < p.size(); ++i) {
    p[i] = static_cast<float>(i % 17) * 0.25f;
    q[i] = static_cast<float>(i % 23) * 0.125f;
  }
  const double kl = divergence(p, q).kl;
  for (auto& value : q) value += 64.0f;  // exact in float32 for these values
  EXPECT_NEAR(divergence(p, q).kl, kl, 1e-12);
  EXPECT_GT(kl, 0.1);
}

TEST(TokenMetrics, SummaryByHand) {
  const Distribution d = summarize(std::vector<double>{4, 1, 3, 2});
  EXPECT_DOUBLE_EQ(d.mean, 2.5);
  EXPECT_DOUBLE_EQ(d.median, 2.5);
  EXPECT_DOUBLE_EQ(d.p99, 1 + 0.99 * 3);
  EXPECT_DOUBLE_EQ(d.maximum, 4);
  EXPECT_DOUBLE_EQ(summarize(std::vector<double>{7}).median, 7);
  EXPECT_THROW(summarize(std::vector<double>()), Error);
}

class GoldenMetrics : public ::testing::TestWithParam<const char*> {};

// Stored from float64 on the same float32 logits: 1e-9 relative is reachable, and what is asked.
TEST_P(GoldenMetrics, MatchesReference) {
  LCOMP_REQUIRE(golden("metrics/values.json"));
  const std::string name = GetParam();
  const auto expected = parse_json_file(golden("metrics/values.json")).at(name);
  const SafetensorsFile file(golden("metrics/logits.safetensors"));
  const auto matrix = [&file](const std::string& tensor) {
    const SafetensorsEntry& entry = file.entry(tensor);
    Matrix values(entry.shape.at(0), entry.shape.at(1));
    to_float(entry, 0, values.span());
    return values;
  };
  const Matrix reference = matrix("ref");
  const Matrix model = matrix(name);
  std::vector<float> targets(reference.rows());
  to_float(file.entry("targets"), 0, targets);

  const auto near = [](double value, double wanted) {
    EXPECT_NEAR(value, wanted, 1e-9 * std::max(1e-3, std::abs(wanted)));
  };
  std::vector<double> kl;
  double reference_nll = 0;
  double model_nll = 0;
  int same_top = 0;
  for (std::size_t t = 0; t < reference.rows(); ++t) {
    const auto target = static_cast<std::size_t>(targets[t]);
    reference_nll += negative_log_likelihood(reference.row(t), target);
    model_nll += negative_log_likelihood(model.row(t), target);
    const Divergence token = divergence(reference.row(t), model.row(t));
    kl.push_back(token.kl);
    same_top += token.same_top ? 1 : 0;
  }
  const auto tokens = static_cast<double>(reference.rows());
  const Distribution d = summarize(kl);
  near(reference_nll / tokens, expected.at("ref_cross_entropy"));
  near(model_nll / tokens, expected.at("q_cross_entropy"));
  near(std::exp(reference_nll / tokens), expected.at("ref_perplexity"));
  near(d.mean, expected.at("kl_mean"));
  near(d.median, expected.at("kl_median"));
  near(d.p99, expected.at("kl_p99"));
  near(d.maximum, expected.at("kl_max"));
  near(same_top / tokens, expected.at("top1_agreement"));
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenMetrics, ::testing::Values("close", "far", "same", "large"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace lcomp
