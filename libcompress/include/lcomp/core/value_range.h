#pragma once

#include <span>

namespace lcomp {

struct ValueRange {
  float low = 0;   // least value, at most 0
  float high = 0;  // greatest value, at least 0
  bool finite = true;
};

// The range of some values with 0 in it, and whether none is NaN or infinite (low and high mean nothing otherwise). 0
// for no values. Vectorised (Highway, chosen at run time) with the same result everywhere, at memory speed.
ValueRange value_range(std::span<const float> values);

}  // namespace lcomp
