// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "forward/activation.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "forward/activation.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>

#include "lcomp/core/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// x / (1 + e^-z). The bound keeps the exponential finite; x / 1e38 is 0 for all that matters.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V times_sigmoid(D d, V x, V z) {
  const V exponent = hn::Min(hn::Neg(z), hn::Set(d, 88.0f));
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), hn::Exp(d, exponent)));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V silu(D d, V x) {
  return times_sigmoid(d, x, x);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu_tanh(D d, V x) {
  const V cubic = hn::MulAdd(hn::Mul(hn::Mul(x, x), hn::Set(d, 0.044715f)), x, x);
  return times_sigmoid(d, x, hn::Mul(cubic, hn::Set(d, 1.5957691216057308f)));
}

// f(d, in) of each value; a partial vector at the end.
template <class F>
HWY_INLINE void for_row(const float* in, const float* factor, float* out, std::size_t width, F f) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    auto y = f(d, hn::LoadU(d, in + i));
    if (factor != nullptr) y = hn::Mul(y, hn::LoadU(d, factor + i));
    hn::StoreU(y, d, out + i);
  }
  const hn::CappedTag<float, 1> d1;
  for (; i < width; ++i) {
    auto y = f(d1, hn::LoadU(d1, in + i));
    if (factor != nullptr) y = hn::Mul(y, hn::LoadU(d1, factor + i));
    hn::StoreU(y, d1, out + i);
  }
}

void activate_row(Activation activation, const float* in, const float* factor, float* out, std::size_t width) {
  switch (activation) {
    case Activation::silu:
      for_row(in, factor, out, width, [](auto d, auto x) HWY_ATTR { return silu(d, x); });
      return;
    case Activation::gelu_tanh:
      for_row(in, factor, out, width, [](auto d, auto x) HWY_ATTR { return gelu_tanh(d, x); });
      return;
    case Activation::gelu_erf:
      for (std::size_t i = 0; i < width; ++i) {
        const float y = 0.5f * in[i] * (1.0f + std::erf(in[i] * 0.70710678118654752f));
        out[i] = factor == nullptr ? y : y * factor[i];
      }
      return;
  }
}

void softcap_row(float cap, float* values, std::size_t width) {
  const float inverse = 1.0f / cap;
  for_row(values, nullptr, values, width, [cap, inverse](auto d, auto x) HWY_ATTR {
    return hn::Mul(hn::Tanh(d, hn::Mul(x, hn::Set(d, inverse))), hn::Set(d, cap));
  });
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(activate_row);
HWY_EXPORT(softcap_row);

namespace {
// Rows that are worth handing to another thread.
std::size_t rows_per_task(std::size_t width) {
  return std::max<std::size_t>(1, 8192 / std::max<std::size_t>(1, width));
}
}  // namespace

void gated_activation(Activation activation, ConstMatrixView gate_up, MatrixView<float> out) {
  const std::size_t width = out.cols();
  assert(gate_up.cols() == 2 * width && gate_up.rows() == out.rows());
  parallel_for(
      0, out.rows(),
      [&](std::size_t i) {
        const float* row = gate_up.row(i).data();
        HWY_DYNAMIC_DISPATCH(activate_row)(activation, row, row + width, out.row(i).data(), width);
      },
      rows_per_task(width));
}

void apply_activation(Activation activation, MatrixView<float> values) {
  parallel_for(
      0, values.rows(),
      [&](std::size_t i) {
        float* row = values.row(i).data();
        HWY_DYNAMIC_DISPATCH(activate_row)(activation, row, nullptr, row, values.cols());
      },
      rows_per_task(values.cols()));
}

void apply_softcap(float cap, MatrixView<float> values) {
  parallel_for(0, values.rows(), [&](std::size_t i) {
    HWY_DYNAMIC_DISPATCH(softcap_row)(cap, values.row(i).data(), values.cols());
  });
}

}  // namespace lcomp
#endif
