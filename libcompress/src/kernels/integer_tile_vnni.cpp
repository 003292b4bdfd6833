// Plain intrinsics: Highway 1.0 has no operation for the dot product of bytes.
#include "kernels/integer_tile.h"

#include <cassert>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lcomp {

#if defined(__x86_64__)

#define LCOMP_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))

namespace {

static_assert(tile_outputs == 64 && tile_rows == 6);

// sums[i] += sum of x[4i + k] * weights[4i + k] over k = 0 .. 3. In assembly because gcc 12 copies the accumulators of
// the intrinsic, _mm512_dpbusd_epi32, through memory.
LCOMP_VNNI inline void add_dot(__m512i& sums, __m512i x, __m512i weights) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(x), "v"(weights));
}

// The sums of one row of codes with 64 outputs. Members and not an array, which the compiler would keep in memory.
struct Sums {
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;

  LCOMP_VNNI Sums() = default;
};

LCOMP_VNNI inline void add_products(const std::uint8_t* codes, __m512i w0, __m512i w1, __m512i w2, __m512i w3,
                                    Sums& sums) {
  std::int32_t four = 0;
  std::memcpy(&four, codes, 4);
  const __m512i x = _mm512_set1_epi32(four);
  add_dot(sums.a, x, w0);
  add_dot(sums.b, x, w1);
  add_dot(sums.c, x, w2);
  add_dot(sums.d, x, w3);
}

// sums - zero_point * code_sums - centred_row_sum * weight_zeros, scaled and added to totals, for the 16 outputs at o.
template <bool kWeightZeros>
LCOMP_VNNI inline void add_group(const GroupEnd& end, std::size_t r, std::size_t o, __m512i correction, __m512 scales,
                                 __m512i sums) {
  if (!end.one_zero_point) {
    correction = _mm512_mullo_epi32(_mm512_set1_epi32(end.zero_points[r]), _mm512_load_si512(end.code_sums + o));
  }
  __m512i exact = _mm512_sub_epi32(sums, correction);
  if (kWeightZeros) {
    const __m512i zeros = _mm512_load_si512(end.weight_zeros + o);
    exact = _mm512_sub_epi32(exact, _mm512_mullo_epi32(_mm512_set1_epi32(end.centred_row_sums[r]), zeros));
  }
  float* to = end.totals + r * tile_outputs + o;
  // Not _mm512_cvtepi32_ps, of which gcc 12 says that it uses something uninitialised.
  const auto converted = static_cast<__m512>(__builtin_convertvector(reinterpret_cast<__v16si>(exact), __v16sf));
  const __m512 product = _mm512_mul_ps(converted, scales);
  _mm512_store_ps(to, _mm512_add_ps(_mm512_load_ps(to), product));
}

// The same for 16 outputs of each row. s...: their sums.
template <int kRows, bool kWeightZeros>
LCOMP_VNNI inline void add_groups(const GroupEnd& end, std::size_t o, __m512i s0, __m512i s1, __m512i s2, __m512i s3,
                                  __m512i s4, __m512i s5) {
  const __m512i correction =
      _mm512_mullo_epi32(_mm512_set1_epi32(end.zero_points[0]), _mm512_load_si512(end.code_sums + o));
  const __m512 scales = _mm512_load_ps(end.scales + o);
  add_group<kWeightZeros>(end, 0, o, correction, scales, s0);
  if constexpr (kRows > 1) add_group<kWeightZeros>(end, 1, o, correction, scales, s1);
  if constexpr (kRows > 2) add_group<kWeightZeros>(end, 2, o, correction, scales, s2);
  if constexpr (kRows > 3) add_group<kWeightZeros>(end, 3, o, correction, scales, s3);
  if constexpr (kRows > 4) add_group<kWeightZeros>(end, 4, o, correction, scales, s4);
  if constexpr (kRows > 5) add_group<kWeightZeros>(end, 5, o, correction, scales, s5);
}

LCOMP_VNNI inline void load(const std::int32_t* from, Sums& sums) {
  sums.a = _mm512_load_si512(from);
  sums.b = _mm512_load_si512(from + 16);
  sums.c = _mm512_load_si512(from + 32);
  sums.d = _mm512_load_si512(from + 48);
}

LCOMP_VNNI inline void store(const Sums& sums, std::int32_t* to) {
  _mm512_store_si512(to, sums.a);
  _mm512_store_si512(to + 16, sums.b);
  _mm512_store_si512(to + 32, sums.c);
  _mm512_store_si512(to + 48, sums.d);
}

