#pragma once

#include <cstdint>
#include <cstring>

#include "lcomp/core/matrix.h"
#include "lcomp/core/rng.h"

namespace lcomp::testing {

// Normally distributed values.
inline Matrix random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed, double scale = 1) {
  Rng rng(seed);
  Matrix values(rows, cols);
  for (float& v : values.span()) v = static_cast<float>(scale * rng.normal());
  return values;
}

inline bool same_bits(const Matrix& a, const Matrix& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace lcomp::testing
