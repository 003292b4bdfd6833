#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lcomp/formats/activation_quantization.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/archive/archive.h"

namespace lcomp {

// An archive of unfinished work. One of another key is replaced, or without `replace` an Error.
Archive open_work_archive(const std::filesystem::path& folder, const std::string& key, bool replace);

// What a component became, and what can't be told from that.
struct FinishedComponent {
  CompressedWeight weight;
  double relative_error = 0;
  std::vector<std::string> warnings;
  std::optional<InputGrid> input;              // of its activations, where they have fixed ranges
  std::optional<std::uint64_t> first_attempt;  // RateAllocation::Result
};

// The finished components of a compression, on disk, so that it can go on after its process died: an archive
// (io/archive.h) with an item a component, the bytes of its parts one after the other and the rest as attributes.
// Whatever moment the process dies at, components whose store() returned are there.
class CompressionCheckpoint {
 public:
  // Throws Error for a folder with the components of another compression, as `key` tells, unless `replace`: then they
  // are deleted.
  CompressionCheckpoint(const std::filesystem::path& folder, const std::string& key, bool replace);

  bool contains(const std::string& component) const { return archive_.contains(component); }
  // Throws Error for a damaged item.
  FinishedComponent load(const std::string& component) const;
  void store(const std::string& component, const FinishedComponent& finished);

  // The scales [factors] of the input that a component is the first to read, where they were chosen beforehand.
  bool contains_input_scales(const std::string& component) const;
  std::vector<float> load_input_scales(const std::string& component, std::size_t factors) const;
  void store_input_scales(const std::string& component, std::span<const float> scales);

 private:
  Archive archive_;
};

}  // namespace lcomp
