#include "lcomp/quantizers/quantizer.h"

#include "lcomp/formats/format.h"

namespace lcomp {

std::optional<std::uint64_t> Quantizer::predicted_bytes(std::size_t rows, std::size_t cols) const {
  const std::optional<WeightLayout> stored = layout(rows, cols);
  return stored ? std::optional(payload_bytes(*stored)) : std::nullopt;
}

}  // namespace lcomp
