// Products of small row-major matrices that lie in a cache, for attention and its gradient. Included once per
// instruction set by files that Highway's foreach_target compiles. Registers are kept in arrays of vectors, which the
// types of SVE and RISC-V do not allow: those files disable these targets.
#include <cstddef>

#include <hwy/highway.h>

#if defined(LCOMP_TILE_PRODUCT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LCOMP_TILE_PRODUCT_INL_H
#undef LCOMP_TILE_PRODUCT_INL_H
#else
#define LCOMP_TILE_PRODUCT_INL_H
#endif

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<float, 16>;  // widths are multiples of 16

// Registers: kRows * kVectors sums, kVectors of b, one of a.
#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3
constexpr std::size_t kVectors = 2;
#else
constexpr std::size_t kVectors = 4;
#endif
constexpr std::size_t kRows = 6;

// c[R, V vectors] (+)= a[R, inner] b[inner, V vectors], or a^T with a[inner, R] when `transposed`.
template <std::size_t R, std::size_t V, bool transposed, bool accumulate>
HWY_INLINE void multiply_block(const float* HWY_RESTRICT a, std::size_t a_stride, const float* HWY_RESTRICT b,
                               std::size_t b_stride, float* HWY_RESTRICT c, std::size_t c_stride, std::size_t inner) {
  const Tag d;
  const std::size_t lanes = hn::Lanes(d);
  hn::Vec<Tag> sums[R][V];
  HWY_UNROLL(8)
  for (std::size_t r = 0; r < R; ++r) {
    HWY_UNROLL(8)
    for (std::size_t v = 0; v < V; ++v)
      sums[r][v] = accumulate ? hn::LoadU(d, c + r * c_stride + v * lanes) : hn::Zero(d);
  }
  for (std::size_t k = 0; k < inner; ++k) {
    hn::Vec<Tag> row[V];
    HWY_UNROLL(8)
    for (std::size_t v = 0; v < V; ++v) row[v] = hn::LoadU(d, b + k * b_stride + v * lanes);
    HWY_UNROLL(8)
    for (std::size_t r = 0; r < R; ++r) {
      const auto factor = hn::Set(d, transposed ? a[k * a_stride + r] : a[r * a_stride + k]);
      HWY_UNROLL(8)
      for (std::size_t v = 0; v < V; ++v) sums[r][v] = hn::MulAdd(factor, row[v], sums[r][v]);
    }
  }
  HWY_UNROLL(8)
  for (std::size_t r = 0; r < R; ++r) {
    HWY_UNROLL(8)
    for (std::size_t v = 0; v < V; ++v) hn::StoreU(sums[r][v], d, c + r * c_stride + v * lanes);
  }
}

template <std::size_t R, bool transposed, bool accumulate>
HWY_INLINE void multiply_rows(const float* a, std::size_t a_stride, const float* b, std::size_t b_stride, float* c,
                              std::size_t c_stride, std::size_t inner, std::size_t width) {
  const std::size_t lanes = hn::Lanes(Tag());
  std::size_t j = 0;
  for (; j + kVectors * lanes <= width; j += kVectors * lanes) {
    multiply_block<R, kVectors, transposed, accumulate>(a, a_stride, b + j, b_stride, c + j, c_stride, inner);
  }
  for (; j < width; j += lanes) {
    multiply_block<R, 1, transposed, accumulate>(a, a_stride, b + j, b_stride, c + j, c_stride, inner);
  }
}

// c[rows, width] (+)= a[rows, inner] b[inner, width], or a^T b with a[inner, rows] when `transposed`. width: a multiple
// of 16. No two of them overlap.
template <bool transposed, bool accumulate>
void tile_product(const float* a, std::size_t a_stride, const float* b, std::size_t b_stride, float* c,
                  std::size_t c_stride, std::size_t rows, std::size_t inner, std::size_t width) {
  const std::size_t a_step = transposed ? 1 : a_stride;  // from one row of the product to the next
  std::size_t r = 0;
  for (; r + kRows <= rows; r += kRows) {
    multiply_rows<kRows, transposed, accumulate>(a + r * a_step, a_stride, b, b_stride, c + r * c_stride, c_stride,
                                                 inner, width);
  }
  a += r * a_step;
  c += r * c_stride;
  switch (rows - r) {
    case 5:
      return multiply_rows<5, transposed, accumulate>(a, a_stride, b, b_stride, c, c_stride, inner, width);
    case 4:
      return multiply_rows<4, transposed, accumulate>(a, a_stride, b, b_stride, c, c_stride, inner, width);
    case 3:
      return multiply_rows<3, transposed, accumulate>(a, a_stride, b, b_stride, c, c_stride, inner, width);
    case 2:
      return multiply_rows<2, transposed, accumulate>(a, a_stride, b, b_stride, c, c_stride, inner, width);
    case 1:
      return multiply_rows<1, transposed, accumulate>(a, a_stride, b, b_stride, c, c_stride, inner, width);
    default:
      return;
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // once per target
