#pragma once

#include "kernels/integer_tile.h"
#include "lcomp/kernels/integer_matmul.h"

namespace lcomp {

// multiply() of integer_matmul.h with a given inner step.
struct IntegerProduct {
  IntegerTileFunction tile_function = best_tile_function();

  void operator()(const QuantizedRows& x, const IntegerWeight& weight, std::span<const float> bias,
                  MatrixView<float> y) const;

 private:
  struct Operands;
  struct Task;
  void multiply_panel(const Operands& operands, const Task& task, MatrixView<float> y) const;
};

}  // namespace lcomp
