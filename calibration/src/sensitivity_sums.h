#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lcomp/calibration/hessian_accumulator.h"
#include "lcomp/calibration/sensitivity.h"
#include "lcomp/core/matrix.h"

namespace lcomp {

// Sums over tokens of what Sensitivity and the guided Hessians of one component are made of.
class SensitivitySums {
 public:
  // groups: of the guided Hessians; 0: none are gathered.
  SensitivitySums(std::size_t out_features, std::size_t in_features, std::size_t groups);

  // input: [tokens, in_features], output_gradient: [tokens, out_features], of the mean cost over `scored` tokens.
  void add(ConstMatrixView input, ConstMatrixView output_gradient, double scored);
  // Row `id` of the input is one-hot: gradient [tokens, hidden], ids[t] the row of the embedding.
  void add_embedding(std::span<const std::int32_t> ids, ConstMatrixView gradient, double scored);

  Sensitivity sensitivity(std::size_t tokens) const;
  std::size_t groups() const { return hessians_.size(); }
  // Rows of the lower triangle of H_k one after the other, for `tokens` tokens of texts.
  Matrix hessian_triangle(std::size_t k, std::size_t tokens);

 private:
  std::vector<double> outputs_, rows_, columns_;
  std::vector<HessianAccumulator> hessians_;
  Matrix weighted_;  // [tokens, in_features], the inputs times what weighs them
};

}  // namespace lcomp
