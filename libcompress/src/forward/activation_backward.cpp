// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "forward/activation_backward.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "forward/activation_backward.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>

#include "lcomp/core/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// An activation and its derivative at the same points.
template <class V>
struct ValueAndSlope {
  V value;
  V slope;
};

// x s(u) and s(u) (1 + x s(-u) u'), with s(-u) = e^-u s(u), which keeps its relative precision. The bound keeps the
// exponential finite.
template <class D, class V = hn::Vec<D>>
HWY_INLINE ValueAndSlope<V> times_sigmoid(D d, V x, V u, V u_slope) {
  const V one = hn::Set(d, 1.0f);
  const V power = hn::Exp(d, hn::Min(hn::Neg(u), hn::Set(d, 88.0f)));
  const V sigmoid = hn::Div(one, hn::Add(one, power));
  const V value = hn::Mul(x, sigmoid);
  return {value, hn::MulAdd(hn::Mul(hn::Mul(power, sigmoid), u_slope), value, sigmoid)};
}

struct Silu {
  template <class D, class V = hn::Vec<D>>
  HWY_INLINE ValueAndSlope<V> operator()(D d, V x) const {
    return times_sigmoid(d, x, x, hn::Set(d, 1.0f));
  }
};

struct GeluTanh {
  template <class D, class V = hn::Vec<D>>
  HWY_INLINE ValueAndSlope<V> operator()(D d, V x) const {
    // Beyond 16 the sigmoid is 0 or 1; its argument stays finite.
    const V bounded = hn::Min(hn::Max(x, hn::Set(d, -16.0f)), hn::Set(d, 16.0f));
    const V cubic = hn::Mul(hn::Mul(bounded, bounded), hn::Set(d, 0.044715f));  // 0.044715 x^2
    const V factor = hn::Set(d, 1.5957691216057308f);
    const V u = hn::Mul(hn::MulAdd(cubic, bounded, bounded), factor);
    const V u_slope = hn::MulAdd(cubic, hn::Mul(factor, hn::Set(d, 3.0f)), factor);
    return times_sigmoid(d, x, u, u_slope);
  }
};

struct GeluErf {
  template <class D, class V = hn::Vec<D>>
  HWY_INLINE ValueAndSlope<V> operator()(D d, V x) const {
    HWY_ALIGN float in[hn::MaxLanes(D())], value[hn::MaxLanes(D())], slope[hn::MaxLanes(D())];
    hn::Store(x, d, in);
    for (std::size_t i = 0; i < hn::Lanes(d); ++i) {
      const float half = 0.5f * (1.0f + std::erf(in[i] * 0.70710678118654752f));
      value[i] = in[i] * half;
      slope[i] = half + in[i] * 0.3989422804014327f * std::exp(-0.5f * in[i] * in[i]);
    }
    return {hn::Load(d, value), hn::Load(d, slope)};
  }
};

// i = 0, lanes, 2 lanes, ...; at the end one by one.
template <class F>
HWY_INLINE void for_row(std::size_t width, F f) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= width; i += lanes) f(d, i);
  const hn::CappedTag<float, 1> d1;
  for (; i < width; ++i) f(d1, i);
}

template <class Function>
HWY_INLINE void gated_row(Function function, const float* gate, const float* up, const float* out_gradient,
                          float* gate_gradient, float* up_gradient, std::size_t width) {
  for_row(width, [&](auto d, std::size_t i) HWY_ATTR {
    const auto at = function(d, hn::LoadU(d, gate + i));
    const auto dy = hn::LoadU(d, out_gradient + i);
    const auto gate_update = hn::Mul(hn::Mul(dy, hn::LoadU(d, up + i)), at.slope);
    hn::StoreU(hn::Mul(dy, at.value), d, up_gradient + i);
    hn::StoreU(gate_update, d, gate_gradient + i);
  });
}

template <class Function>
HWY_INLINE void plain_row(Function function, const float* in, const float* out_gradient, float* in_gradient,
                          std::size_t width) {
  for_row(width, [&](auto d, std::size_t i) HWY_ATTR {
    const auto at = function(d, hn::LoadU(d, in + i));
    hn::StoreU(hn::Mul(hn::LoadU(d, out_gradient + i), at.slope), d, in_gradient + i);
  });
}

