#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lcomp/archive/archive.h"
#include "lcomp/archive/workspace.h"
#include "lcomp/formats/activation_quantization.h"
#include "lcomp/formats/compressed_weight.h"

namespace lcomp {

// The compressed version of a component, and what can't be told from it.
struct FinishedComponent {
  CompressedWeight weight;
  double relative_error = 0;
  std::vector<std::string> warnings;
  std::optional<InputGrid> input;              // of its activations, where they have fixed ranges
  std::optional<std::uint64_t> first_attempt;  // its bytes, where a budget then ordered another
};

// The finished components of a compression, on disk, so that it can go on after its process died: an archive
// (io/archive.h) with an item a component, the bytes of its parts one after the other and the rest as attributes.
// Whatever moment the process dies at, components whose store() returned are there.
class CompressionCheckpoint {
 public:
  // work: keeps something. Throws as Workspace::archive().
  explicit CompressionCheckpoint(const Workspace& work) : archive_(work.archive()) {}

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
