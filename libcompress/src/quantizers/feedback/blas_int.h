#pragma once

#include <cstddef>

namespace lcomp {

// A size as BLAS and LAPACK take it.
inline int blas_int(std::size_t n) { return static_cast<int>(n); }

}  // namespace lcomp