// gate_up and its gradient: [2 * width]
void gated_gradient_row(Activation activation, const float* gate_up, const float* out_gradient, float* gradient,
                        std::size_t width) {
  const float* up = gate_up + width;
  switch (activation) {
    case Activation::silu:
      gated_row(Silu(), gate_up, up, out_gradient, gradient, gradient + width, width);
      return;
    case Activation::gelu_tanh:
      gated_row(GeluTanh(), gate_up, up, out_gradient, gradient, gradient + width, width);
      return;
    case Activation::gelu_erf:
      gated_row(GeluErf(), gate_up, up, out_gradient, gradient, gradient + width, width);
      return;
  }
}

void gradient_row(Activation activation, const float* in, const float* out_gradient, float* gradient,
                  std::size_t width) {
  switch (activation) {
    case Activation::silu:
      plain_row(Silu(), in, out_gradient, gradient, width);
      return;
    case Activation::gelu_tanh:
      plain_row(GeluTanh(), in, out_gradient, gradient, width);
      return;
    case Activation::gelu_erf:
      plain_row(GeluErf(), in, out_gradient, gradient, width);
      return;
  }
}

void softcap_gradient_row(float cap, const float* capped, float* gradient, std::size_t width) {
  const float inverse = 1.0f / cap;
  for_row(width, [=](auto d, std::size_t i) HWY_ATTR {
    const auto t = hn::Mul(hn::LoadU(d, capped + i), hn::Set(d, inverse));
    const auto one = hn::Set(d, 1.0f);
    const auto slope = hn::Mul(hn::Sub(one, t), hn::Add(one, t));
    hn::StoreU(hn::Mul(hn::LoadU(d, gradient + i), slope), d, gradient + i);
  });
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(gated_gradient_row);
HWY_EXPORT(gradient_row);
HWY_EXPORT(softcap_gradient_row);

namespace {
// Rows that are worth handing to another thread.
std::size_t rows_per_task(std::size_t width) {
  return std::max<std::size_t>(1, 8192 / std::max<std::size_t>(1, width));
}
}  // namespace

void gated_activation_backward(Activation activation, ConstMatrixView gate_up, ConstMatrixView out_gradient,
                               MatrixView<float> gate_up_gradient) {
  const std::size_t width = out_gradient.cols();
  assert(gate_up.cols() == 2 * width && gate_up.rows() == out_gradient.rows());
  assert(gate_up_gradient.cols() == 2 * width && gate_up_gradient.rows() == gate_up.rows());
  parallel_for(
      0, gate_up.rows(),
      [&](std::size_t i) {
        HWY_DYNAMIC_DISPATCH(gated_gradient_row)
        (activation, gate_up.row(i).data(), out_gradient.row(i).data(), gate_up_gradient.row(i).data(), width);
      },
      rows_per_task(width));
}

void activation_backward(Activation activation, ConstMatrixView in, ConstMatrixView out_gradient,
                         MatrixView<float> in_gradient) {
  assert(in.rows() == out_gradient.rows() && in.cols() == out_gradient.cols());
  assert(in.rows() == in_gradient.rows() && in.cols() == in_gradient.cols());
  parallel_for(
      0, in.rows(),
      [&](std::size_t i) {
        HWY_DYNAMIC_DISPATCH(gradient_row)
        (activation, in.row(i).data(), out_gradient.row(i).data(), in_gradient.row(i).data(), in.cols());
      },
      rows_per_task(in.cols()));
}

void softcap_backward(float cap, ConstMatrixView capped, MatrixView<float> gradient) {
  assert(capped.rows() == gradient.rows() && capped.cols() == gradient.cols());
  parallel_for(
      0, gradient.rows(),
      [&](std::size_t i) {
        HWY_DYNAMIC_DISPATCH(softcap_gradient_row)
        (cap, capped.row(i).data(), gradient.row(i).data(), gradient.cols());
      },
      rows_per_task(gradient.cols()));
}

}  // namespace lcomp
#endif