template <int kRows>
LCOMP_VNNI void multiply_rows(const IntegerTile& tile) {
  Sums s0, s1, s2, s3, s4, s5;
  if (!tile.begins_group) {
    load(tile.sums, s0);
    if constexpr (kRows > 1) load(tile.sums + tile_outputs, s1);
    if constexpr (kRows > 2) load(tile.sums + 2 * tile_outputs, s2);
    if constexpr (kRows > 3) load(tile.sums + 3 * tile_outputs, s3);
    if constexpr (kRows > 4) load(tile.sums + 4 * tile_outputs, s4);
    if constexpr (kRows > 5) load(tile.sums + 5 * tile_outputs, s5);
  }
  const std::uint8_t* codes = tile.codes;
  const std::int8_t* panel = tile.panel;
  const std::size_t stride = tile.stride;
  for (std::size_t quad = 0; quad < tile.quads; ++quad, codes += 4, panel += 4 * tile_outputs) {
    const __m512i w0 = _mm512_load_si512(panel), w1 = _mm512_load_si512(panel + 64);
    const __m512i w2 = _mm512_load_si512(panel + 128), w3 = _mm512_load_si512(panel + 192);
    add_products(codes, w0, w1, w2, w3, s0);
    if constexpr (kRows > 1) add_products(codes + stride, w0, w1, w2, w3, s1);
    if constexpr (kRows > 2) add_products(codes + 2 * stride, w0, w1, w2, w3, s2);
    if constexpr (kRows > 3) add_products(codes + 3 * stride, w0, w1, w2, w3, s3);
    if constexpr (kRows > 4) add_products(codes + 4 * stride, w0, w1, w2, w3, s4);
    if constexpr (kRows > 5) add_products(codes + 5 * stride, w0, w1, w2, w3, s5);
  }
  if (tile.group_end == nullptr) {
    store(s0, tile.sums);
    if constexpr (kRows > 1) store(s1, tile.sums + tile_outputs);
    if constexpr (kRows > 2) store(s2, tile.sums + 2 * tile_outputs);
    if constexpr (kRows > 3) store(s3, tile.sums + 3 * tile_outputs);
    if constexpr (kRows > 4) store(s4, tile.sums + 4 * tile_outputs);
    if constexpr (kRows > 5) store(s5, tile.sums + 5 * tile_outputs);
  } else if (tile.group_end->weight_zeros == nullptr) {
    add_groups<kRows, false>(*tile.group_end, 0, s0.a, s1.a, s2.a, s3.a, s4.a, s5.a);
    add_groups<kRows, false>(*tile.group_end, 16, s0.b, s1.b, s2.b, s3.b, s4.b, s5.b);
    add_groups<kRows, false>(*tile.group_end, 32, s0.c, s1.c, s2.c, s3.c, s4.c, s5.c);
    add_groups<kRows, false>(*tile.group_end, 48, s0.d, s1.d, s2.d, s3.d, s4.d, s5.d);
  } else {
    add_groups<kRows, true>(*tile.group_end, 0, s0.a, s1.a, s2.a, s3.a, s4.a, s5.a);
    add_groups<kRows, true>(*tile.group_end, 16, s0.b, s1.b, s2.b, s3.b, s4.b, s5.b);
    add_groups<kRows, true>(*tile.group_end, 32, s0.c, s1.c, s2.c, s3.c, s4.c, s5.c);
    add_groups<kRows, true>(*tile.group_end, 48, s0.d, s1.d, s2.d, s3.d, s4.d, s5.d);
  }
}

}  // namespace

bool vnni_supported() {
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
         __builtin_cpu_supports("avx512vnni") != 0;
}

void multiply_tile_vnni(const IntegerTile& tile) {
  switch (tile.rows) {
    case 1:
      return multiply_rows<1>(tile);
    case 2:
      return multiply_rows<2>(tile);
    case 3:
      return multiply_rows<3>(tile);
    case 4:
      return multiply_rows<4>(tile);
    case 5:
      return multiply_rows<5>(tile);
    case 6:
      return multiply_rows<6>(tile);
    default:
      assert(false);
  }
}

#else

bool vnni_supported() { return false; }
void multiply_tile_vnni(const IntegerTile&) { assert(false); }

#endif

IntegerTileFunction best_tile_function() {
  static const bool vnni = vnni_supported();
  return vnni ? multiply_tile_vnni : multiply_tile;
}

}  // namespace lcomp
