#pragma once

#include <cstddef>
#include <string>

#include "lcomp/quantizers/quantizer.h"
#include "lcomp/quantizers/quantizer_options.h"

namespace lcomp {

std::string name(const GptqOptions& options);  // the method string

// How a weight of this shape is stored under these options, whose bits are set. With act_order and groups that are not
// static, columns are stored in the order of visit, with a permutation.
GroupedIntegerLayout layout_of(const GptqOptions& options, std::size_t rows, std::size_t cols);

// GPTQ: rounds column by column, each time changing the columns to come so that they make up for the error in
//   tr((W - W^) H (W - W^)^T),   H = LayerStats::hessian
// Grids are fitted to the original row (channel), to the original groups of consecutive columns (static groups), or to
// each group as it begins, with the errors of the finished blocks made up for.
//
// Source: arXiv 2210.17323 and its reference code, with its dead columns (diagonal 0: taken for 1, weights for 0),
// damping, act-order, groups and static groups. Equal to it up to float32 rounding, but for symmetric groups without
// negative values (uniform_grid.h), and for the damping, which is raised when it is not enough (a warning
// then says so). The search for a range and u8 scales are not part of it.
//
// Name: gptq:bits=4,group=128,asym, then grid, scales, act_order, static_groups, damping, block_size where they differ
// from the defaults. The result does not depend on the number of threads; error_feedback.h says what differs
// between machines.
//
// Cost: cols^3 / 3 operations in double and rows * cols^2 in float32; memory 12 cols^2 bytes and, a thread, 2.5 KB for
// each column.
class GptqQuantizer : public Quantizer {
 public:
  explicit GptqQuantizer(const GptqOptions& options);  // throws Error for options out of range

  // Throws Error naming `component`: no Hessian in `stats`, or one of another size, not finite, or singular whatever
  // the damping; NaN or infinity in the weight (naming row and column); a scale that overflows its storage.
  QuantizedWeight quantize(ConstMatrixView weight, const LayerStats& stats,
                           const std::string& component) const override;
  std::optional<WeightLayout> layout(std::size_t rows, std::size_t cols) const override;
  // Round to nearest with the same options; columns are stored in their own order, in act-order's layout too.
  QuantizedWeight quantize_without_statistics(ConstMatrixView weight, const std::string& component) const override;
  bool uses_statistics() const override { return true; }
  std::string name() const override;

 private:
  GptqOptions options_;
};

}  // namespace lcomp
