#include "lcomp/eval/choice_answers.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

using Normalization = ChoiceProtocol::Normalization;

nlohmann::json to_json(const Accuracy& accuracy) {
  return {{"questions", accuracy.questions},
          {"correct", accuracy.correct},
          {"accuracy", accuracy.value()},
          {"standard_error", accuracy.standard_error()}};
}

nlohmann::json to_json(const std::map<std::string, Accuracy>& accuracies) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [name, accuracy] : accuracies) json[name] = to_json(accuracy);
  return json;
}

void count(Accuracy& accuracy, bool correct) {
  ++accuracy.questions;
  if (correct) ++accuracy.correct;
}

std::vector<std::size_t> sizes(ConfigReader& reader, const std::string& key, std::size_t expected) {
  std::vector<std::size_t> values;
  for (const std::int64_t v : reader.integers(key, 0, std::int64_t{1} << 40))
    values.push_back(static_cast<std::size_t>(v));
  if (values.size() != expected) {
    throw Error({reader.where(key), fmt::format("{} entries", values.size()), fmt::format("{}", expected), ""});
  }
  return values;
}

}  // namespace

double Accuracy::value() const {
  return questions == 0 ? 0 : static_cast<double>(correct) / static_cast<double>(questions);
}

double Accuracy::standard_error() const {
  return questions == 0 ? 0 : std::sqrt(value() * (1 - value()) / static_cast<double>(questions));
}

std::size_t predict(const ChoiceAnswer& answer, Normalization normalization) {
  std::size_t best = 0;
  double highest = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < answer.scores.size(); ++i) {
    double score = answer.scores[i];
    if (!answer.tokens.empty() && normalization == Normalization::token) score /= static_cast<double>(answer.tokens[i]);
    // A choice of no byte is one blank of the prompt.
    if (!answer.bytes.empty() && normalization == Normalization::byte) {
      score /= static_cast<double>(std::max<std::size_t>(1, answer.bytes[i]));
    }
    if (score <= highest) continue;
    highest = score;
    best = i;
  }
  return best;
}

nlohmann::json to_json(const ChoiceAnswer& answer) {
  nlohmann::json json = {{"id", answer.id}, {"answer", answer.answer}};
  if (!answer.subject.empty()) json["subject"] = answer.subject;
  if (!answer.category.empty()) json["category"] = answer.category;
  if (answer.too_long) {
    json["too_long"] = true;
    return json;
  }
  json["prediction"] = answer.prediction;
  json["scores"] = answer.scores;
  if (!answer.tokens.empty()) {
    json["tokens"] = answer.tokens;
    json["bytes"] = answer.bytes;
  }
  return json;
}

ChoiceAnswer choice_answer_from_json(const nlohmann::json& json, const std::string& where) {
  ConfigReader reader(json, where);
  ChoiceAnswer answer;
  answer.id = reader.string("id");
  answer.subject = reader.string_or("subject", "");
  answer.category = reader.string_or("category", "");
  answer.too_long = reader.boolean_or("too_long", false);
  constexpr std::int64_t kLast = 25;
  answer.answer = static_cast<std::size_t>(reader.integer("answer", 0, kLast));
  if (!answer.too_long) {
    constexpr double kLargest = std::numeric_limits<double>::max();
    answer.scores = reader.reals("scores", -kLargest, kLargest);
    const auto last = static_cast<std::int64_t>(answer.scores.size()) - 1;
    answer.prediction = static_cast<std::size_t>(reader.integer("prediction", 0, last));
    if (reader.has("tokens")) {
      answer.tokens = sizes(reader, "tokens", answer.scores.size());
      answer.bytes = sizes(reader, "bytes", answer.scores.size());
    }
  }
  reader.finish();
  return answer;
}

ChoiceSummary summarize(const std::vector<ChoiceAnswer>& answers) {
  ChoiceSummary summary;
  for (const ChoiceAnswer& answer : answers) {
    if (answer.too_long) {
      ++summary.too_long;
      continue;
    }
    count(summary.micro, answer.correct());
    if (!answer.subject.empty()) count(summary.subjects[answer.subject], answer.correct());
    if (!answer.category.empty()) count(summary.categories[answer.category], answer.correct());
    if (answer.tokens.empty()) continue;
    count(summary.normalizations["byte"], predict(answer, Normalization::byte) == answer.answer);
    count(summary.normalizations["token"], predict(answer, Normalization::token) == answer.answer);
    count(summary.normalizations["none"], predict(answer, Normalization::none) == answer.answer);
  }
  summary.macro = summary.micro.value();
  summary.macro_standard_error = summary.micro.standard_error();
  if (!summary.subjects.empty()) {
    double sum = 0, variance = 0;
    for (const auto& [name, accuracy] : summary.subjects) {
      sum += accuracy.value();
      variance += accuracy.standard_error() * accuracy.standard_error();
    }
    const auto count_of_subjects = static_cast<double>(summary.subjects.size());
    summary.macro = sum / count_of_subjects;
    summary.macro_standard_error = std::sqrt(variance) / count_of_subjects;
  }
  return summary;
}

nlohmann::json to_json(const ChoiceSummary& summary) {
  nlohmann::json json = to_json(summary.micro);
  json["macro_accuracy"] = summary.macro;
  json["macro_standard_error"] = summary.macro_standard_error;
  json["too_long"] = summary.too_long;
  json["subjects"] = to_json(summary.subjects);
  json["categories"] = to_json(summary.categories);
  if (!summary.normalizations.empty()) json["normalizations"] = to_json(summary.normalizations);
  return json;
}

}  // namespace lcomp
