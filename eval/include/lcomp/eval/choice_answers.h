#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/eval/choice_prompts.h"

namespace lcomp {

// A model's answer to one question, with the scores of the choices.
struct ChoiceAnswer {
  std::string id, subject, category;
  bool too_long = false;  // the prompt exceeds the context: no scores and no prediction
  std::vector<double>
      scores;  // [choices] logits of the labels, or log-likelihoods (nats, sums over the choice's tokens)
  std::vector<std::size_t> tokens, bytes;  // [choices] lengths of the choices' texts; cloze only
  std::size_t prediction = 0;              // index of the highest normalized score; ties: the first
  std::size_t answer = 0;                  // index of the right choice

  bool correct() const { return !too_long && prediction == answer; }
};

nlohmann::json to_json(const ChoiceAnswer& answer);
// Throws Error naming `where` for an object that to_json() did not make.
ChoiceAnswer choice_answer_from_json(const nlohmann::json& json, const std::string& where);

// Index of the highest score after division by the length that `normalization` names.
std::size_t predict(const ChoiceAnswer& answer, ChoiceProtocol::Normalization normalization);

struct Accuracy {
  std::size_t questions = 0;  // scored questions
  std::size_t correct = 0;
  double value() const;           // correct / questions; 0 without questions
  double standard_error() const;  // binomial: sqrt(p (1 - p) / n)
};

struct ChoiceSummary {
  Accuracy micro;                   // over questions
  double macro = 0;                 // mean of the subjects' accuracies
  double macro_standard_error = 0;  // sqrt(sum of the subjects' squared standard errors) / subjects
  std::map<std::string, Accuracy> subjects, categories;  // questions without a name here are not counted
  std::map<std::string, Accuracy> normalizations;        // cloze: micro accuracy by "byte", "token" and "none"
  std::size_t too_long = 0;
};

ChoiceSummary summarize(const std::vector<ChoiceAnswer>& answers);
nlohmann::json to_json(const ChoiceSummary& summary);

}  // namespace lcomp
