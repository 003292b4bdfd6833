#include <algorithm>
#include <cassert>
#include <cmath>
#include <string>

#include "forward/row_softmax.h"
#include "lcomp/core/error.h"
#include "lcomp/forward/cost.h"

namespace lcomp {

ChoiceCost::ChoiceCost(std::vector<Choice> choices) : choices_(std::move(choices)) {
  std::sort(choices_.begin(), choices_.end(), [](const Choice& a, const Choice& b) { return a.token < b.token; });
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    const Choice& choice = choices_[i];
    const std::string where = "question at token " + std::to_string(choice.token);
    if (i > 0 && choices_[i - 1].token == choice.token) throw Error({where, "two questions", "one", ""});
    if (choice.answer >= choice.candidates.size()) {
      throw Error({where,
                   "answer " + std::to_string(choice.answer) + " of " + std::to_string(choice.candidates.size()) +
                       " candidates",
                   "the index of a candidate", ""});
    }
    std::vector<std::int32_t> ids = choice.candidates;
    std::sort(ids.begin(), ids.end());
    if (const auto twice = std::adjacent_find(ids.begin(), ids.end()); twice != ids.end()) {
      throw Error({where, "candidate " + std::to_string(*twice) + " twice", "candidates that differ", ""});
    }
  }
}

const Choice* ChoiceCost::find(std::size_t token) const {
  const auto found = std::lower_bound(choices_.begin(), choices_.end(), token,
                                      [](const Choice& choice, std::size_t t) { return choice.token < t; });
  return found == choices_.end() || found->token != token ? nullptr : &*found;
}

bool ChoiceCost::needs(std::size_t token) const { return find(token) != nullptr; }

double ChoiceCost::add_gradient(std::span<const std::size_t> tokens, MatrixView<float> logits) {
  assert(tokens.size() == logits.rows());
  for (const std::size_t token : tokens) {
    assert(needs(token));
    for (const std::int32_t id : find(token)->candidates) check_cost_id(id, logits.cols());
  }
  const double share = 1 / static_cast<double>(choices_.size());
  return sum_over_rows(tokens.size(), [&](std::size_t i) {
    const Choice& choice = *find(tokens[i]);
    const std::span<float> row = logits.row(i);
    std::vector<double> values;
    for (const std::int32_t id : choice.candidates) {
      values.push_back(static_cast<double>(row[static_cast<std::size_t>(id)]));
    }
    const double highest = *std::max_element(values.begin(), values.end()), logit = values[choice.answer];
    double sum = 0;
    for (double& value : values) {
      value = std::exp(value - highest);
      sum += value;
    }
    std::fill(row.begin(), row.end(), 0.0f);
    for (std::size_t k = 0; k < values.size(); ++k) {
      const double gradient = k == choice.answer ? (values[k] - sum) / sum : values[k] / sum;
      row[static_cast<std::size_t>(choice.candidates[k])] = static_cast<float>(share * gradient);
    }
    return share * (std::log(sum) + (highest - logit));
  });
}

}  // namespace lcomp
