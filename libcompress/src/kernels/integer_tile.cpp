// Compiled once per instruction set by Highway's foreach_target. Integers throughout: every target computes the same.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/integer_tile.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "kernels/integer_tile.h"

#include <algorithm>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void add_products(const IntegerTile& tile) {
  for (std::size_t r = 0; r < tile.rows; ++r) {
    std::int32_t* sums = tile.sums + r * tile_outputs;
    for (std::size_t j = 0; j < 4 * tile.quads; ++j) {
      const std::int32_t code = tile.codes[r * tile.stride + j];
      const std::int8_t* weights = tile.panel + j / 4 * 4 * tile_outputs + j % 4;
      for (std::size_t o = 0; o < tile_outputs; ++o) sums[o] += code * weights[4 * o];
    }
  }
}

#else

// Four codes in every group of four 16-bit lanes.
template <class D16>
HWY_INLINE hn::Vec<D16> four_codes(D16 d16, const std::uint8_t* codes) {
  const hn::Rebind<std::uint8_t, D16> d8;
  const hn::Repartition<std::int32_t, decltype(d8)> d32;
  std::int32_t four = 0;
  std::memcpy(&four, codes, 4);
  return hn::PromoteTo(d16, hn::BitCast(d8, hn::Set(d32, four)));
}

// out += the sums of neighbouring lanes of low, then of high: a product leaves two an output.
template <class D32, class V>
HWY_INLINE void add_pairs(D32 d32, V low, V high, std::int32_t* out) {
  const auto sums = hn::Add(hn::ConcatEven(d32, high, low), hn::ConcatOdd(d32, high, low));
  hn::StoreU(hn::Add(hn::LoadU(d32, out), sums), d32, out);
}

// Two vectors of weights, each with four columns of lanes / 4 outputs, by one or two rows of codes. The second
// accumulator of each product (x) is what Highway asks for: on some processors the high half of the products goes
// there.
template <bool kTwoRows>
void multiply_rows(const IntegerTile& tile, std::size_t first_row) {
  const hn::CappedTag<std::int16_t, 64> d16;
  const hn::RepartitionToWide<decltype(d16)> d32;
  const hn::Rebind<std::int8_t, decltype(d16)> d8;
  const std::size_t lanes = hn::Lanes(d16);
  const std::uint8_t* row0 = tile.codes + first_row * tile.stride;
  const std::uint8_t* row1 = kTwoRows ? row0 + tile.stride : row0;
  std::int32_t* out = tile.sums + first_row * tile_outputs;
  for (std::size_t o = 0; o < tile_outputs; o += lanes / 2) {
    auto a0 = hn::Zero(d32), a1 = a0, b0 = a0, b1 = a0;  // row 0 and 1 by vector 0 and 1
    auto a0x = a0, a1x = a0, b0x = a0, b1x = a0;
    const std::int8_t* panel = tile.panel + 4 * o;
    for (std::size_t quad = 0; quad < tile.quads; ++quad, panel += 4 * tile_outputs) {
      const auto w0 = hn::PromoteTo(d16, hn::LoadU(d8, panel));
      const auto w1 = hn::PromoteTo(d16, hn::LoadU(d8, panel + lanes));
      const auto codes0 = four_codes(d16, row0 + 4 * quad);
      a0 = hn::ReorderWidenMulAccumulate(d32, codes0, w0, a0, a0x);
      a1 = hn::ReorderWidenMulAccumulate(d32, codes0, w1, a1, a1x);
      if (kTwoRows) {
        const auto codes1 = four_codes(d16, row1 + 4 * quad);
        b0 = hn::ReorderWidenMulAccumulate(d32, codes1, w0, b0, b0x);
        b1 = hn::ReorderWidenMulAccumulate(d32, codes1, w1, b1, b1x);
      }
    }
    add_pairs(d32, hn::RearrangeToOddPlusEven(a0, a0x), hn::RearrangeToOddPlusEven(a1, a1x), out + o);
    if (kTwoRows) {
      add_pairs(d32, hn::RearrangeToOddPlusEven(b0, b0x), hn::RearrangeToOddPlusEven(b1, b1x), out + tile_outputs + o);
    }
  }
}

void add_products(const IntegerTile& tile) {
  std::size_t row = 0;
  for (; row + 2 <= tile.rows; row += 2) multiply_rows<true>(tile, row);
  if (row < tile.rows) multiply_rows<false>(tile, row);
}

#endif  // HWY_TARGET == HWY_SCALAR

void add_groups(const GroupEnd& end, const std::int32_t* sums, std::size_t rows) {
  const hn::CappedTag<float, 16> d;
  const hn::RebindToSigned<decltype(d)> di;
  for (std::size_t r = 0; r < rows; ++r) {
    const auto zero_point = hn::Set(di, end.zero_points[r]);
    float* totals = end.totals + r * tile_outputs;
    for (std::size_t o = 0; o < tile_outputs; o += hn::Lanes(d)) {
      const auto correction = hn::Mul(zero_point, hn::Load(di, end.code_sums + o));
      auto exact = hn::Sub(hn::Load(di, sums + r * tile_outputs + o), correction);
      if (end.weight_zeros != nullptr) {
        const auto row_sum = hn::Set(di, end.centred_row_sums[r]);
        exact = hn::Sub(exact, hn::Mul(row_sum, hn::Load(di, end.weight_zeros + o)));
      }
      const auto product = hn::Mul(hn::ConvertTo(d, exact), hn::Load(d, end.scales + o));
      hn::Store(hn::Add(hn::Load(d, totals + o), product), d, totals + o);
    }
  }
}

void multiply_tile_vector(const IntegerTile& tile) {
  if (tile.begins_group) std::fill_n(tile.sums, tile.rows * tile_outputs, 0);
  add_products(tile);
  if (tile.group_end != nullptr) add_groups(*tile.group_end, tile.sums, tile.rows);
}

void scale_totals_vector(const float* totals, const float* row_scales, const float* bias, MatrixView<float> to) {
  const hn::CappedTag<float, 16> d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t r = 0; r < to.rows(); ++r, totals += tile_outputs) {
    float* y = to.row(r).data();
    const auto scale = hn::Set(d, row_scales[r]);
    std::size_t o = 0;
    for (; o + lanes <= to.cols(); o += lanes) {
      auto value = hn::Mul(hn::LoadU(d, totals + o), scale);
      if (bias != nullptr) value = hn::Add(value, hn::LoadU(d, bias + o));
      hn::StoreU(value, d, y + o);
    }
    for (; o < to.cols(); ++o) {
      y[o] = totals[o] * row_scales[r];
      if (bias != nullptr) y[o] += bias[o];
    }
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(multiply_tile_vector);
HWY_EXPORT(scale_totals_vector);

void multiply_tile(const IntegerTile& tile) { HWY_DYNAMIC_DISPATCH(multiply_tile_vector)(tile); }

void scale_totals(const float* totals, const float* row_scales, const float* bias, MatrixView<float> to) {
  HWY_DYNAMIC_DISPATCH(scale_totals_vector)(totals, row_scales, bias, to);
}

}  // namespace lcomp
#endif
