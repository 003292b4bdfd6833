#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lcomp/forward/decoder.h"

namespace lcomp {

// What statistics belong to: they may be used, and their computation resumed, only where all three parts are the same.
struct CalibrationKey {
  std::string model;  // model_identity()
  std::string texts;  // hash_tokens
  // Everything else that decides the values, in words: "storage scaled_half, compute float32, ..."
  std::string options;

  bool operator==(const CalibrationKey&) const = default;
  std::string text() const;  // one line: the key of the archive
  static std::optional<CalibrationKey> parse(std::string_view text);
};

// Hash of token ids and of where sequences begin.
std::string hash_tokens(const TokenBatch& batch);

// Throws Error naming `where` and which of model, calibration data and options differ, unless the keys are equal.
void require_same(const CalibrationKey& found, const CalibrationKey& expected, const std::string& where);

}  // namespace lcomp
