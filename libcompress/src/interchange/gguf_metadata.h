#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/interchange/gguf.h"

namespace lcomp {

// Reads the metadata of a GGUF file under its architecture's prefix: "rope.freq_base" is "llama.rope.freq_base". Errors
// name the file and the whole key.
class GgufMetadata {
 public:
  GgufMetadata(const GgufFile& file, std::string_view architecture);

  const GgufFile& file() const { return file_; }
  const std::string& prefix() const { return prefix_; }  // "llama."
  bool has(std::string_view key) const;
  // A natural number, from 1 to `high`.
  std::uint64_t size(std::string_view key, std::uint64_t high = std::uint64_t{1} << 31) const;
  std::uint64_t size_or(std::string_view key, std::uint64_t otherwise) const;
  // A natural number of which 0 means that there is none, like absence.
  std::optional<std::uint64_t> optional_size(std::string_view key) const;
  // A real number as people wrote it (gguf_number.h).
  double real(std::string_view key) const;
  double real_or(std::string_view key, double otherwise) const;
  // A list of booleans or of integers, one for each of `count` layers: whether it is not 0. Nothing where the key is
  // absent or no list.
  std::optional<std::vector<bool>> flags(std::string_view key, std::size_t count) const;

  // Throws Error when a key that changes the computation has a value other than the neutral one and is not among
  // `read`, the keys that the architecture makes something of.
  void refuse_other_mathematics(const std::vector<std::string_view>& read) const;

 private:
  std::string full(std::string_view key) const;

  const GgufFile& file_;
  std::string prefix_;
};

}  // namespace lcomp
