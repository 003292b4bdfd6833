// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "forward/norm.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "forward/norm.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>

#include "lcomp/core/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// sum of (in[i] - shift)^2 and of in[i], in double.
void moments(const float* in, std::size_t width, double shift, double* sum, double* squares) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  const std::size_t lanes = hn::Lanes(d);
  const auto vshift = hn::Set(d, shift);
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), q0 = hn::Zero(d), q1 = hn::Zero(d);
  std::size_t i = 0;
  for (; i + 2 * lanes <= width; i += 2 * lanes) {
    const auto a = hn::Sub(hn::PromoteTo(d, hn::LoadU(df, in + i)), vshift);
    const auto b = hn::Sub(hn::PromoteTo(d, hn::LoadU(df, in + i + lanes)), vshift);
    s0 = hn::Add(s0, a);
    s1 = hn::Add(s1, b);
    q0 = hn::MulAdd(a, a, q0);
    q1 = hn::MulAdd(b, b, q1);
  }
  double total = hn::GetLane(hn::SumOfLanes(d, hn::Add(s0, s1)));
  double total_squares = hn::GetLane(hn::SumOfLanes(d, hn::Add(q0, q1)));
  for (; i < width; ++i) {
    const double v = static_cast<double>(in[i]) - shift;
    total += v;
    total_squares += v * v;
  }
  *sum = total;
  *squares = total_squares;
}

// out = (in - mean) * factor * gain + bias; bias may be null.
void scale_row(const float* in, float mean, float factor, const float* gain, const float* bias, float* out,
               std::size_t width) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto vmean = hn::Set(d, mean);
  const auto vfactor = hn::Set(d, factor);
  std::size_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    const auto x = hn::Mul(hn::Sub(hn::LoadU(d, in + i), vmean), vfactor);
    const auto g = hn::LoadU(d, gain + i);
    hn::StoreU(bias == nullptr ? hn::Mul(x, g) : hn::MulAdd(x, g, hn::LoadU(d, bias + i)), d, out + i);
  }
  for (; i < width; ++i) out[i] = (in[i] - mean) * factor * gain[i] + (bias == nullptr ? 0.0f : bias[i]);
}

void add_row(const float* update, float* states, std::size_t width) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    hn::StoreU(hn::Add(hn::LoadU(d, states + i), hn::LoadU(d, update + i)), d, states + i);
  }
  for (; i < width; ++i) states[i] += update[i];
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(moments);
HWY_EXPORT(scale_row);
HWY_EXPORT(add_row);

namespace {
// Rows that are worth handing to another thread.
std::size_t rows_per_task(std::size_t width) {
  return std::max<std::size_t>(1, 16384 / std::max<std::size_t>(1, width));
}
}  // namespace

void normalize_row(NormKind kind, double epsilon, const NormWeights& weights, const float* in, float* out,
                   std::size_t width) {
  assert(weights.gain.size() == width);
  const auto count = static_cast<double>(width);
  double sum = 0, squares = 0;
  if (kind == NormKind::layer) {
    assert(weights.bias.size() == width);
    HWY_DYNAMIC_DISPATCH(moments)(in, width, 0.0, &sum, &squares);
    const double mean = sum / count;
    HWY_DYNAMIC_DISPATCH(moments)(in, width, mean, &sum, &squares);
    const auto factor = static_cast<float>(1.0 / std::sqrt(squares / count + epsilon));
    HWY_DYNAMIC_DISPATCH(scale_row)
    (in, static_cast<float>(mean), factor, weights.gain.data(), weights.bias.data(), out, width);
    return;
  }
  HWY_DYNAMIC_DISPATCH(moments)(in, width, 0.0, &sum, &squares);
  const auto factor = static_cast<float>(1.0 / std::sqrt(squares / count + epsilon));
  HWY_DYNAMIC_DISPATCH(scale_row)(in, 0.0f, factor, weights.gain.data(), nullptr, out, width);
}

void normalize(NormKind kind, double epsilon, const NormWeights& weights, ConstMatrixView in, MatrixView<float> out) {
  assert(in.rows() == out.rows() && in.cols() == out.cols());
  parallel_for(
      0, in.rows(),
      [&](std::size_t i) { normalize_row(kind, epsilon, weights, in.row(i).data(), out.row(i).data(), in.cols()); },
      rows_per_task(in.cols()));
}

void add(ConstMatrixView update, MatrixView<float> states) {
  assert(update.rows() == states.rows() && update.cols() == states.cols());
  parallel_for(
      0, states.rows(),
      [&](std::size_t i) {
        HWY_DYNAMIC_DISPATCH(add_row)
        (update.row(i).data(), states.row(i).data(), states.cols());
      },
      rows_per_task(states.cols()));
}

}  // namespace lcomp
#endif
