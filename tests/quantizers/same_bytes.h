#pragma once

#include <algorithm>

#include "lcomp/formats/format.h"

namespace lcomp::testing {

// Whether both would be stored as the same bytes.
inline bool same_bytes(const CompressedWeight& a, const CompressedWeight& b) {
  if (!(layout(a) == layout(b))) return false;
  const auto parts_a = to_parts(view(a)), parts_b = to_parts(view(b));
  for (std::size_t i = 0; i < parts_a.size(); ++i) {
    if (!std::ranges::equal(parts_a[i].data, parts_b[i].data)) return false;
  }
  return true;
}

}  // namespace lcomp::testing
