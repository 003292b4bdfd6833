#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lcomp/compression/compression_plan.h"
#include "lcomp/models/model_components.h"
#include "lcomp/compression/statistics_source.h"
#include "lcomp/core/progress.h"
#include "lcomp/io/tensor_source.h"
#include "lcomp/quantizers/banded/banded_quantizer.h"

namespace lcomp {

// Chooses the widths of the banded components of a plan whose bits are open, so that together they meet a budget:
//   fixed         one width for all components and bands, as far as that goes (fixed_allocator.h)
//   across        one width for each component, those of least cost (knapsack.h)
//   within        widths by bands, the same bits per weight for each component
//   second_order  widths by bands of least cost: of each component's profiles (banded_quantizer.h) one, by knapsack.h
// Returns the quantizer of each such component. budget: bytes for these components. Each is read and looked
// at once. Throws Error for statistics without sensitivities where the allocator needs them; for a budget below the
// smallest or above the largest size, saying how much that is; and for min_bits and max_bits that no widths of a
// component come to.
std::map<std::size_t, BandedQuantizer> allocate_bands(const std::vector<ModelComponent>& components,
                                                      const std::vector<ComponentSetting>& settings,
                                                      const std::string& allocator, std::uint64_t budget,
                                                      RandomAccessStatistics& statistics, const TensorSource& tensors,
                                                      const ProgressCallback& progress);

}  // namespace lcomp
