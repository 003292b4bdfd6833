#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/core/rng.h"
#include "lcomp/io/safetensors.h"

namespace lcomp::testing {

// A layer as they are in models: inputs of low rank and noise, with scales over more than a decade.
struct CorrelatedLayer {
  Matrix weight;   // [rows, cols]
  Matrix hessian;  // [cols, cols], 2/n sum x x^T over `tokens` random inputs
};

inline CorrelatedLayer correlated_layer(std::size_t rows, std::size_t cols, std::uint64_t seed,
                                        std::size_t tokens = 0) {
  Rng rng(seed);
  if (tokens == 0) tokens = 4 * cols;
  const std::size_t rank = cols / 8 + 1;
  CorrelatedLayer layer;
  layer.weight = Matrix(rows, cols);
  for (float& w : layer.weight.span()) w = static_cast<float>(0.05 * rng.normal());
  std::vector<double> mixing(rank * cols);
  for (double& m : mixing) m = rng.normal() / std::sqrt(static_cast<double>(rank));
  std::vector<double> scale(cols);
  for (double& s : scale) s = std::exp(0.6 * rng.normal());
  std::vector<double> sum(cols * cols, 0.0);
  std::vector<double> hidden(rank), x(cols);
  for (std::size_t t = 0; t < tokens; ++t) {
    for (double& h : hidden) h = rng.normal();
    for (std::size_t j = 0; j < cols; ++j) {
      x[j] = 0.3 * rng.normal();
      for (std::size_t k = 0; k < rank; ++k) x[j] += hidden[k] * mixing[k * cols + j];
      x[j] *= scale[j];
    }
    for (std::size_t i = 0; i < cols; ++i) {
      for (std::size_t j = 0; j < cols; ++j) sum[i * cols + j] += x[i] * x[j];
    }
  }
  layer.hessian = Matrix(cols, cols);
  for (std::size_t k = 0; k < sum.size(); ++k) {
    layer.hessian.data()[k] = static_cast<float>(2 * sum[k] / static_cast<double>(tokens));
  }
  return layer;
}

// A tensor of two dimensions.
inline Matrix read_matrix(const SafetensorsFile& file, const std::string& name) {
  const SafetensorsEntry& entry = file.entry(name);
  Matrix out(entry.shape.at(0), entry.shape.at(1));
  to_float(entry, 0, out.span());
  return out;
}

}  // namespace lcomp::testing
