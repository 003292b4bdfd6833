#pragma once

#include <cstddef>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/eval/answer_file.h"

namespace lcomp {

// Comparison of two models' answers to the same questions.
struct AnswerComparison {
  std::size_t questions = 0;  // questions that both models were scored on
  std::size_t both_right = 0, first_only = 0, second_only = 0, both_wrong = 0;
  std::size_t flips = 0;  // questions with different predictions, whether right or wrong
  double p_value = 1;     // McNemar's exact test, two-sided; null hypothesis: equal accuracy
};

// Throws Error when the prompts (the headers' keys), the protocols or the ids of the answers differ, and says in what.
AnswerComparison compare_answers(const AnswerFile& first, const AnswerFile& second);

// Exact two-sided p of McNemar's test from the questions that only one of two models answered right: with n = a + b and
// k = min(a, b), min(1, 2 sum_{i <= k} C(n, i) / 2^n). Computed with logarithms in double: relative error about 1e-12
// n.
double mcnemar_exact(std::size_t a, std::size_t b);

nlohmann::json to_json(const AnswerComparison& comparison);

}  // namespace lcomp
