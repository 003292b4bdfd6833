#include "lcomp/eval/answer_comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lcomp/core/error.h"

namespace lcomp {

double mcnemar_exact(std::size_t a, std::size_t b) {
  const auto n = static_cast<double>(a + b);
  double sum = 0;
  for (std::size_t i = 0; i <= std::min(a, b); ++i) {
    const auto k = static_cast<double>(i);
    sum += std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) - n * std::log(2.0));
  }
  return std::min(1.0, 2 * sum);
}

AnswerComparison compare_answers(const AnswerFile& first, const AnswerFile& second) {
  for (const char* part : {"protocol", "key"}) {
    const nlohmann::json a = first.header.value(part, nlohmann::json()),
                         b = second.header.value(part, nlohmann::json());
    if (a == b) continue;
    throw Error({"comparison", fmt::format("runs of different {}: {} and {}", part, a.dump(), b.dump()),
                 "answers to the same prompts",
                 std::string(part) == "key" ? "the questions or the tokenizer differ" : ""});
  }
  if (first.answers.size() != second.answers.size()) {
    throw Error({"comparison", fmt::format("{} and {} answers", first.answers.size(), second.answers.size()),
                 "two complete runs", "finish the shorter one"});
  }
  AnswerComparison comparison;
  for (std::size_t i = 0; i < first.answers.size(); ++i) {
    const ChoiceAnswer& a = first.answers[i];
    const ChoiceAnswer& b = second.answers[i];
    if (a.id != b.id) throw Error({"comparison", fmt::format("{} and {}", a.id, b.id), "the same questions", ""});
    if (a.too_long || b.too_long) continue;
    ++comparison.questions;
    ++(a.correct() ? (b.correct() ? comparison.both_right : comparison.first_only)
                   : (b.correct() ? comparison.second_only : comparison.both_wrong));
    if (a.prediction != b.prediction) ++comparison.flips;
  }
  comparison.p_value = mcnemar_exact(comparison.first_only, comparison.second_only);
  return comparison;
}

nlohmann::json to_json(const AnswerComparison& comparison) {
  return {{"questions", comparison.questions},   {"both_right", comparison.both_right},
          {"first_only", comparison.first_only}, {"second_only", comparison.second_only},
          {"both_wrong", comparison.both_wrong}, {"flips", comparison.flips},
          {"p_value", comparison.p_value}};
}

}  // namespace lcomp
