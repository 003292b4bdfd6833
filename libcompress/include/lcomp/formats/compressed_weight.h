#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "lcomp/core/matrix.h"

namespace lcomp {

// How a weight [rows, cols] is stored. The formats are a closed set; each has its own header with its byte layout, and only
// the functions of these headers count bits. docs/format.md is the specification.

enum class DenseType { f32, f16, bf16 };

// Plain values, in 16 or 32 bits. See dense.h.
struct DenseWeight {
  std::size_t rows = 0, cols = 0;
  DenseType type = DenseType::f16;
  std::vector<std::uint8_t> values;  // rows * cols values, little-endian
};

enum class ScaleStorage {
  f32,     // 32-bit float (for comparisons with reference code)
  f16,     // 16-bit float
  u8,      // 8-bit code times a 16-bit float per row: scale = row_scale * code / 255
};

// Uniform integer codes, a scale and (asymmetric) a zero point per group of consecutive columns. See grouped_integer.h.
//   w^ = scale * (code - zero_point),  0 <= code < 2^bits;  symmetric: zero_point = 2^(bits-1), not stored
struct GroupedIntegerWeight {
  std::size_t rows = 0, cols = 0;
  int bits = 4;                  // 1 .. 8
  bool symmetric = true;
  std::size_t group_size = 0;    // columns per group; the last group of a row may be shorter. cols: one group a row
  bool per_tensor = false;       // one scale (and zero point) for the whole weight; group_size is then cols
  ScaleStorage scale_storage = ScaleStorage::f16;
  std::vector<std::uint8_t> codes;       // packed, see grouped_integer.h
  std::vector<std::uint8_t> scales;      // one per group in row-major order, as scale_storage says
  std::vector<std::uint8_t> row_scales;  // f16 per row when scale_storage is u8, else empty
  std::vector<std::uint8_t> zeros;       // packed zero points (`bits` wide) when asymmetric, else empty
};

using CompressedWeight = std::variant<DenseWeight, GroupedIntegerWeight>;

}  // namespace lcomp
