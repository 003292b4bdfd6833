#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "experiments/small_model.h"
#include "lcomp/io/atomic_file.h"
#include "tokenizer/tokenizer_json.h"

// Texts and a tokenizer with a token for each printable character, for trainings of milliseconds.
namespace lcomp::testing {

constexpr int small_vocabulary = 97;  // space, newline, '!' ... '~', and one that no text has

inline std::unique_ptr<Tokenizer> character_tokenizer() {
  return tokenizer_from_json(small_tokenizer(small_vocabulary), "tokenizer.json");
}

inline void write_lines(const std::filesystem::path& file, const std::vector<nlohmann::json>& lines) {
  std::string text;
  for (const nlohmann::json& line : lines) text += line.dump() + "\n";
  write_text_file(file, text);
}

// {"parts": [["text", weight], ...]}
inline nlohmann::json parts_line(const std::vector<std::pair<std::string, double>>& parts) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [text, weight] : parts) list.push_back(nlohmann::json::array({text, weight}));
  return {{"parts", list}};
}

// Sums, such as "12+30=42".
inline void write_sums(const std::filesystem::path& file, int count) {
  std::vector<nlohmann::json> lines;
  for (int i = 0; i < count; ++i) {
    const int a = i * 7 % 50, b = i * 11 % 50;
    const std::string question = std::to_string(a) + "+" + std::to_string(b) + "=";
    lines.push_back(parts_line({{question, 0.1}, {std::to_string(a + b), 1}}));
  }
  write_lines(file, lines);
}

// A training of a model of 7 thousand parameters in `folder`, which gets its texts and tokenizer.
inline nlohmann::json small_training(const std::filesystem::path& folder) {
  write_sums(folder / "sums.jsonl", 100);
  write_text_file(folder / "tokenizer.json", small_tokenizer(small_vocabulary).dump());
  const nlohmann::json model = {{"hidden_size", 16},        {"intermediate_size", 24},
                                {"num_hidden_layers", 2},   {"num_attention_heads", 2},
                                {"num_key_value_heads", 1}, {"max_position_embeddings", 64}};
  return {{"model", {{"new", model}}},
          {"tokenizer", (folder / "tokenizer.json").string()},
          {"data", nlohmann::json::array({{{"file", (folder / "sums.jsonl").string()}}})},
          {"window", 32},
          {"batch", 2},
          {"accumulation", 2},
          {"steps", 10},
          {"learning_rate", 0.01},
          {"warmup", 2},
          {"checkpoint_every", 5},
          {"evaluate_every", 5},
          {"held_out", {{"file", (folder / "sums.jsonl").string()}, {"windows", 2}}},
          {"out", (folder / "out").string()}};
}

}  // namespace lcomp::testing
