// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantized_rows.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "lcomp/kernels/quantized_rows.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "lcomp/core/parallel.h"
#include "lcomp/core/value_range.h"

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void round_row(const float* x, std::size_t size, float scale, float zero_point, float lowest, std::uint8_t* codes) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<std::uint8_t, decltype(d)> d8;
  const hn::RebindToSigned<decltype(d)> di;
  const std::size_t lanes = hn::Lanes(d);
  const auto scales = hn::Set(d, scale);
  const auto zeros = hn::Set(d, zero_point);
  const auto least = hn::Set(d, lowest);
  const auto most = hn::Set(d, 255.0f);
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto rounded = hn::Add(hn::Round(hn::Div(hn::LoadU(d, x + i), scales)), zeros);
    const auto code = hn::Min(hn::Max(rounded, least), most);
    hn::StoreU(hn::DemoteTo(d8, hn::ConvertTo(di, code)), d8, codes + i);
  }
  for (; i < size; ++i) {
    codes[i] = static_cast<std::uint8_t>(std::clamp(std::nearbyint(x[i] / scale) + zero_point, lowest, 255.0f));
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(round_row);

namespace {

void shape(std::size_t rows, std::size_t cols, QuantizedRows& out) {
  out.rows = rows;
  out.cols = cols;
  out.stride = (cols + 63) / 64 * 64;
  if (out.codes.size() < rows * out.stride) out.codes = AlignedBuffer<std::uint8_t>(rows * out.stride);
  out.scales.resize(rows);
  out.zero_points.resize(rows);
}

std::size_t rows_together(std::size_t cols) { return std::max<std::size_t>(1, 16384 / std::max<std::size_t>(1, cols)); }

// `fixed`: the grid of all rows, or null where each has its own.
void quantize(ConstMatrixView x, const InputGrid* fixed, bool symmetric, QuantizedRows& out) {
  shape(x.rows(), x.cols(), out);
  parallel_for(
      0, x.rows(),
      [&](std::size_t i) {
        const float* values = x.row(i).data();
        std::uint8_t* codes = out.codes.data() + i * out.stride;
        const ValueRange range = value_range(x.row(i));
        std::fill(codes + x.cols(), codes + out.stride, std::uint8_t{0});
        InputGrid grid;
        if (fixed != nullptr) {
          grid = *fixed;
        } else if (range.finite) {
          grid = input_grid(range.low, range.high, symmetric);
        }
        out.zero_points[i] = grid.zero_point;
        if (range.finite) {
          out.scales[i] = grid.scale;
          HWY_DYNAMIC_DISPATCH(round_row)
          (values, x.cols(), grid.scale, static_cast<float>(grid.zero_point), symmetric ? 1.0f : 0.0f, codes);
        } else {
          out.scales[i] = std::numeric_limits<float>::quiet_NaN();
          std::fill_n(codes, x.cols(), grid.zero_point);
        }
      },
      rows_together(x.cols()));
}

}  // namespace

void quantize_rows(ConstMatrixView x, bool symmetric, QuantizedRows& out) { quantize(x, nullptr, symmetric, out); }

void quantize_rows(ConstMatrixView x, const InputGrid& grid, bool symmetric, QuantizedRows& out) {
  assert(grid.scale > 0 && (!symmetric || grid.zero_point == 128));
  quantize(x, &grid, symmetric, out);
}

void permute_columns(const QuantizedRows& x, const std::vector<std::uint32_t>& permutation, QuantizedRows& out) {
  assert(permutation.size() == x.cols);
  shape(x.rows, x.cols, out);
  out.scales = x.scales;
  out.zero_points = x.zero_points;
  parallel_for(
      0, x.rows,
      [&](std::size_t i) {
        const std::uint8_t* from = x.row(i);
        std::uint8_t* to = out.codes.data() + i * out.stride;
        for (std::size_t j = 0; j < x.cols; ++j) to[j] = from[permutation[j]];
        std::fill(to + x.cols, to + out.stride, std::uint8_t{0});
      },
      rows_together(x.cols));
}

}  // namespace lcomp
#endif
