#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "forward/row_softmax.h"
#include "lcomp/core/error.h"
#include "lcomp/forward/cost.h"

namespace lcomp {
namespace {

// KL of one row, which becomes share * dKL / dlogits.
double row_divergence(std::span<const std::int32_t> ids, std::span<const float> log_probabilities, double share,
                      std::span<float> row) {
  // The top logits are taken out, so that the others have a maximum of their own: both sums keep their precision,
  // however small one is beside the other.
  std::vector<double> logits(ids.size());  // of the top ids
  for (std::size_t k = 0; k < ids.size(); ++k) {
    float& logit = row[static_cast<std::size_t>(ids[k])];
    logits[k] = static_cast<double>(logit);
    logit = -std::numeric_limits<float>::infinity();
  }
  const bool whole = ids.size() == row.size();
  double rest = -std::numeric_limits<double>::infinity();  // log of the others' sum
  RowExponentials others;
  if (!whole) {
    others = exponentiate_row(row);
    rest = static_cast<double>(others.maximum) + std::log(others.sum);
  }
  const double highest = std::max(rest, *std::max_element(logits.begin(), logits.end()));
  double sum = whole ? 0 : std::exp(rest - highest);
  for (const double logit : logits) sum += std::exp(logit - highest);
  const double normalizer = highest + std::log(sum);

  double divergence = 0, top_probability = 0;
  for (std::size_t k = 0; k < ids.size(); ++k) {
    const double log_probability = log_probabilities[k], probability = std::exp(log_probability);
    top_probability += probability;
    if (probability > 0) divergence += probability * (log_probability - (logits[k] - normalizer));
  }
  const double rest_probability = std::max(0.0, 1 - top_probability);
  if (!whole) {
    if (rest_probability > 0) divergence += rest_probability * (std::log(rest_probability) - (rest - normalizer));
    const double slope = std::exp(rest - normalizer) - rest_probability;  // q_j (1 - p_r / q_r) = e_j / sum (q_r - p_r)
    scale_row(row, static_cast<float>(share * slope / others.sum));
  }
  for (std::size_t k = 0; k < ids.size(); ++k) {
    const double gradient = std::exp(logits[k] - normalizer) - std::exp(static_cast<double>(log_probabilities[k]));
    row[static_cast<std::size_t>(ids[k])] = static_cast<float>(share * gradient);
  }
  return share * divergence;
}

}  // namespace

void TopTokens::add(std::span<const float> logits, std::size_t count) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const std::size_t kept = std::min(count, logits.size());
  const auto value = [&](std::int32_t id) { return logits[static_cast<std::size_t>(id)]; };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
                    [&](std::int32_t a, std::int32_t b) { return value(a) != value(b) ? value(a) > value(b) : a < b; });
  std::vector<float> exponentials(logits.begin(), logits.end());
  const RowExponentials all = exponentiate_row(exponentials);
  const double normalizer = static_cast<double>(all.maximum) + std::log(all.sum);
  for (std::size_t k = 0; k < kept; ++k) {
    ids.push_back(order[k]);
    log_probabilities.push_back(static_cast<float>(std::min(0.0, static_cast<double>(value(order[k])) - normalizer)));
  }
  offsets.push_back(ids.size());
}

DistributionCost::DistributionCost(TopTokens original) : original_(std::move(original)) {
  const std::string where = "distributions of the original";
  const auto& offsets = original_.offsets;
  if (original_.log_probabilities.size() != original_.ids.size() || offsets.empty() || offsets.front() != 0 ||
      offsets.back() != original_.ids.size() || !std::is_sorted(offsets.begin(), offsets.end())) {
    throw Error({where,
                 std::to_string(original_.ids.size()) + " ids, " + std::to_string(original_.log_probabilities.size()) +
                     " logarithms and offsets that do not divide them",
                 "a logarithm for each id, and ascending offsets from 0 to their number", ""});
  }
  for (std::size_t t = 0; t < original_.tokens(); ++t) {
    if (offsets[t] == offsets[t + 1]) continue;
    ++scored_;
    std::vector<std::int32_t> ids(original_.ids.begin() + static_cast<std::ptrdiff_t>(offsets[t]),
                                  original_.ids.begin() + static_cast<std::ptrdiff_t>(offsets[t + 1]));
    std::sort(ids.begin(), ids.end());
    if (const auto twice = std::adjacent_find(ids.begin(), ids.end()); twice != ids.end()) {
      throw Error({where, "id " + std::to_string(*twice) + " twice at token " + std::to_string(t), "each id once", ""});
    }
    double sum = 0;
    for (std::size_t k = offsets[t]; k < offsets[t + 1]; ++k) {
      const double value = original_.log_probabilities[k];
      if (std::isnan(value) || value > 0) {
        throw Error({where, "a logarithm of " + std::to_string(value) + " at token " + std::to_string(t),
                     "natural logarithms of probabilities, at most 0", ""});
      }
      sum += std::exp(value);
    }
    if (sum > 1.001) {
      throw Error({where, "probabilities that add up to " + std::to_string(sum) + " at token " + std::to_string(t),
                   "at most 1", "store natural logarithms of probabilities, not logits"});
    }
  }
}

bool DistributionCost::needs(std::size_t token) const {
  return original_.offsets.at(token) != original_.offsets.at(token + 1);
}

double DistributionCost::add_gradient(std::span<const std::size_t> tokens, MatrixView<float> logits) {
  assert(tokens.size() == logits.rows());
  const auto ids_of = [&](std::size_t token) {
    const std::size_t begin = original_.offsets.at(token), end = original_.offsets.at(token + 1);
    return std::span<const std::int32_t>(original_.ids).subspan(begin, end - begin);
  };
  for (const std::size_t token : tokens) {
    assert(needs(token));
    for (const std::int32_t id : ids_of(token)) check_cost_id(id, logits.cols());
  }
  return sum_over_rows(tokens.size(), [&](std::size_t i) {
    const auto ids = ids_of(tokens[i]);
    const auto log_probabilities =
        std::span<const float>(original_.log_probabilities).subspan(original_.offsets[tokens[i]], ids.size());
    return row_divergence(ids, log_probabilities, 1 / scored_, logits.row(i));
  });
}

}  // namespace lcomp
