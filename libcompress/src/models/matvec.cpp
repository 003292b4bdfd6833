// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "matvec.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "matvec.h"

#include <algorithm>
#include <cassert>

#include "lcomp/core/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Two rows of the weight against two rows of x at a time (the second of either may repeat the first): four independent
// chains of sums a vector position keep the loads, not the additions, the limit.
HWY_INLINE void dot_2x2(const float* HWY_RESTRICT x0, const float* HWY_RESTRICT x1, const float* HWY_RESTRICT w0,
                        const float* HWY_RESTRICT w1, std::size_t size, float* out) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto a00 = hn::Zero(d), a01 = hn::Zero(d), a10 = hn::Zero(d), a11 = hn::Zero(d);
  auto b00 = hn::Zero(d), b01 = hn::Zero(d), b10 = hn::Zero(d), b11 = hn::Zero(d);
  std::size_t i = 0;
  for (; i + 2 * lanes <= size; i += 2 * lanes) {
    auto u0 = hn::LoadU(d, x0 + i), u1 = hn::LoadU(d, x1 + i), v0 = hn::LoadU(d, w0 + i), v1 = hn::LoadU(d, w1 + i);
    a00 = hn::MulAdd(u0, v0, a00);
    a01 = hn::MulAdd(u0, v1, a01);
    a10 = hn::MulAdd(u1, v0, a10);
    a11 = hn::MulAdd(u1, v1, a11);
    u0 = hn::LoadU(d, x0 + i + lanes), u1 = hn::LoadU(d, x1 + i + lanes);
    v0 = hn::LoadU(d, w0 + i + lanes), v1 = hn::LoadU(d, w1 + i + lanes);
    b00 = hn::MulAdd(u0, v0, b00);
    b01 = hn::MulAdd(u0, v1, b01);
    b10 = hn::MulAdd(u1, v0, b10);
    b11 = hn::MulAdd(u1, v1, b11);
  }
  out[0] = hn::GetLane(hn::SumOfLanes(d, hn::Add(a00, b00)));
  out[1] = hn::GetLane(hn::SumOfLanes(d, hn::Add(a01, b01)));
  out[2] = hn::GetLane(hn::SumOfLanes(d, hn::Add(a10, b10)));
  out[3] = hn::GetLane(hn::SumOfLanes(d, hn::Add(a11, b11)));
  for (; i < size; ++i) {
    out[0] += x0[i] * w0[i];
    out[1] += x0[i] * w1[i];
    out[2] += x1[i] * w0[i];
    out[3] += x1[i] * w1[i];
  }
}

void multiply_weight_rows(ConstMatrixView x, ConstMatrixView weight, const float* bias, MatrixView<float> y,
                          std::size_t begin, std::size_t end) {
  for (std::size_t o = begin; o < end; o += 2) {
    const std::size_t next = std::min(o + 1, end - 1);
    for (std::size_t r = 0; r < x.rows(); r += 2) {
      const std::size_t second = std::min(r + 1, x.rows() - 1);
      float sums[4];
      dot_2x2(x.row(r).data(), x.row(second).data(), weight.row(o).data(), weight.row(next).data(), x.cols(), sums);
      y(r, o) = sums[0] + (bias == nullptr ? 0.0f : bias[o]);
      y(r, next) = sums[next == o ? 0 : 1] + (bias == nullptr ? 0.0f : bias[next]);
      if (second == r) continue;
      y(second, o) = sums[2] + (bias == nullptr ? 0.0f : bias[o]);
      y(second, next) = sums[next == o ? 2 : 3] + (bias == nullptr ? 0.0f : bias[next]);
    }
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(multiply_weight_rows);

void multiply_few(ConstMatrixView x, ConstMatrixView weight, const float* bias, MatrixView<float> y) {
  assert(x.cols() == weight.cols() && y.cols() == weight.rows());
  if (x.rows() == 0) return;
  const std::size_t grain = std::max<std::size_t>(8, 65536 / std::max<std::size_t>(1, weight.cols()) / 2 * 2);
  parallel_chunks(0, weight.rows(), grain, [&](std::size_t begin, std::size_t end) {
    HWY_DYNAMIC_DISPATCH(multiply_weight_rows)(x, weight, bias, y, begin, end);
  });
}

}  // namespace lcomp
#endif
