#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/compressed_weight.h"

namespace lcomp {

// The uniform grid of a group of weights and how it is fitted; what every quantizer to grouped integers is built on.
//   code = clamp(round(w / scale) + zero_point, 0, 2^bits - 1),   w^ = scale * (code - zero_point)
// All in float32, with a true division and rounding half to even, as in the reference code of GPTQ (arXiv 2210.17323),
// to the bit.
struct UniformGrid {
  float scale = 0;  // as stored; 0: every weight decodes to 0
  // An integer 0 .. 2^bits - 1, or (f16 zero points) any number, z: then code = clamp(round(w / scale + z - [z]) +
  // [z]), [z] being the integer nearest to z. 1/2 for one symmetric bit: levels -scale/2, scale/2, code 1 for w > 0.
  float zero_point = 0;
};

enum class GridFit {
  // The range of the weights, 0 included. maxq = 2^bits - 1:
  //   asymmetric: scale = (max - min) / maxq, zero_point = round(-min / scale)
  //   symmetric:  scale = 2 max|w| / maxq,    zero_point = 2^(bits-1)
  // One symmetric bit: scale = 2 mean|w|, the best for the squared error (the range would be useless).
  // Differs from the reference in one case: for a symmetric group without negative values it takes the range 0 .. max,
  // so that the upper half of the values is clamped; here the range is symmetric.
  minmax,
  // A narrower range that minimises the squared error, found by a search: both ends shrunk together to 0.9, 0.9^2, ...
  // 0.02 of the range, then each by itself in steps of 5, 2.5 and 1.25 %. Never worse than minmax for the same storage.
  mse,
  // The scale of minmax and a zero point that minimises sum |w - w^|^p, p = 0.7, which forgives a few large errors for
  // many smaller ones (HQQ: "Half-Quadratic Quantization of Large Machine Learning Models", Badri and Shaji 2023; no
  // data). Two steps alternate, up to 20 times, as long as the mean |w - w^| falls: e = the shrunk errors, and
  // zero_point = mean(code - (w - e) / scale). Asymmetric grids only. It differs from the publication in three ways:
  // - Errors are measured in steps, so that the result does not depend on the unit of the weights. (Published: in
  //   weights, where for usual weights every error shrinks to nothing.)
  // - Each group stops by itself.
  // - A zero point worse than that of minmax is not taken.
  // It needs f16 zero points: an integer one can't follow, and is that of minmax nearly always. Even so mse is the
  // better choice: at 3 bits, group 64 (SmolLM2), hqq lowers the squared error by 10 %, mse with integer zero points,
  // which take 0.2 bits a weight less, by 18 %.
  hqq,
};
std::string_view name(GridFit fit);  // "minmax", "mse", "hqq"

struct GridSetting {
  int bits = 4;  // 1 .. 8
  bool symmetric = true;
  GridFit fit = GridFit::minmax;
  // f16: minmax and mse have zero_point = -min / scale, not rounded; a weight of 0 then decodes to within half a step.
  ZeroStorage zero_storage = ZeroStorage::integer;
};

// The bits of a setting that may leave them open. Throws Error naming `where` where it does.
int required_bits(std::optional<int> bits, const std::string& where);

// Throws Error naming `where` for bits out of range, and for symmetric grids with f16 zero points or GridFit::hqq.
void check_setting(const GridSetting& setting, const std::string& where);

// The values that a scale may take (round_scale in formats/grouped_integer.h).
struct ScaleValues {
  ScaleStorage storage = ScaleStorage::f32;
  float row_scale = 0;  // u8 only
};

// Fits a grid to finite weights. The scale is rounded to its storage first, zero point and (by the caller) codes are
// chosen for the stored scale. `column_weights`, when not empty, weighs the squared errors (mse and 1 bit), one each;
// they are >= 0. A group of zeros gets the reference's grid, scale 2 / maxq, or scale 0 when the storage is u8. The
// scale may be infinite where it overflows: the caller reports it. O(weights) for minmax, about 50 times that for mse
// and hqq; sums are the same on every machine.
UniformGrid fit_grid(std::span<const float> weights, const GridSetting& setting, const ScaleValues& scales,
                     std::span<const float> column_weights = {});

// The grids of all groups of one row of a weight, with the scales' row_scale when the storage is u8: the largest scale
// of the groups when fitted without regard to storage. Throws Error naming `where` when a scale overflows its storage.
struct RowGrids {
  std::vector<UniformGrid> grids;  // [groups]
  float row_scale = 0;
};
RowGrids fit_row(std::span<const float> row, std::size_t group_size, const GridSetting& setting, ScaleStorage storage,
                 const std::string& where, std::span<const float> column_weights = {});

// codes[j] of weights[j]. Vectorised, with the same result on every machine.
void round_to_grid(std::span<const float> weights, const UniformGrid& grid, const GridSetting& setting,
                   std::span<std::uint8_t> codes);

// sum_j column_weights[j] (w_j - w^_j)^2, in blocks of float32 added in double.
double grid_error(std::span<const float> weights, const UniformGrid& grid, const GridSetting& setting,
                  std::span<const float> column_weights = {});

// Throws Error naming `component`, row and column at the first value that is NaN or infinite.
void require_finite(std::span<const float> row, const std::string& component, std::size_t row_index);
void require_finite(ConstMatrixView weight, const std::string& component);  // all rows, on all threads

}  // namespace lcomp
