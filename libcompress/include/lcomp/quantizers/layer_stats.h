#pragma once

#include <cstdint>
#include <span>

#include "lcomp/core/matrix.h"
#include "lcomp/quantizers/cost/input_histogram.h"

namespace lcomp {

// How much the cost of a task depends on one component W [rows, cols], to second order: where its outputs and weights
// matter. Made by the backward pass of calibration (calibration/sensitivity.h has the definitions).
struct LayerSensitivity {
  std::span<const float> outputs;  // [rows], 1/n sum_t g_ti^2; empty for an embedding that is not tied
  std::span<const float> rows;     // [rows], 1/n sum_t,j (g_ti x_tj)^2
  std::span<const float> columns;  // [cols], 1/n sum_t,i (g_ti x_tj)^2
  // [cols, cols], 2/n sum_t (1/rows sum_i g_ti^2) x_t x_t^T: tokens weighted by how much they matter; empty for an
  // embedding that is not tied.
  ConstMatrixView guided_hessian;
  bool embedding = false;  // rows are tokens, each with calibration data of its own: errors count by rows and columns
};

// What calibration knows of one linear layer y = W x, W [out_features, in_features]. Views are empty and pointers null
// for what is not known.
struct LayerStats {
  ConstMatrixView hessian;                        // [in_features, in_features], H = 2/n sum_t x_t x_t^T
  std::uint64_t tokens = 0;                       // n
  std::span<const float> mean = {};               // [in_features], 1/n sum_t x_t
  std::span<const float> absolute_maximum = {};   // [in_features], max_t |x_t|
  const InputHistogram* histogram = nullptr;      // of all values of x
  const LayerSensitivity* sensitivity = nullptr;  // what the cost of a task says of the layer
};

}  // namespace lcomp
