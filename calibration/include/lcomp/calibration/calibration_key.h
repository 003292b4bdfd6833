#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lcomp/forward/decoder.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// What statistics belong to: they may be used, and their computation resumed, only where all three parts are the same.
struct CalibrationKey {
  std::string model;  // hash_model_content
  std::string texts;  // hash_tokens
  std::string
      options;  // everything else that decides the values, in words: "storage scaled_half, compute float32, ..."

  bool operator==(const CalibrationKey&) const = default;
  std::string text() const;  // one line: the key of the archive
  static std::optional<CalibrationKey> parse(std::string_view text);
};

// Hash of a model's configuration, of how its activations are rounded, and of the values of every tensor that its
// decoder uses, as float32: the same for a model in one file or in shards. Reads the whole model, on all threads (about
// a second per 1.5 GB in memory and core). Throws Error for tensors that can't be read.
std::string hash_model_content(const ModelFolder& model);

// Hash of token ids and of where sequences begin.
std::string hash_tokens(const TokenBatch& batch);

// Throws Error naming `where` and which of model, texts and options differ, unless the keys are equal.
void require_same(const CalibrationKey& found, const CalibrationKey& expected, const std::string& where);

}  // namespace lcomp
