#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "support/reference_data.h"

// A small model with a tokenizer and a text: what commands are tried on.
namespace lcomp::testing {

// A byte-level tokenizer with one token for each printable ASCII character.
inline nlohmann::json small_tokenizer(int tokens) {
  nlohmann::json vocab = nlohmann::json::object();
  vocab["\xc4\xa0"] = 0;  // the byte-level alphabet's space, U+0120
  vocab["\xc4\x8a"] = 1;  // newline, U+010A
  int id = 2;
  for (char c = '!'; c <= '~' && id < tokens; ++c) vocab[std::string(1, c)] = id++;
  for (; id < tokens; ++id) vocab["unused" + std::to_string(id)] = id;
  return {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", nlohmann::json::array()},
      {"normalizer", nullptr},
      {"pre_tokenizer",
       {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}}},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", nullptr},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", false},
        {"byte_fallback", false},
        {"ignore_merges", false},
        {"vocab", vocab},
        {"merges", nlohmann::json::array()}}}};
}

// Copies a reference model of golden("families/...") to `folder` and gives it a tokenizer. The folder's name.
inline std::string copy_small_model(const std::filesystem::path& folder, const std::string& family = "llama-tied") {
  namespace fs = std::filesystem;
  fs::create_directory(folder);
  for (const auto& entry : fs::directory_iterator(golden("families/" + family))) {
    const std::string name = entry.path().filename();
    if (name.starts_with("io") || name == "config.v5.json") continue;
    fs::copy_file(entry.path(), folder / name);
    fs::permissions(folder / name, fs::perms::owner_write, fs::perm_options::add);
  }
  const int tokens = parse_json_file(folder / "config.json").at("vocab_size");
  write_text_file(folder / "tokenizer.json", small_tokenizer(tokens).dump());
  return folder.string();
}

inline void write_small_text(const std::filesystem::path& file) {
  std::string text;
  for (int i = 0; i < 40; ++i) {
    text += "The quick brown fox jumps over the lazy dog, " + std::to_string(i) + " times.\n";
  }
  write_text_file(file, text);
}

}  // namespace lcomp::testing
