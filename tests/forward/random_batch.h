#pragma once

#include <cstdint>
#include <vector>

#include "lcomp/core/rng.h"
#include "lcomp/forward/decoder.h"

namespace lcomp::testing {

// Sequences of random tokens.
inline TokenBatch random_batch(const std::vector<std::size_t>& lengths, std::size_t vocabulary,
                               std::uint64_t seed = 5) {
  Rng rng(seed);
  TokenBatch batch;
  for (const std::size_t length : lengths) {
    std::vector<std::int32_t> ids(length);
    for (auto& id : ids) id = static_cast<std::int32_t>(rng.below(vocabulary));
    batch.add(ids);
  }
  return batch;
}

}  // namespace lcomp::testing
