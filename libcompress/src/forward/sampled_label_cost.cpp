#include <algorithm>
#include <cassert>
#include <cmath>

#include "forward/row_softmax.h"
#include "lcomp/core/error.h"
#include "lcomp/core/rng.h"
#include "lcomp/forward/cost.h"

namespace lcomp {

SampledLabelCost::SampledLabelCost(std::size_t tokens, std::uint64_t seed, std::size_t draws)
    : tokens_(tokens), seed_(seed), draws_(draws) {
  if (draws == 0) throw Error({"labels drawn from the model", "0 draws a token", "at least 1", ""});
}

bool SampledLabelCost::needs(std::size_t token) const { return token < tokens_; }

double SampledLabelCost::add_gradient(std::span<const std::size_t> tokens, MatrixView<float> logits) {
  assert(tokens.size() == logits.rows());
  const Rng seed(seed_);
  const double share = 1 / static_cast<double>(tokens_), draw_share = share / static_cast<double>(draws_);
  return sum_over_rows(tokens.size(), [&](std::size_t i) {
    const std::span<float> row = logits.row(i);
    const RowExponentials all = exponentiate_row(row);
    // The draws in ascending order meet the running sum of probabilities in one pass.
    Rng rng = seed.split(static_cast<std::uint64_t>(tokens[i]));
    std::vector<double> points(draws_);
    for (double& point : points) point = rng.uniform() * all.sum;
    std::sort(points.begin(), points.end());
    std::vector<std::size_t> labels;
    double cost = 0, sum = 0;
    std::size_t last = 0;  // with a probability above 0: takes what rounding leaves over
    const auto draw = [&](std::size_t label) {
      labels.push_back(label);
      cost += draw_share * (std::log(all.sum) - std::log(static_cast<double>(row[label])));
    };
    for (std::size_t v = 0; v < row.size() && labels.size() < draws_; ++v) {
      if (row[v] > 0) last = v;
      sum += static_cast<double>(row[v]);
      while (labels.size() < draws_ && points[labels.size()] < sum) draw(v);
    }
    while (labels.size() < draws_) draw(last);
    scale_row(row, static_cast<float>(share / all.sum));
    for (const std::size_t label : labels) row[label] -= static_cast<float>(draw_share);
    return cost;
  });
}

}  // namespace lcomp
