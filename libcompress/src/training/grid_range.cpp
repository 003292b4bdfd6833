#include "training/grid_range.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/formats/banded_integer.h"
#include "lcomp/formats/codebook.h"
#include "lcomp/formats/column_permutation.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/formats/logarithmic.h"

namespace lcomp {
namespace {

struct Range {
  float low = 0, high = 0;
};

// Of levels in any order, at least two.
Range range_of(std::vector<float> levels) {
  std::ranges::sort(levels);
  const std::size_t n = levels.size();
  return {levels[0] - (levels[1] - levels[0]) / 2, levels[n - 1] + (levels[n - 1] - levels[n - 2]) / 2};
}

// range(group): of the groups of `group_size` columns in row-major order, first_group(row) the first of a row.
template <typename FirstGroup>
void zero_outside(std::size_t group_size, const std::vector<Range>& ranges, const FirstGroup& first,
                  ConstMatrixView weight, MatrixView<float> gradient) {
  parallel_for(
      0, weight.rows(),
      [&](std::size_t row) {
        std::size_t group = first(row);
        for (std::size_t begin = 0; begin < weight.cols(); begin += group_size, ++group) {
          const Range range = ranges[group];
          for (std::size_t j = begin; j < std::min(begin + group_size, weight.cols()); ++j) {
            if (weight(row, j) < range.low || weight(row, j) > range.high) gradient(row, j) = 0;
          }
        }
      },
      16);
}

std::vector<Range> scaled(Range unit, const std::vector<float>& scales) {
  std::vector<Range> ranges;
  for (const float scale : scales) ranges.push_back({scale * unit.low, scale * unit.high});
  return ranges;
}

struct Clip {
  ConstMatrixView weight;
  MatrixView<float> gradient;

  void operator()(const DenseView& /*rounded*/) const {}

  void operator()(const GroupedIntegerView& rounded) const {
    assert(!rounded.permuted);
    const std::vector<float> scales = decode_scales(rounded), zeros = decode_zero_points(rounded);
    const auto codes = static_cast<float>((1 << rounded.bits) - 1);
    std::vector<Range> ranges;
    for (std::size_t g = 0; g < scales.size(); ++g) {
      ranges.push_back({scales[g] * (-zeros[g] - 0.5F), scales[g] * (codes - zeros[g] + 0.5F)});
    }
    const auto first = [&](std::size_t row) { return first_group(rounded, row); };
    zero_outside(rounded.group_size, ranges, first, weight, gradient);
  }

  void operator()(const LogarithmicView& rounded) const {
    assert(!rounded.permuted);
    const Range unit = range_of(logarithmic_levels(rounded.bits, rounded.zero_level, base(rounded)));
    const auto first = [&](std::size_t row) { return row * groups_per_row(rounded); };
    zero_outside(rounded.group_size, scaled(unit, decode_scales(rounded)), first, weight, gradient);
  }

  void operator()(const CodebookView& rounded) const {
    assert(!rounded.permuted);
    std::vector<float> levels(levels_per_codebook(rounded));
    std::vector<Range> ranges;
    if (rounded.scale_storage) {
      decode_levels(rounded, 0, levels);
      ranges = scaled(range_of(levels), decode_scales(rounded));
    } else {
      for (std::size_t g = 0; g < rounded.rows * groups_per_row(rounded); ++g) {
        decode_levels(rounded, g, levels);
        ranges.push_back(range_of(levels));
      }
    }
    const auto first = [&](std::size_t row) { return row * groups_per_row(rounded); };
    zero_outside(rounded.group_size, ranges, first, weight, gradient);
  }

  void operator()(const BandedIntegerView& rounded) const {
    const std::vector<float> scales = decode_scales(rounded), zeros = decode_zero_points(rounded);
    const std::vector<std::uint32_t> order = read_permutation(rounded.permutation, rounded.cols, "weight");
    parallel_for(
        0, rounded.rows,
        [&](std::size_t row) {
          for (std::size_t j = 0; j < rounded.cols; ++j) {
            const std::size_t band = j / band_columns;
            if (band >= rounded.coded_bands) {
              gradient(row, order[j]) = 0;  // no level but 0
              continue;
            }
            const std::size_t at = row * rounded.coded_bands + band;
            const auto codes = static_cast<float>((1 << rounded.band_bits[band]) - 1);
            const float w = weight(row, order[j]);
            if (w < scales[at] * (-zeros[at] - 0.5F) || w > scales[at] * (codes - zeros[at] + 0.5F)) {
              gradient(row, order[j]) = 0;
            }
          }
        },
        16);
  }

  void operator()(const RateCodedView& rounded) const { require_clippable(layout(rounded), "weight"); }
  void operator()(const TransformedView& rounded) const { require_clippable(layout(rounded), "weight"); }
};

}  // namespace

void clip_gradient(const CompressedWeightView& rounded, ConstMatrixView weight, MatrixView<float> gradient) {
  std::visit(Clip{weight, gradient}, rounded);
}

void require_clippable(const WeightLayout& layout, const std::string& component) {
  if (!std::holds_alternative<RateCodedLayout>(layout) && !std::holds_alternative<TransformedLayout>(layout)) return;
  throw Error({component, "clipped gradients of weights stored as " + describe(layout),
               "uniform, logarithmic or codebook grids without transforms", "leave out \"clipped\""});
}

}  // namespace lcomp
