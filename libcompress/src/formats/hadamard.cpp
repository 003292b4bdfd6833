#include "lcomp/formats/hadamard.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <vector>

#include "formats/hadamard_kernels.h"

namespace lcomp {
namespace {

// m and r of H_n; m is 0 when there is none.
struct Factors {
  std::size_t paley = 0;
  std::size_t power = 0;
};

Factors factors_of(std::size_t n) {
  if (n == 0) return {};
  const std::size_t power = n & (~n + 1);  // the largest power of two that divides n
  const std::size_t odd = n / power;
  if (odd == 1) return {1, n};
  if (power < 4 || (odd != 3 && odd != 5 && odd != 7 && odd != 9)) return {};
  return {4 * odd, power / 4};
}

// 1 for squares mod q, 0 for multiples of q, else -1.
int quadratic_character(std::size_t q, std::size_t x) {
  if (x % q == 0) return 0;
  for (std::size_t root = 1; root < q; ++root) {
    if (root * root % q == x % q) return 1;
  }
  return -1;
}

// [size, size] with entries 1 and -1, row-major.
std::vector<float> paley_matrix(std::size_t size) {
  const bool first_construction = size == 12 || size == 20;
  const std::size_t q = first_construction ? size - 1 : size / 2 - 1;
  const auto core = [&](std::size_t i, std::size_t j) {  // C, or its skew relative
    if (i == 0 && j == 0) return 0;
    if (i == 0) return 1;
    if (j == 0) return first_construction ? -1 : 1;
    return quadratic_character(q, i + q - j);
  };
  std::vector<float> matrix(size * size);
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = 0; j < size; ++j) {
      int entry = 0;
      if (first_construction) {
        entry = core(i, j) + (i == j ? 1 : 0);
      } else {
        const int of_core = i % 2 == 1 && j % 2 == 1 ? -1 : 1;
        const int of_identity = i % 2 == 0 && j % 2 == 0 ? 1 : -1;
        entry = core(i / 2, j / 2) * of_core + (i / 2 == j / 2 ? of_identity : 0);
      }
      matrix[i * size + j] = static_cast<float>(entry);
    }
  }
  return matrix;
}

// P_m, or its transpose, by rows; made once.
const std::vector<float>& paley(std::size_t size, HadamardProduct product) {
  static const auto matrices = [] {
    std::array<std::array<std::vector<float>, 2>, 4> all;
    for (std::size_t k = 0; k < all.size(); ++k) {
      const std::size_t n = 12 + 8 * k;
      all[k][0] = paley_matrix(n);
      all[k][1].resize(n * n);
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) all[k][1][j * n + i] = all[k][0][i * n + j];
      }
    }
    return all;
  }();
  return matrices[(size - 12) / 8][product == HadamardProduct::plain ? 0 : 1];
}

float normalisation(std::size_t n) { return static_cast<float>(1 / std::sqrt(static_cast<double>(n))); }

// (P_m (x) I) x for x of m runs of `run` values; `copy`: room for them.
void multiply_by_paley(float* values, std::size_t m, std::size_t run, HadamardProduct product,
                       std::vector<float>& copy) {
  const std::vector<float>& matrix = paley(m, product);
  copy.assign(values, values + m * run);
  for (std::size_t i = 0; i < m; ++i) signed_sum(copy.data(), run, &matrix[i * m], m, run, values + i * run);
}

// Columns [first, first + width) of rows [row, row + block), through a buffer, so that rows far apart don't displace
// each other from the cache.
void transform_slab(MatrixView<float> matrix, std::size_t row, std::size_t first, std::size_t width, std::size_t block,
                    const Factors& factors, HadamardProduct product, std::vector<float>& slab,
                    std::vector<float>& copy) {
  slab.resize(block * width);
  for (std::size_t i = 0; i < block; ++i) std::copy_n(&matrix(row + i, first), width, &slab[i * width]);
  for (std::size_t distance = 1; distance < factors.power; distance *= 2) {
    for (std::size_t i = 0; i < block; i += 2 * distance) {
      butterfly(&slab[i * width], &slab[(i + distance) * width], distance * width);
    }
  }
  if (factors.paley > 1) multiply_by_paley(slab.data(), factors.paley, factors.power * width, product, copy);
  scale_values(slab.data(), slab.size(), normalisation(block));
  for (std::size_t i = 0; i < block; ++i) std::copy_n(&slab[i * width], width, &matrix(row + i, first));
}

}  // namespace

bool is_hadamard_order(std::size_t n) { return factors_of(n).paley != 0; }

std::size_t largest_hadamard_block(std::size_t dimension, std::size_t at_most, bool paley) {
  assert(dimension >= 1 && at_most >= 1);
  const std::size_t power = std::min(dimension & (~dimension + 1), std::bit_floor(at_most));
  std::size_t best = power;
  for (const std::size_t m : {12, 20, 28, 36}) {
    if (!paley || m > at_most || dimension % m != 0) continue;
    const std::size_t rest = dimension / m;
    best = std::max(best, m * std::min(rest & (~rest + 1), std::bit_floor(at_most / m)));
  }
  return best;
}

void hadamard_along_rows(MatrixView<float> matrix, std::size_t block, HadamardProduct product) {
  const Factors factors = factors_of(block);
  assert(factors.paley != 0 && matrix.cols() % block == 0);
  std::vector<float> copy;
  for (std::size_t i = 0; i < matrix.rows(); ++i) {
    const auto row = matrix.row(i);
    for (std::size_t j = 0; j < row.size(); j += factors.power) walsh_hadamard(&row[j], factors.power);
    for (std::size_t j = 0; factors.paley > 1 && j < row.size(); j += block) {
      multiply_by_paley(&row[j], factors.paley, factors.power, product, copy);
    }
    scale_values(row.data(), row.size(), normalisation(block));
  }
}

void hadamard_along_columns(MatrixView<float> matrix, std::size_t block, HadamardProduct product) {
  const Factors factors = factors_of(block);
  assert(factors.paley != 0 && matrix.rows() % block == 0);
  constexpr std::size_t slab_columns = 64;
  std::vector<float> slab;
  std::vector<float> copy;
  for (std::size_t row = 0; row < matrix.rows(); row += block) {
    for (std::size_t first = 0; first < matrix.cols(); first += slab_columns) {
      const std::size_t width = std::min(slab_columns, matrix.cols() - first);
      transform_slab(matrix, row, first, width, block, factors, product, slab, copy);
    }
  }
}

}  // namespace lcomp
