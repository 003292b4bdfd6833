#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/code_matrix.h"
#include "lcomp/formats/column_permutation.h"

namespace lcomp {

// Decodes rows of a weight with groups of columns, whatever its codes mean: calls
//   decode_group(row, group, codes, out)      codes, out: the columns of one group
// and puts permuted columns back in the weight's own order. View: a view of compressed_weight.h with codes, bits,
// group_size, permuted and permutation.
template <typename View, typename DecodeGroup>
void decode_groups(const View& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out,
                   const DecodeGroup& decode_group) {
  assert(row_begin <= weight.rows && row_count <= weight.rows - row_begin && out.size() == row_count * weight.cols);
  std::vector<std::uint8_t> codes(weight.cols);
  std::vector<float> stored_order(weight.permuted ? weight.cols : 0);
  std::vector<std::uint32_t> columns(stored_order.size());
  for (std::size_t j = 0; j < columns.size(); ++j) columns[j] = stored_column(weight.permutation, weight.cols, j);
  for (std::size_t i = row_begin; i < row_begin + row_count; ++i) {
    unpack_code_row(weight.codes, weight.bits, i, codes);
    const std::span<float> place = out.subspan((i - row_begin) * weight.cols, weight.cols);
    const std::span<float> row = weight.permuted ? std::span<float>(stored_order) : place;
    for (std::size_t begin = 0, group = 0; begin < weight.cols; begin += weight.group_size, ++group) {
      const std::size_t size = std::min(weight.group_size, weight.cols - begin);
      decode_group(i, group, std::span<const std::uint8_t>(codes).subspan(begin, size), row.subspan(begin, size));
      if (size < weight.group_size) break;
    }
    for (std::size_t j = 0; j < columns.size(); ++j) place[columns[j]] = row[j];
  }
}

// out[j] = scale * levels[codes[j]]; codes are below levels.size().
inline void look_up(std::span<const std::uint8_t> codes, std::span<const float> levels, float scale,
                    std::span<float> out) {
  const float* table = levels.data();
  for (std::size_t j = 0; j < codes.size(); ++j) out[j] = scale * table[codes[j]];
}

}  // namespace lcomp
