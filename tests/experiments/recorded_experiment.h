#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/io/atomic_file.h"

// Records of experiments as lcomp run writes them, with numbers that tests choose.
namespace lcomp::testing {

inline nlohmann::json text_score(const std::vector<double>& nll, const std::vector<double>& kl) {
  double sum = 0, kl_sum = 0;
  for (const double value : nll) sum += value;
  for (const double value : kl) kl_sum += value;
  const double perplexity = std::exp(sum / static_cast<double>(nll.size()));
  nlohmann::json score = {{"compute", "float32"},
                          {"perplexity",
                           {{"perplexity", perplexity},
                            {"perplexity_of_mean_nll", perplexity},
                            {"mean_nll", sum / static_cast<double>(nll.size())},
                            {"nll_per_sequence", nll}}}};
  if (!kl.empty()) {
    const double mean = kl_sum / static_cast<double>(kl.size());
    score["kl"] = {{"kl_mean", mean},       {"kl_median", mean},     {"kl_p99", mean},
                   {"kl_per_sequence", kl}, {"top1_agreement", 0.5}, {"scored_tokens", 100}};
  }
  return score;
}

inline nlohmann::json recorded_row(const std::string& method, const std::string& size, std::uint64_t bytes,
                                   const nlohmann::json& scores) {
  return {{"method", method},
          {"size", size},
          {"cell", method + "-" + size},
          {"bytes", bytes},
          {"parameters", 1000},
          {"bits_per_weight", 8 * static_cast<double>(bytes) / 1000},
          {"ratio", 2000 / static_cast<double>(bytes)},
          {"seconds", 60.0},
          {"scores", scores}};
}

// An original and the methods a, b and c at two sizes, on one text task with six windows. Of the larger size, c loses
// more than a and b, which differ in noise only.
inline nlohmann::json recorded_metrics(const std::string& name) {
  const std::vector<double> nll = {3, 4, 3.5, 3.2, 4.1, 3.8};
  const auto with = [&](const std::vector<double>& loss) {
    std::vector<double> sum = nll;
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += loss[i];
    return nlohmann::json{{"text", text_score(sum, loss)}};
  };
  const std::vector<double> a = {0.10, 0.12, 0.11, 0.10, 0.13, 0.12}, b = {0.11, 0.11, 0.12, 0.09, 0.14, 0.125},
                            c = {0.3, 0.35, 0.32, 0.31, 0.36, 0.33}, small = {1, 1.2, 1.1, 1.3, 1, 1.2};
  return {{"name", name},
          {"description", "Made up"},
          {"model", "models/made-up"},
          {"model_hash", "0123"},
          {"config", nlohmann::json::object()},
          {"tasks",
           {{{"name", "text"},
             {"kl", true},
             {"choices", false},
             {"key", "4567"},
             {"protocol", {{"protocol", "wikitext2"}, {"window", 512}}},
             {"description", "text, 6 windows"}}}},
          {"rows",
           {recorded_row("original", "16 bits", 2000, {{"text", text_score(nll, {})}}),
            recorded_row("a", "4 bits", 500, with(a)), recorded_row("b", "4 bits", 501, with(b)),
            recorded_row("c | x", "4 bits", 512, with(c)), recorded_row("a", "2 bits", 300, with(small))}}};
}

inline std::filesystem::path write_record(const std::filesystem::path& folder, const nlohmann::json& metrics) {
  std::filesystem::create_directories(folder);
  write_text_file(folder / "metrics.json", metrics.dump(2));
  return folder;
}

}  // namespace lcomp::testing
