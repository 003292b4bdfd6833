#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "lcomp/calibration/calibration_options.h"
#include "lcomp/calibration/input_statistics.h"
#include "lcomp/core/rng.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/models/model_folder.h"
#include "support/reference_data.h"

// The small model of the tests, texts for it, and statistics of its linear layers from their definition.
namespace lcomp::testing {

inline std::filesystem::path tiny_model() { return golden("families/llama-tied"); }

// Sequences of different lengths, `tokens` and a few more in all.
inline TokenBatch random_tokens(std::size_t tokens, std::size_t vocab_size, std::uint64_t seed = 1) {
  Rng rng(seed);
  TokenBatch batch;
  while (batch.tokens() < tokens) {
    std::vector<std::int32_t> ids(1 + rng.below(300));
    for (auto& id : ids) id = static_cast<std::int32_t>(rng.below(vocab_size));
    batch.add(ids);
  }
  return batch;
}

struct ExactStatistics {
  std::size_t features = 0;
  std::uint64_t tokens = 0;
  std::vector<double> products, sums, maxima;  // sum x x^T (lower triangle), sum x, max |x|

  void add(ConstMatrixView input) {
    if (tokens == 0) {
      features = input.cols();
      products.assign(features * features, 0.0);
      sums.assign(features, 0.0);
      maxima.assign(features, 0.0);
    }
    for (std::size_t t = 0; t < input.rows(); ++t) {
      for (std::size_t i = 0; i < features; ++i) {
        const double x = input(t, i);
        for (std::size_t j = 0; j <= i; ++j) products[i * features + j] += x * static_cast<double>(input(t, j));
        sums[i] += x;
        maxima[i] = std::max(maxima[i], std::abs(x));
      }
    }
    tokens += input.rows();
  }
  double hessian(std::size_t i, std::size_t j) const {
    return 2 * products[std::max(i, j) * features + std::min(i, j)] / static_cast<double>(tokens);
  }
};

// Statistics of linear layers in double, from one forward pass over the whole batch.
struct ExactVisitor : BlockVisitor {
  std::map<std::string, std::shared_ptr<ExactStatistics>>
      of;                        // by component; linear layers with the same input share them
  std::set<std::string> wanted;  // empty: all

  void linear_input(std::size_t, std::span<const std::string> components, std::size_t, ConstMatrixView input) override {
    add(components, input);
  }
  void expert_input(std::size_t, std::span<const std::string> components, std::span<const std::size_t>,
                    ConstMatrixView input) override {
    add(components, input);
  }

 private:
  void add(std::span<const std::string> components, ConstMatrixView input) {
    if (!wanted.empty() && !wanted.contains(components.front())) return;
    auto& statistics = of[components.front()];
    if (statistics == nullptr) statistics = std::make_shared<ExactStatistics>();
    for (const std::string& component : components) of[component] = statistics;
    statistics->add(input);
  }
};

// Options under which `several_slices` tokens go through a block in two steps.
constexpr std::size_t several_slices = 900;
inline CalibrationOptions in_slices() {
  CalibrationOptions options;
  options.tokens_at_once = 700;
  return options;
}

// max |H_ij - E_ij| / sqrt(E_ii E_jj) over the entries.
inline double hessian_error(ConstMatrixView hessian, const ExactStatistics& exact) {
  EXPECT_EQ(hessian.rows(), exact.features);
  double worst = 0;
  for (std::size_t i = 0; i < exact.features; ++i) {
    for (std::size_t j = 0; j < exact.features; ++j) {
      const double unit = std::sqrt(exact.hessian(i, i) * exact.hessian(j, j));
      const double error = std::abs(static_cast<double>(hessian(i, j)) - exact.hessian(i, j));
      worst = std::max(worst, unit > 0 ? error / unit : (error > 0 ? INFINITY : 0));
    }
  }
  return worst;
}

inline void expect_close(const InputStatistics& found, const ExactStatistics& exact, double tolerance) {
  ASSERT_EQ(found.mean.size(), exact.features);
  ASSERT_EQ(found.absolute_maximum.size(), exact.features);
  EXPECT_EQ(found.tokens, exact.tokens);
  EXPECT_LT(hessian_error(found.hessian.view(), exact), tolerance) << found.components.front();
  for (std::size_t j = 0; j < exact.features; ++j) {
    const double unit = exact.maxima[j];
    EXPECT_NEAR(found.mean[j], exact.sums[j] / static_cast<double>(exact.tokens), tolerance * unit);
    EXPECT_NEAR(found.absolute_maximum[j], exact.maxima[j], tolerance * unit);
  }
}

// Whether two statistics agree to the bit.
inline bool same(const InputStatistics& a, const InputStatistics& b) {
  return a.components == b.components && a.tokens == b.tokens && a.mean == b.mean &&
         a.absolute_maximum == b.absolute_maximum && a.hessian.size() == b.hessian.size() &&
         std::ranges::equal(a.hessian.span(), b.hessian.span()) && a.histogram.to_numbers() == b.histogram.to_numbers();
}

}  // namespace lcomp::testing
