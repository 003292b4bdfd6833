#pragma once

#include <cstdint>

namespace lcomp {

// How large a model, or one weight of it, is, everything counted.
struct ModelSize {
  std::uint64_t parameters = 0;  // of the original; a tied embedding counts once
  std::uint64_t bytes = 0;       // all that is needed to decode the weights

  // 8 bytes / parameters; 0 for a model without parameters.
  double bits_per_weight() const {
    return parameters == 0 ? 0 : 8 * static_cast<double>(bytes) / static_cast<double>(parameters);
  }
  // The size in 16 bits over this one: 2 parameters / bytes; 0 for a model without bytes.
  double ratio() const { return bytes == 0 ? 0 : 2 * static_cast<double>(parameters) / static_cast<double>(bytes); }
};

}  // namespace lcomp
