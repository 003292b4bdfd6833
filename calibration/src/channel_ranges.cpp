// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "channel_ranges.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "channel_ranges.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>

#include "lcomp/core/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void add_ranges_vector(const float* input, std::size_t stride, std::size_t rows, std::size_t cols, double* sums,
                       float* maxima) {
  const hn::ScalableTag<double> doubles;
  const hn::Rebind<float, decltype(doubles)> floats;
  const std::size_t lanes = hn::Lanes(doubles);
  std::size_t j = 0;
  for (; j + lanes <= cols; j += lanes) {
    auto sum = hn::LoadU(doubles, sums + j);
    auto maximum = hn::LoadU(floats, maxima + j);
    for (std::size_t i = 0; i < rows; ++i) {
      const auto value = hn::LoadU(floats, input + i * stride + j);
      sum = hn::Add(sum, hn::PromoteTo(doubles, value));
      maximum = hn::Max(maximum, hn::Abs(value));
    }
    hn::StoreU(sum, doubles, sums + j);
    hn::StoreU(maximum, floats, maxima + j);
  }
  for (; j < cols; ++j) {
    for (std::size_t i = 0; i < rows; ++i) {
      const float value = input[i * stride + j];
      sums[j] += static_cast<double>(value);
      maxima[j] = std::max(maxima[j], std::abs(value));
    }
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(add_ranges_vector);

void add_channel_ranges(ConstMatrixView input, std::span<double> sums, std::span<float> maxima) {
  assert(sums.size() == input.cols() && maxima.size() == input.cols());
  constexpr std::size_t columns = 256, rows = 32;  // a block stays in the cache while its columns are walked
  parallel_chunks(0, input.cols(), columns, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = 0; i < input.rows(); i += rows) {
      HWY_DYNAMIC_DISPATCH(add_ranges_vector)
      (input.data() + i * input.stride() + begin, input.stride(), std::min(rows, input.rows() - i), end - begin,
       sums.data() + begin, maxima.data() + begin);
    }
  });
}

}  // namespace lcomp
#endif
