#pragma once

#include <cstddef>
#include <optional>
#include <variant>

#include "lcomp/formats/compressed_weight.h"
#include "lcomp/quantizers/cost/second_order_cost.h"
#include "lcomp/quantizers/feedback/error_compensation.h"
#include "lcomp/quantizers/granularity.h"
#include "lcomp/quantizers/transforms/input_scaling.h"
#include "lcomp/quantizers/transforms/layer_transform.h"
#include "lcomp/quantizers/uniform/uniform_grid.h"

namespace lcomp {

// The options of each method, with their defaults. The size may be left open, for an allocator to choose: `bits` is
// then empty (of rate-coded weights `precision` too). How they are written in JSON and in method strings is in
// quantizer_table.h.

// "dense": plain values.
struct DenseOptions {
  DenseType type = DenseType::f16;
};

// What methods with uniform grids share.
struct UniformOptions {
  std::optional<int> bits;  // 1 .. 8, or 16: plain f16
  bool symmetric = false;
  Granularity granularity;
  GridFit grid = GridFit::minmax;
  ScaleStorage scale_storage = ScaleStorage::f16;
  ZeroStorage zero_storage = ZeroStorage::integer;
};

// "rtn": round to nearest.
struct RoundToNearestOptions : UniformOptions {};

// "gptq": its scales are of groups or channels, not of the tensor; mse weighs squared errors by R_jj^2
// (hessian_factor.h).
struct GptqOptions : UniformOptions, ErrorCompensation {};

// "log": signed powers of a base.
struct LogarithmicOptions {
  std::optional<int> bits;        // 1 .. 8, or 16: plain f16
  std::optional<float> base = 2;  // > 1 and <= 4; none: fitted to each weight
  bool zero_level = false;        // a level of 0 in place of the smallest positive one
  Granularity granularity;        // groups or channels; not the tensor
  ScaleStorage scale_storage = ScaleStorage::f16;
  FeedbackSetting feedback;
};

// How the scale of a fixed table of levels is fitted to a group of weights.
enum class TableFit {
  absmax,  // the largest |w| becomes the largest |level|
  // The scale of the least weighted squared error that a search finds: from 38 scales between 1.6 and 0.02 times
  // absmax's, the three best go on by turns (nearest levels, then the best scale for these). Never worse than absmax
  // for the same storage.
  mse,
};

// "nf": NF-k, quantiles of the normal distribution.
struct NormalFloatOptions {
  std::optional<int> bits;          // 1 .. 8, or 16: plain f16
  Granularity granularity;          // groups or channels; not the tensor
  TableFit fit = TableFit::absmax;  // one bit: always mse
  ScaleStorage scale_storage = ScaleStorage::f16;
  FeedbackSetting feedback;
};

enum class KmeansFit {
  dynamic,  // dynamic programming over 256 ends of clusters (2 a level, if more): nearly exact
  exact,    // over 4096 ends, which is all of them in most weights
  lloyd,    // k-means++ and Lloyd's iteration
};

// "codebook": levels of their own for each row or group.
struct CodebookOptions {
  std::optional<int> bits;                                    // 1 .. 8, or 16: plain f16
  Granularity granularity = {Granularity::Kind::channel, 0};  // groups or channels that share a codebook
  KmeansFit fit = KmeansFit::dynamic;
  FeedbackSetting feedback;
};

// "lnq": levels of their own for each row, codes and levels improved by turns.
struct LnqOptions : Damping {
  std::optional<int> bits;       // 1 .. 8, or 16: plain f16
  std::size_t alternations = 2;  // of codes and levels
  std::size_t cycles = 4;        // passes over all columns, each time codes are improved
  bool act_order = true;         // of the rounding with error compensation that it starts from
};

// "rate": integer levels with a step a row and a column, entropy-coded.
struct RateCodedOptions : Damping {
  // How fine the steps are: one more halves all steps and adds about one bit per weight. An error of one step costs
  // 4^-precision in the units of the cost, so that components of equal precision have the same Lagrange multiplier.
  // At most one of precision and bits is set.
  std::optional<double> precision;
  std::optional<double> bits;  // bits per weight of the payload, everything counted
  // Added to the precision, given or chosen by an allocator: what learned allocation found (learned_allocation.h).
  double precision_offset = 0;
  bool row_steps = true, column_steps = true;  // false: one step for all of them, the geometric mean
  bool guided = true;          // Hessian and rows of LayerStats::sensitivity where there is one; else the plain Hessian
  int trellis_memory = 3;      // formats/trellis.h; 0: plain rounding
  double rate_weight = 0.6;    // rate-distortion weight when codes are chosen: 1 = marginal rate, 0 = ignore rate
  double row_exponent = 0.6;   // of the row importance, which few tokens tell exactly; 1: as estimated
  double column_exponent = 1;  // of d_j (rate_coded_quantizer.h)
  double embedding_weight = 3;         // factor on an embedding's sensitivity, which the second order underestimates
  double min_bits = 0, max_bits = 16;  // bits per weight that an allocator stays between, everything counted
};

// "banded": uniform integers with a bit width for each band of columns.
struct BandedOptions : Damping {
  std::optional<double> bits;  // most bits per weight of the payload, everything counted
  bool symmetric = false;
  GridFit grid = GridFit::mse;  // minmax or mse, squared errors weighted by R_jj^2 (hessian_factor.h)
  bool equal_widths = false;    // one bit width for all bands
  bool guided = true;           // as in RateCodedOptions
  double embedding_weight = 1;  // factor on an embedding's sensitivity
  double shrinkage_weight = default_shrinkage_weight;  // factor on the part of errors that shrinks a weight (ErrorCost)
  double precision_offset = 0;         // multiplies the cost by 4^precision_offset for allocators: what learning found
  double min_bits = 0, max_bits = 16;  // as in RateCodedOptions
};

using QuantizerOptions = std::variant<DenseOptions, RoundToNearestOptions, GptqOptions, LogarithmicOptions,
                                      NormalFloatOptions, CodebookOptions, LnqOptions, RateCodedOptions, BandedOptions>;

// What is done to a weight before its codes are chosen and undone by decoding: scaling first, then rotation.
struct TransformOptions {
  std::optional<InputScalingOptions> scale;
  std::optional<RotationOptions> rotate;
};

// A method with its options: what a quantizer is made from (make_quantizer() in quantizer_table.h).
struct QuantizerSetting {
  QuantizerOptions options;
  TransformOptions transforms;
};

}  // namespace lcomp
