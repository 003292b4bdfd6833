#include "lcomp/kernels/integer_matmul.h"

#include <algorithm>
#include <cassert>

#include "kernels/integer_product.h"
#include "lcomp/core/parallel.h"

namespace lcomp {
namespace {

// Rows of codes that one task takes through a panel: whole tiles, few enough that their sums stay in the cache.
constexpr std::size_t rows_of_task = 32 * tile_rows;
// Columns that a tile is taken through before the next: a panel of so many, 32 KiB, stays in the nearest cache.
constexpr std::size_t columns_together = 512;
// Products of bytes below which waking another thread takes longer. A weight costs as much to fetch as about sixteen.
constexpr std::size_t small_product = 1 << 21;
constexpr std::size_t products_a_fetch = 16;

}  // namespace

struct IntegerProduct::Operands {
  const QuantizedRows& x;
  const IntegerWeight& weight;
  std::span<const float> bias;
  bool one_zero_point = false;                 // all rows of x have the same
  std::vector<std::int32_t> centred_row_sums;  // [groups][rows], sum of code - zero_point, for weights with zero points
};

// A panel of 64 outputs by some of the rows.
struct IntegerProduct::Task {
  std::size_t panel = 0;
  std::size_t first_row = 0, rows = 0;
};

void IntegerProduct::multiply_panel(const Operands& operands, const Task& task, MatrixView<float> y) const {
  const QuantizedRows& x = operands.x;
  const IntegerWeight& weight = operands.weight;
  const std::size_t groups = weight.groups(), group_size = weight.group_size_;
  const std::size_t padded = 4 * weight.quads();  // columns of the panel
  const std::int8_t* panel = weight.codes_.data() + task.panel * padded * tile_outputs;
  AlignedBuffer<float> totals(task.rows * tile_outputs);
  AlignedBuffer<std::int32_t> sums(task.rows * tile_outputs);  // of the group at work
  std::fill_n(totals.data(), totals.size(), 0.0f);

  // Columns [begin, end) of group g, by the tile of rows from `row` on.
  const auto multiply = [&](std::size_t row, std::size_t g, std::size_t begin, std::size_t end) {
    const std::size_t group_begin = g * group_size, group_end = g + 1 < groups ? group_begin + group_size : padded;
    IntegerTile tile;
    tile.codes = x.row(task.first_row + row) + begin;
    tile.stride = x.stride;
    tile.rows = std::min(tile_rows, task.rows - row);
    tile.panel = panel + begin * tile_outputs;
    tile.quads = (end - begin) / 4;
    tile.begins_group = begin == group_begin;
    tile.sums = sums.data() + row * tile_outputs;
    GroupEnd finish;
    if (end == group_end) {
      const std::size_t at = (task.panel * groups + g) * tile_outputs;
      finish.zero_points = x.zero_points.data() + task.first_row + row;
      finish.one_zero_point = operands.one_zero_point;
      finish.code_sums = weight.code_sums_.data() + at;
      finish.scales = weight.scales_.data() + at;
      if (weight.has_zero_points_) {
        finish.weight_zeros = weight.zero_points_.data() + at;
        finish.centred_row_sums = operands.centred_row_sums.data() + g * x.rows + task.first_row + row;
      }
      finish.totals = totals.data() + row * tile_outputs;
      tile.group_end = &finish;
    }
    tile_function(tile);
  };

  for (std::size_t block = 0; block < padded;) {
    // As many whole groups as fit, or a part of one.
    const std::size_t g = std::min(block / group_size, groups - 1);
    const std::size_t group_end = g + 1 < groups ? (g + 1) * group_size : padded;
    std::size_t block_end = std::min(block + columns_together, padded);
    if (group_end <= block_end && block_end < padded) block_end = block_end / group_size * group_size;
    for (std::size_t row = 0; row < task.rows; row += tile_rows) {
      for (std::size_t begin = block, group = g; begin < block_end; ++group) {
        const std::size_t end = group + 1 < groups ? std::min((group + 1) * group_size, block_end) : block_end;
        multiply(row, group, begin, end);
        begin = end;
      }
    }
    block = block_end;
  }

  const std::size_t first_output = task.panel * tile_outputs;
  const std::size_t outputs = std::min(tile_outputs, weight.rows_ - first_output);
  scale_totals(totals.data(), x.scales.data() + task.first_row,
               operands.bias.empty() ? nullptr : operands.bias.data() + first_output,
               y.rows_range(task.first_row, task.rows).cols_range(first_output, outputs));
}

void IntegerProduct::operator()(const QuantizedRows& x, const IntegerWeight& weight, std::span<const float> bias,
                                MatrixView<float> y) const {
  assert(x.cols == weight.cols() && y.rows() == x.rows && y.cols() == weight.rows());
  assert(bias.empty() || bias.size() == weight.rows());
  if (x.rows == 0) return;
  QuantizedRows permuted;
  if (!weight.permutation_.empty()) permute_columns(x, weight.permutation_, permuted);
  Operands operands{weight.permutation_.empty() ? x : permuted, weight, bias, true, {}};
  for (const std::int32_t z : x.zero_points) operands.one_zero_point &= z == x.zero_points.front();
  if (weight.has_zero_points_) {
    operands.centred_row_sums.resize(weight.groups() * x.rows);
    parallel_for(
        0, x.rows,
        [&](std::size_t i) {
          const std::uint8_t* codes = operands.x.row(i);
          for (std::size_t g = 0; g < weight.groups(); ++g) {
            std::int32_t sum = 0;
            const std::size_t end = std::min((g + 1) * weight.group_size_, x.cols);
            for (std::size_t j = g * weight.group_size_; j < end; ++j) sum += codes[j] - x.zero_points[i];
            operands.centred_row_sums[g * x.rows + i] = sum;
          }
        },
        std::max<std::size_t>(1, 65536 / x.cols));
  }

  std::vector<Task> tasks;
  for (std::size_t row = 0; row < x.rows; row += rows_of_task) {
    for (std::size_t panel = 0; panel < weight.panels(); ++panel) {
      tasks.push_back({panel, row, std::min(rows_of_task, x.rows - row)});
    }
  }
  const bool small = (x.rows + products_a_fetch) * weight.rows() * weight.cols() <= small_product;
  parallel_for(
      0, tasks.size(), [&](std::size_t t) { multiply_panel(operands, tasks[t], y); }, small ? tasks.size() : 1);
}

void multiply(const QuantizedRows& x, const IntegerWeight& weight, std::span<const float> bias, MatrixView<float> y) {
  IntegerProduct()(x, weight, bias, y);
}

}  // namespace lcomp
