// Compiled once per instruction set by Highway's foreach_target. Every target computes the same float32 operations.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantizers/tables/rank_kernels.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "quantizers/tables/rank_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void add_rows_by_rank_vector(const float* rows, std::size_t stride, const std::uint8_t* ranks, std::size_t count,
                             std::size_t width, float* sums) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t j = 0; j < count; ++j) {
    const float* row = rows + j * stride;
    float* sum = sums + ranks[j] * width;
    std::size_t c = 0;
    for (; c + lanes <= width; c += lanes) {
      hn::StoreU(hn::Add(hn::LoadU(d, sum + c), hn::LoadU(d, row + c)), d, sum + c);
    }
    for (; c < width; ++c) sum[c] += row[c];
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(add_rows_by_rank_vector);

void add_rows_by_rank(const float* rows, std::size_t stride, const std::uint8_t* ranks, std::size_t count,
                      std::size_t width, float* sums) {
  HWY_DYNAMIC_DISPATCH(add_rows_by_rank_vector)(rows, stride, ranks, count, width, sums);
}

}  // namespace lcomp
#endif
