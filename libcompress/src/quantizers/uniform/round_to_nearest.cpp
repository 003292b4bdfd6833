#include "quantizers/uniform/round_to_nearest.h"

#include <algorithm>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "lcomp/formats/grouped_integer.h"
#include "quantizers/method_string.h"

namespace lcomp {
namespace {

// Rows that make a piece of work worth a thread.
std::size_t rows_together(std::size_t cols) { return divide_up(std::size_t{32768}, std::max<std::size_t>(cols, 1)); }

// One grid for all: the weights laid end to end.
void quantize_as_one_group(ConstMatrixView weight, const RoundToNearestOptions& options, const std::string& component,
                           GroupedIntegerWeight& out) {
  Matrix copy;
  if (!weight.contiguous()) {
    copy = Matrix(weight.rows(), weight.cols());
    for (std::size_t i = 0; i < weight.rows(); ++i)
      std::copy_n(weight.row(i).data(), weight.cols(), copy.row(i).data());
  }
  const std::span<const float> all(copy.empty() ? weight.data() : copy.data(), weight.size());
  const RowGrids fitted = fit_row(all, all.size(), grid_setting(options, "rtn"), options.scale_storage, component);
  const UniformGrid& grid = fitted.grids[0];
  set_scales(out, 0, {&grid.scale, 1}, fitted.row_scale);
  set_zero_points(out, {&grid.zero_point, 1});
  parallel_chunks(0, weight.rows(), rows_together(weight.cols()), [&](std::size_t first, std::size_t last) {
    std::vector<std::uint8_t> codes(weight.cols());
    for (std::size_t i = first; i < last; ++i) {
      round_to_grid(weight.row(i), grid, grid_setting(options, "rtn"), codes);
      pack_row(out, i, codes);
    }
  });
}

void quantize_by_rows(ConstMatrixView weight, const RoundToNearestOptions& options, const std::string& component,
                      GroupedIntegerWeight& out) {
  const GridSetting setting = grid_setting(options, "rtn");
  const std::size_t per_row = groups_per_row(out);
  std::vector<float> zero_points(group_count(out));
  parallel_chunks(0, weight.rows(), rows_together(weight.cols()), [&](std::size_t first, std::size_t last) {
    std::vector<std::uint8_t> codes(weight.cols());
    std::vector<float> scales(per_row);
    for (std::size_t i = first; i < last; ++i) {
      const auto row = weight.row(i);
      const RowGrids fitted =
          fit_row(row, out.group_size, setting, options.scale_storage, fmt::format("{}, row {}", component, i));
      for (std::size_t g = 0; g < per_row; ++g) {
        const std::size_t begin = g * out.group_size;
        const std::size_t size = std::min(out.group_size, row.size() - begin);
        round_to_grid(row.subspan(begin, size), fitted.grids[g], setting, std::span(codes).subspan(begin, size));
        scales[g] = fitted.grids[g].scale;
        zero_points[i * per_row + g] = fitted.grids[g].zero_point;
      }
      set_scales(out, i, scales, fitted.row_scale);
      pack_row(out, i, codes);
    }
  });
  set_zero_points(out, zero_points);
}

}  // namespace

GridSetting grid_setting(const UniformOptions& options, const std::string& where) {
  const GridSetting setting{required_bits(options.bits, where), options.symmetric, options.grid, options.zero_storage};
  check_setting(setting, where);
  if (options.granularity.kind == Granularity::Kind::group && options.granularity.group_size == 0) {
    throw Error({where, "groups of 0 columns", "at least 1", ""});
  }
  return setting;
}

GroupedIntegerLayout layout_of(const UniformOptions& options, std::size_t rows, std::size_t cols) {
  GroupedIntegerLayout layout;
  layout.rows = rows;
  layout.cols = cols;
  layout.bits = options.bits.value();
  layout.symmetric = options.symmetric;
  layout.group_size =
      options.granularity.kind == Granularity::Kind::group ? std::min(options.granularity.group_size, cols) : cols;
  layout.per_tensor = options.granularity.kind == Granularity::Kind::tensor;
  layout.scale_storage = options.scale_storage;
  layout.zero_storage = options.zero_storage;
  return layout;
}

RoundToNearest::RoundToNearest(const RoundToNearestOptions& options) : options_(options) {
  grid_setting(options, "rtn");
}

QuantizedWeight RoundToNearest::quantize(ConstMatrixView weight, const LayerStats& /*stats*/,
                                         const std::string& component) const {
  require_finite(weight, component);
  GroupedIntegerWeight out = make_grouped_integer(layout_of(options_, weight.rows(), weight.cols()), component);
  out.per_tensor ? quantize_as_one_group(weight, options_, component, out)
                 : quantize_by_rows(weight, options_, component, out);
  return out;
}

std::optional<WeightLayout> RoundToNearest::layout(std::size_t rows, std::size_t cols) const {
  return layout_of(options_, rows, cols);
}

std::string RoundToNearest::name() const { return lcomp::name(options_); }

std::string name(const RoundToNearestOptions& options) { return MethodString("rtn").add_uniform(options).text(); }

}  // namespace lcomp
