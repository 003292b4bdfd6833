// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "forward/norm_backward.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "forward/norm_backward.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <vector>

#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"

#ifndef LCOMP_NORM_BACKWARD_SUMS
#define LCOMP_NORM_BACKWARD_SUMS
namespace lcomp {
namespace {

// Of one row, with c = x - shift and u = gain * dy.
struct RowSums {
  double values = 0;    // sum c
  double squares = 0;   // sum c^2
  double updates = 0;   // sum u
  double products = 0;  // sum u c
};

}  // namespace
}  // namespace lcomp
#endif

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void row_sums(const float* in, const float* gain, const float* out_gradient, std::size_t width, double shift,
              RowSums* sums) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  const std::size_t lanes = hn::Lanes(d);
  const auto vshift = hn::Set(d, shift);
  auto values = hn::Zero(d), squares = hn::Zero(d), updates = hn::Zero(d), products = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    const auto c = hn::Sub(hn::PromoteTo(d, hn::LoadU(df, in + i)), vshift);
    const auto u =
        hn::Mul(hn::PromoteTo(d, hn::LoadU(df, gain + i)), hn::PromoteTo(d, hn::LoadU(df, out_gradient + i)));
    values = hn::Add(values, c);
    squares = hn::MulAdd(c, c, squares);
    updates = hn::Add(updates, u);
    products = hn::MulAdd(u, c, products);
  }
  *sums = {hn::GetLane(hn::SumOfLanes(d, values)), hn::GetLane(hn::SumOfLanes(d, squares)),
           hn::GetLane(hn::SumOfLanes(d, updates)), hn::GetLane(hn::SumOfLanes(d, products))};
  for (; i < width; ++i) {
    const double c = static_cast<double>(in[i]) - shift;
    const double u = static_cast<double>(gain[i]) * static_cast<double>(out_gradient[i]);
    sums->values += c;
    sums->squares += c * c;
    sums->updates += u;
    sums->products += u * c;
  }
}

// totals += (in - mean) * factor * out_gradient, and the same without the first two factors when `normed` is false.
template <bool normed>
HWY_INLINE void add_to_totals(const float* in, const float* out_gradient, std::size_t width, float mean, float factor,
                              double* totals) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  const std::size_t lanes = hn::Lanes(d);
  const auto vmean = hn::Set(df, mean), vfactor = hn::Set(df, factor);
  std::size_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    auto value = hn::LoadU(df, out_gradient + i);
    if (normed) value = hn::Mul(value, hn::Mul(hn::Sub(hn::LoadU(df, in + i), vmean), vfactor));
    hn::StoreU(hn::Add(hn::LoadU(d, totals + i), hn::PromoteTo(d, value)), d, totals + i);
  }
  for (; i < width; ++i) {
    totals[i] += static_cast<double>(normed ? out_gradient[i] * ((in[i] - mean) * factor) : out_gradient[i]);
  }
}

void add_gain_gradient(const float* in, const float* out_gradient, std::size_t width, float mean, float factor,
                       double* totals) {
  add_to_totals<true>(in, out_gradient, width, mean, factor, totals);
}

void add_bias_gradient(const float* out_gradient, std::size_t width, double* totals) {
  add_to_totals<false>(nullptr, out_gradient, width, 0, 1, totals);
}

