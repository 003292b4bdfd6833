#include "lcomp/core/matrix.h"

#include <algorithm>

namespace lcomp {

void Matrix::fill(float value) { std::fill_n(buffer_.data(), size(), value); }

Matrix Matrix::clone() const {
  Matrix copy(rows_, cols_);
  std::copy_n(data(), size(), copy.data());
  return copy;
}

}  // namespace lcomp
