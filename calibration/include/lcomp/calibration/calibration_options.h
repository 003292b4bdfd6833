#pragma once

#include <cstdint>
#include <filesystem>

#include "lcomp/core/progress.h"
#include "lcomp/forward/residual_stream.h"

namespace lcomp {

struct CalibrationOptions {
  ResidualStorage storage = ResidualStorage::scaled_half;
  // Bytes of the residual stream (2 hidden + 4 a token) that may be kept in memory; a larger one goes to a temporary
  // file. The results are the same.
  std::uint64_t memory_limit = std::uint64_t{2} << 30;
  std::filesystem::path spill_folder;  // of that file; empty: the archive's folder, or the system's temporary folder
  // Bytes of Hessian sums gathered at once (4 in_features^2 + 8192 in_features a different input). A block with more,
  // such as a mixture of experts, is run several times, each time for some of its inputs; at least one is gathered at a
  // time. The results are the same.
  std::uint64_t accumulator_limit = std::uint64_t{3} << 30;
  // Tokens that go through a block together, in whole sequences (at least one). Fewer need less memory, and read a
  // block's weights more often: at 8192 that costs a few percent of the products with them. The results differ by the
  // rounding of float32 sums, so that the archive's key has it.
  std::size_t tokens_at_once = 8192;
  ProgressCallback progress;  // several steps a layer; the label says which layer
};

}  // namespace lcomp
