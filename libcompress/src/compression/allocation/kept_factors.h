#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "lcomp/core/matrix.h"
#include "lcomp/quantizers/rate/rate_coded_quantizer.h"

namespace lcomp {

// The row importance and factored Hessians of rate-coded components, each found once and kept: allocation, compression
// and every round of learning need the same one. The factor of a component with n inputs takes 4 n^2 bytes. Components
// are kept as they come until `most_bytes` are in use; the factors of all others are found again each time, so that a
// model of any size needs no more. For one model and one set of statistics. Not thread-safe.
class KeptFactors {
 public:
  static constexpr std::uint64_t default_most_bytes = std::uint64_t{2} << 30;
  explicit KeptFactors(std::uint64_t most_bytes = default_most_bytes) : left_(most_bytes) {}

  // What find_rate_coded_importance() finds. statistics: called where it has to be found; null where nothing is known.
  std::shared_ptr<const LayerImportance> importance(
      ConstMatrixView weight, const RateCodedOptions& options, const std::string& component,
      const std::function<std::shared_ptr<const LayerStats>()>& statistics);

 private:
  struct Kept {
    ImportanceOptions options;
    std::shared_ptr<const LayerImportance> importance;
  };
  std::uint64_t left_;                // bytes
  std::map<std::string, Kept> kept_;  // by component
};

}  // namespace lcomp
