#pragma once

#include <cstddef>
#include <string>

#include "lcomp/quantizers/quantizer.h"
#include "lcomp/quantizers/quantizer_options.h"

namespace lcomp {

std::string name(const RoundToNearestOptions& options);  // the method string

// The grid of these options. Throws Error naming `where` for bits that are open or out of range, for a group size of
// 0, and for what check_setting() refuses.
GridSetting grid_setting(const UniformOptions& options, const std::string& where);

// How a weight of this shape is stored under these options, whose bits are set.
GroupedIntegerLayout layout_of(const UniformOptions& options, std::size_t rows, std::size_t cols);

// Round to nearest ("rtn"): fits a uniform grid to each group of weights and rounds each weight to a point of it.
//   q = clamp(round(w / scale) + zero_point, 0, 2^bits - 1),   w^ = scale * (q - zero_point)
// Uses no statistics. With scales in f32 and GridFit::minmax it equals the reference code of GPTQ (quant.py) to the
// bit, but for symmetric groups without negative values (uniform_grid.h). Rows go to all threads; the result does not
// depend on their number. Name: rtn:bits=4,group=64,asym, and grid, scales where they differ from the defaults. O(rows
// * cols).
class RoundToNearest : public Quantizer {
 public:
  explicit RoundToNearest(const RoundToNearestOptions& options);  // throws Error for bits or a group size out of range

  // Throws Error naming `component`, row and column for NaN and infinity, and where a scale overflows its storage.
  QuantizedWeight quantize(ConstMatrixView weight, const LayerStats& stats,
                           const std::string& component) const override;
  std::optional<WeightLayout> layout(std::size_t rows, std::size_t cols) const override;
  bool uses_statistics() const override { return false; }
  std::string name() const override;

 private:
  RoundToNearestOptions options_;
};

}  // namespace lcomp
