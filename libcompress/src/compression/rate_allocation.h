#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lcomp/allocators/rate_budget.h"
#include "lcomp/compression/compression_plan.h"
#include "lcomp/models/model_components.h"
#include "lcomp/compression/statistics_source.h"
#include "lcomp/core/progress.h"
#include "lcomp/io/tensor_source.h"
#include "lcomp/quantizers/rate/rate_coded_quantizer.h"

namespace lcomp {

// Compresses the rate-coded components of a plan whose precision is open, so that together they meet a budget.
//   fixed         one step and the same bits per weight for each component
//   across        one step for each component, at one price for all
//   within        steps by row and column, the same bits per weight for each component
//   second_order  steps by row and column, at one price for all
class RateAllocation {
 public:
  // settings: as components; those of open precision are looked at, once each, for how their bits depend on the
  // precision. statistics: with sensitivities, but for allocators that give all components the same bits. budget: bytes
  // for these components. Throws Error as RateBudget.
  RateAllocation(const std::vector<ModelComponent>& components, const std::vector<ComponentSetting>& settings,
                 const std::string& allocator, std::uint64_t budget, RandomAccessStatistics& statistics,
                 const TensorSource& tensors, const ProgressCallback& progress);

  bool contains(std::size_t component) const { return places_.contains(component); }
  std::string quantizer_name(std::size_t component) const { return name(options_.at(places_.at(component))); }

  // How many bits the codes of a component that took so many bytes would grow by when its precision rose, per unit.
  double bits_slope(std::size_t component, std::uint64_t bytes) const;

  struct Result {
    CompressedWeight weight;
    // Bytes of a first attempt, which decided what the second was to be; for taken_before().
    std::optional<std::uint64_t> first_attempt;
  };
  // In the order of compression, each once: this, or for one that is there already taken_before().
  Result compress(std::size_t component, ConstMatrixView weight, const LayerStats& stats, const std::string& name);
  void taken_before(std::size_t component, std::uint64_t bytes, std::optional<std::uint64_t> first_attempt);

 private:
  std::map<std::size_t, std::size_t> places_;  // of a component among those of open precision
  std::vector<RateCodedOptions> options_;      // of each place
  std::vector<RateBudgetComponent> budgeted_;  // likewise
  std::optional<RateBudget> budget_;
};

}  // namespace lcomp
