#include "lcomp/quantizers/uniform/uniform_grid.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/value_range.h"
#include "lcomp/formats/grouped_integer.h"
#include "quantizers/uniform/grid_kernels.h"
#include "quantizers/uniform/half_quadratic.h"

namespace lcomp {
namespace {

float highest_code(const GridSetting& setting) { return static_cast<float>((1 << setting.bits) - 1); }

bool is_one_symmetric_bit(const GridSetting& setting) { return setting.bits == 1 && setting.symmetric; }

bool usable(const UniformGrid& grid) { return grid.scale > 0 && std::isfinite(grid.scale); }

// The grid of the range [low, high], low <= 0 <= high, with its scale as it will be stored.
UniformGrid grid_of_range(float low, float high, const GridSetting& setting, const ScaleValues& scales) {
  const float highest = highest_code(setting);
  if (setting.symmetric) {
    high = std::max(high, -low);
    low = -high;
  }
  UniformGrid grid;
  grid.scale = round_scale((high - low) / highest, scales.storage, scales.row_scale);
  if (setting.symmetric) {
    grid.zero_point = implied_zero_point(setting.bits);
  } else if (usable(grid)) {
    grid.zero_point = round_zero_point(-low / grid.scale, setting.zero_storage, setting.bits);
  }
  return grid;
}

UniformGrid grid_of_zeros(const GridSetting& setting, const ScaleValues& scales) {
  GridSetting with_zero = setting;  // a code that decodes to 0
  with_zero.zero_storage = ZeroStorage::integer;
  UniformGrid grid = grid_of_range(-1, 1, with_zero, {ScaleStorage::f32, 0});
  grid.scale = scales.storage == ScaleStorage::u8 ? 0 : round_scale(grid.scale, scales.storage, 0);
  return grid;
}

// scale / 2 = sum c |w| / sum c minimises sum c (w - sign(w) scale / 2)^2.
UniformGrid grid_of_signs(std::span<const float> weights, std::span<const float> column_weights,
                          const ScaleValues& scales) {
  double sum = 0;
  double total = 0;
  for (std::size_t j = 0; j < weights.size(); ++j) {
    const double c = column_weights.empty() ? 1 : static_cast<double>(column_weights[j]);
    sum += c * std::abs(static_cast<double>(weights[j]));
    total += c;
  }
  const double mean = total > 0 ? sum / total : 0;
  return {round_scale(static_cast<float>(2 * mean), scales.storage, scales.row_scale), implied_zero_point(1)};
}

// The search of GridFit::mse. A candidate is the share of the range that is kept at either end.
class RangeSearch {
 public:
  RangeSearch(std::span<const float> weights, std::span<const float> column_weights, const ValueRange& range,
              const GridSetting& setting, const ScaleValues& scales, const UniformGrid& whole_range)
      : weights_(weights), column_weights_(column_weights), range_(range), setting_(setting), scales_(scales) {
    if (usable(whole_range)) {
      best_ = whole_range;
      error_ = grid_error(weights, whole_range, setting, column_weights);
    }
  }

  // The error has several minima when there are outliers, so that the whole ladder is tried.
  UniformGrid run() {
    for (float share = 0.9f; share > 0.02f; share *= 0.9f) improves(share, share);
    for (const float step : {0.05f, 0.025f, 0.0125f}) refine(step);
    return best_;
  }

 private:
  bool improves(float low_share, float high_share) {
    const UniformGrid grid = grid_of_range(range_.low * low_share, range_.high * high_share, setting_, scales_);
    if (!usable(grid) || (grid.scale == best_.scale && grid.zero_point == best_.zero_point)) return false;
    const double error = grid_error(weights_, grid, setting_, column_weights_);
    if (!(error < error_)) return false;
    best_ = grid;
    error_ = error;
    low_share_ = low_share;
    high_share_ = high_share;
    return true;
  }

  // Moves an end (both, when the grid is symmetric) by a share of what is left of the range, as long as that helps.
  void refine(float step) {
    constexpr int most_moves = 4;
    bool moved = true;
    for (int i = 0; moved && i < most_moves; ++i) {
      moved = false;
      for (const float factor : {1 - step, 1 + step}) {
        if (setting_.symmetric) {
          moved = improves(low_share_ * factor, low_share_ * factor) || moved;
        } else {
          moved = improves(low_share_ * factor, high_share_) || moved;
          moved = improves(low_share_, high_share_ * factor) || moved;
        }
      }
    }
  }