// in_gradient = factor * (gain * out_gradient - shift) - (in - mean) * slope
void row_gradient(const float* in, const float* gain, const float* out_gradient, float* in_gradient, std::size_t width,
                  float mean, float factor, float shift, float slope) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto vmean = hn::Set(d, mean), vfactor = hn::Set(d, factor), vshift = hn::Set(d, shift),
             vslope = hn::Set(d, slope);
  std::size_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    const auto u = hn::MulSub(hn::LoadU(d, gain + i), hn::LoadU(d, out_gradient + i), vshift);
    const auto c = hn::Sub(hn::LoadU(d, in + i), vmean);
    hn::StoreU(hn::NegMulAdd(c, vslope, hn::Mul(u, vfactor)), d, in_gradient + i);
  }
  for (; i < width; ++i) {
    in_gradient[i] = factor * (gain[i] * out_gradient[i] - shift) - (in[i] - mean) * slope;
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(row_sums);
HWY_EXPORT(add_gain_gradient);
HWY_EXPORT(add_bias_gradient);
HWY_EXPORT(row_gradient);

void normalize_row_backward(NormKind kind, double epsilon, const NormWeights& weights, const float* in,
                            const float* out_gradient, float* in_gradient, double* gain_gradient, double* bias_gradient,
                            std::size_t width) {
  assert(weights.gain.size() == width);
  const auto count = static_cast<double>(width);
  const float* gain = weights.gain.data();
  RowSums sums;
  double mean = 0, shift = 0;
  HWY_DYNAMIC_DISPATCH(row_sums)(in, gain, out_gradient, width, 0.0, &sums);
  if (kind == NormKind::layer) {
    mean = sums.values / count;
    HWY_DYNAMIC_DISPATCH(row_sums)(in, gain, out_gradient, width, mean, &sums);
    shift = sums.updates / count;
  }
  const double factor = 1.0 / std::sqrt(sums.squares / count + epsilon);
  const double slope = factor * factor * factor * sums.products / count;
  if (gain_gradient != nullptr) {
    HWY_DYNAMIC_DISPATCH(add_gain_gradient)
    (in, out_gradient, width, static_cast<float>(mean), static_cast<float>(factor), gain_gradient);
  }
  if (bias_gradient != nullptr) HWY_DYNAMIC_DISPATCH(add_bias_gradient)(out_gradient, width, bias_gradient);
  HWY_DYNAMIC_DISPATCH(row_gradient)
  (in, gain, out_gradient, in_gradient, width, static_cast<float>(mean), static_cast<float>(factor),
   static_cast<float>(shift), static_cast<float>(slope));
}

void normalize_backward(NormKind kind, double epsilon, const NormWeights& weights, ConstMatrixView in,
                        ConstMatrixView out_gradient, MatrixView<float> in_gradient, std::span<double> gain_gradient,
                        std::span<double> bias_gradient) {
  const std::size_t rows = in.rows(), width = in.cols();
  assert(out_gradient.rows() == rows && out_gradient.cols() == width);
  assert(in_gradient.rows() == rows && in_gradient.cols() == width);
  assert(gain_gradient.empty() || gain_gradient.size() == width);
  assert(bias_gradient.empty() || bias_gradient.size() == width);
  // Sums over rows: one pair of totals a piece, added in the order of the pieces.
  constexpr std::size_t most_pieces = 16, fewest_rows = 32;
  const std::size_t piece_rows = std::max(fewest_rows, divide_up(rows, most_pieces));
  const std::size_t pieces = divide_up(rows, piece_rows);
  const std::size_t gains = gain_gradient.size(), biases = bias_gradient.size();
  std::vector<double> totals(pieces * (gains + biases), 0.0);
  parallel_for(0, pieces, [&](std::size_t piece) {
    double* gain_total = totals.data() + piece * (gains + biases);
    double* bias_total = gain_total + gains;
    for (std::size_t i = piece * piece_rows; i < std::min(rows, (piece + 1) * piece_rows); ++i) {
      normalize_row_backward(kind, epsilon, weights, in.row(i).data(), out_gradient.row(i).data(),
                             in_gradient.row(i).data(), gains == 0 ? nullptr : gain_total,
                             biases == 0 ? nullptr : bias_total, width);
    }
  });
  for (std::size_t piece = 0; piece < pieces; ++piece) {
    const double* total = totals.data() + piece * (gains + biases);
    for (std::size_t i = 0; i < gains; ++i) gain_gradient[i] += total[i];
    for (std::size_t i = 0; i < biases; ++i) bias_gradient[i] += total[gains + i];
  }
}

}  // namespace lcomp
#endif
