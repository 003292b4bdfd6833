#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "input_groups.h"
#include "lcomp/archive/archive.h"
#include "lcomp/calibration/calibration_key.h"
#include "lcomp/calibration/input_statistics.h"

// Names and contents of an archive's items, as calibration_archive.h describes them.
namespace lcomp {

// What the archive says of one input.
struct StoredInput {
  std::vector<std::string> components;
  std::size_t in_features = 0;
  std::uint64_t tokens = 0;
};

std::string layer_item(std::size_t layer);
constexpr const char* head_item = "head";
constexpr const char* token_counts_item = "token_counts";

// Writes the statistics of one input, unless they are there already (of a run that was killed before the layer was
// done), and returns what is to be said of them. Throws Error when the Hessian exceeds float32.
StoredInput write_input(Archive& archive, const InputGroup& group, InputAccumulator& sums);
InputStatistics read_input(const Archive& archive, const StoredInput& input);

void write_inputs(Archive& archive, const std::string& item, const std::vector<StoredInput>& inputs);
std::vector<StoredInput> read_inputs(const Archive& archive, const std::string& item, const std::string& where);

// The key of the archive in a folder; nothing when there is none yet. Throws Error for an archive of another kind.
std::optional<CalibrationKey> read_key(const std::filesystem::path& folder);

}  // namespace lcomp