  std::span<const float> weights_, column_weights_;
  ValueRange range_;
  GridSetting setting_;
  ScaleValues scales_;
  UniformGrid best_;
  double error_ = std::numeric_limits<double>::infinity();
  float low_share_ = 1;
  float high_share_ = 1;
};

}  // namespace

std::string_view name(GridFit fit) {
  switch (fit) {
    case GridFit::minmax:
      return "minmax";
    case GridFit::mse:
      return "mse";
    case GridFit::hqq:
      return "hqq";
  }
  return "";
}

int required_bits(std::optional<int> bits, const std::string& where) {
  if (bits) return *bits;
  throw Error({where, "no \"bits\"", "1 to 8", ""});
}

void check_setting(const GridSetting& setting, const std::string& where) {
  if (setting.bits < 1 || setting.bits > 8) throw Error({where, fmt::format("{} bits", setting.bits), "1 to 8", ""});
  if (!setting.symmetric) return;
  if (setting.fit == GridFit::hqq) {
    throw Error({where, "a symmetric grid fitted by hqq", "an asymmetric one", "hqq fits the zero point"});
  }
  if (setting.zero_storage != ZeroStorage::integer) {
    throw Error({where, "f16 zero points of a symmetric grid", "an asymmetric one, which has zero points", ""});
  }
}

UniformGrid fit_grid(std::span<const float> weights, const GridSetting& setting, const ScaleValues& scales,
                     std::span<const float> column_weights) {
  assert(column_weights.empty() || column_weights.size() == weights.size());
  if (is_one_symmetric_bit(setting)) return grid_of_signs(weights, column_weights, scales);
  const ValueRange range = value_range(weights);
  if (range.low == 0 && range.high == 0) return grid_of_zeros(setting, scales);
  const UniformGrid whole = grid_of_range(range.low, range.high, setting, scales);
  switch (setting.fit) {
    case GridFit::minmax:
      return whole;
    case GridFit::mse: {
      const UniformGrid best = RangeSearch(weights, column_weights, range, setting, scales, whole).run();
      return usable(best) ? best : whole;
    }
    case GridFit::hqq:
      return usable(whole) ? fit_half_quadratic(weights, range.low, whole, setting) : whole;
  }
  return whole;
}

RowGrids fit_row(std::span<const float> row, std::size_t group_size, const GridSetting& setting, ScaleStorage storage,
                 const std::string& where, std::span<const float> column_weights) {
  RowGrids out;
  const auto fit_groups = [&](const ScaleValues& scales, const GridSetting& how) {
    out.grids.clear();
    for (std::size_t j = 0; j < row.size(); j += group_size) {
      const std::size_t size = std::min(group_size, row.size() - j);
      const auto of_columns = column_weights.empty() ? column_weights : column_weights.subspan(j, size);
      out.grids.push_back(fit_grid(row.subspan(j, size), how, scales, of_columns));
      if (std::isfinite(out.grids.back().scale)) continue;
      throw Error({where,
                   fmt::format("weights in columns {} .. {} so large that their scale overflows {}", j, j + size - 1,
                               name(storage)),
                   "", storage == ScaleStorage::f32 ? "" : "store scales in f32"});
    }
  };
  const auto row_error = [&] {
    double sum = 0;
    for (std::size_t g = 0, j = 0; j < row.size(); ++g, j += group_size) {
      const std::size_t size = std::min(group_size, row.size() - j);
      const auto of_columns = column_weights.empty() ? column_weights : column_weights.subspan(j, size);
      sum += grid_error(row.subspan(j, size), out.grids[g], setting, of_columns);
    }
    return sum;
  };
  const auto fit_with_row_scale = [&](const GridSetting& how) {
    fit_groups({ScaleStorage::f32, 0}, how);
    float largest = 0;
    for (std::size_t g = 0, j = 0; j < row.size(); ++g, j += group_size) {
      const ValueRange range = value_range(row.subspan(j, std::min(group_size, row.size() - j)));
      if (range.low != 0 || range.high != 0) largest = std::max(largest, out.grids[g].scale);
    }
    out.row_scale = round_row_scale(largest);
    fit_groups({ScaleStorage::u8, out.row_scale}, how);
  };
  if (storage != ScaleStorage::u8) {
    fit_groups({storage, 0}, setting);
    return out;
  }
  fit_with_row_scale(setting);
  if (setting.fit == GridFit::mse) {  // the row scale follows the fit, so that minmax may, rarely, come out better
    const RowGrids searched = out;
    const double error = row_error();
    GridSetting plain = setting;
    plain.fit = GridFit::minmax;
    fit_with_row_scale(plain);
    if (error <= row_error()) return searched;
  }
  return out;
}

void round_to_grid(std::span<const float> weights, const UniformGrid& grid, const GridSetting& setting,
                   std::span<std::uint8_t> codes) {
  assert(codes.size() == weights.size());
  if (is_one_symmetric_bit(setting)) {
    std::transform(weights.begin(), weights.end(), codes.begin(), [](float w) { return w > 0 ? 1 : 0; });
  } else if (grid.scale == 0) {
    std::fill(codes.begin(), codes.end(), static_cast<std::uint8_t>(grid.zero_point));
  } else {
    round_codes(weights.data(), weights.size(), grid.scale, grid.zero_point, highest_code(setting), codes.data());
  }
}

double grid_error(std::span<const float> weights, const UniformGrid& grid, const GridSetting& setting,
                  std::span<const float> column_weights) {
  if (is_one_symmetric_bit(setting) || grid.scale == 0) {
    double sum = 0;
    for (std::size_t j = 0; j < weights.size(); ++j) {
      const float decoded = grid.scale * (weights[j] > 0 ? 0.5f : -0.5f);
      const double error = static_cast<double>(weights[j]) - static_cast<double>(decoded);
      sum += error * error * (column_weights.empty() ? 1 : static_cast<double>(column_weights[j]));
    }
    return sum;
  }
  constexpr std::size_t block = 4096;
  double sum = 0;
  for (std::size_t j = 0; j < weights.size(); j += block) {
    const float* columns = column_weights.empty() ? nullptr : column_weights.data() + j;
    sum += static_cast<double>(rounding_error(weights.data() + j, columns, std::min(block, weights.size() - j),
                                              grid.scale, grid.zero_point, highest_code(setting)));
  }
  return sum;
}

void require_finite(std::span<const float> row, const std::string& component, std::size_t row_index) {
  if (value_range(row).finite) return;
  const auto at = std::find_if(row.begin(), row.end(), [](float w) { return !std::isfinite(w); });
  throw Error({fmt::format("{}, row {}, column {}", component, row_index, at - row.begin()),
               fmt::format("the weight {}", *at), "a finite number", ""});
}

void require_finite(ConstMatrixView weight, const std::string& component) {
  parallel_chunks(0, weight.rows(), 64, [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) require_finite(weight.row(i), component, i);
  });
}

}  // namespace lcomp
