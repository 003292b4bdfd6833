#pragma once

#include <cstddef>
#include <cstdint>

#include "lcomp/core/matrix.h"

namespace lcomp {

// The innermost step of integer products: up to 6 rows of codes by a weight panel of 64 outputs, over the columns of
// one group or of a part of one.
inline constexpr std::size_t tile_rows = 6;
inline constexpr std::size_t tile_outputs = 64;

// What turns the sums of a group into numbers, for each row r and output o:
//   I_ro = sums[r][o] - zero_points[r] * code_sums[o] - centred_row_sums[r] * weight_zeros[o]
//   totals[r][o] += scales[o] * I_ro
// I is exact (integer_matmul.h has the bound); its conversion, the product and the sum are each rounded to float32.
struct GroupEnd {
  const std::int32_t* zero_points = nullptr;       // [rows], of the codes
  bool one_zero_point = false;                     // they are all the same
  const std::int32_t* centred_row_sums = nullptr;  // [rows], sum over the group of code - zero_point
  const std::int32_t* code_sums = nullptr;         // [64], sum over the group of the panel's bytes
  const std::int32_t* weight_zeros = nullptr;      // [64], or null: no such term
  const float* scales = nullptr;                   // [64]
  float* totals = nullptr;                         // [rows][64]
};

//   sums[r][o] = (0 or sums[r][o]) + sum_j codes[r * stride + j] * panel[j / 4][o][j % 4]
struct IntegerTile {
  const std::uint8_t* codes = nullptr;
  std::size_t stride = 0;
  std::size_t rows = 0;                 // 1 .. tile_rows
  const std::int8_t* panel = nullptr;   // [quads][64][4], aligned to 64 bytes
  std::size_t quads = 0;                // columns / 4
  bool begins_group = true;             // sums are taken as 0
  const GroupEnd* group_end = nullptr;  // where the columns are the group's last; what sums holds is undefined then
  std::int32_t* sums = nullptr;         // [rows][64], aligned to 64 bytes; so are the arrays of GroupEnd but [rows]
};
using IntegerTileFunction = void (*)(const IntegerTile&);

// Through Highway, for the instruction set found at run time: products of 16-bit integers, added in pairs.
void multiply_tile(const IntegerTile& tile);

// With AVX512-VNNI, whose one instruction multiplies 64 bytes by 64 bytes and adds them by fours. Only where
// vnni_supported(). The same results.
void multiply_tile_vnni(const IntegerTile& tile);
bool vnni_supported();

// The faster of the two on this machine.
IntegerTileFunction best_tile_function();

// to[r][o] = row_scales[r] * totals[r][o] + bias[o]; totals: [to.rows()][64], to has at most 64 columns, bias may be
// null. Through Highway.
void scale_totals(const float* totals, const float* row_scales, const float* bias, MatrixView<float> to);

}  // namespace lcomp
