#pragma once

#include <span>

namespace lcomp {

// Whether no value is NaN or infinite. Vectorised, at memory speed.
bool all_finite(std::span<const float> values);

}  // namespace lcomp
