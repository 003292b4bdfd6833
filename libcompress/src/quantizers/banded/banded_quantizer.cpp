#include "lcomp/quantizers/banded/banded_quantizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/formats/column_permutation.h"
#include "quantizers/banded/band_rounder.h"
#include "quantizers/method_string.h"

namespace lcomp {
namespace {

constexpr double most_payload_bits = 64;  // a 1 x 1 weight takes 40 without any codes

// The bytes that so many bits per weight come to; the bits may come from a number of bytes.
double bytes_of(double bits, ConstMatrixView weight) {
  constexpr double rounding = 1.0e-13;
  return bits * static_cast<double>(weight.size()) / 8 * (1 + rounding);
}

}  // namespace

void check_banded(const BandedOptions& options, const std::string& where) {
  const auto check = [&where](const char* what, double value, double least, double most) {
    if (value >= least && value <= most) return;
    throw Error({where, fmt::format("{} {:g}", what, value), fmt::format("{:g} to {:g}", least, most), ""});
  };
  if (options.bits) check("bits", *options.bits, 0, most_payload_bits);
  check_damping(options, where);
  check("embedding_weight", options.embedding_weight, 0, 1000);
  check("shrinkage_weight", options.shrinkage_weight, 0, 1000);
  check("offset", options.precision_offset, -16, 16);
  check("min_bits", options.min_bits, 0, 16);
  check("max_bits", options.max_bits, 0, 16);
  if (options.min_bits > options.max_bits) {
    throw Error({where, fmt::format("min_bits {:g} above max_bits {:g}", options.min_bits, options.max_bits), "", ""});
  }
  if (options.grid == GridFit::hqq) throw Error({where, "grid hqq", "minmax or mse", ""});
}

std::string name(const BandedOptions& options) {
  const BandedOptions defaults;
  MethodString text("banded");
  if (options.bits) text.add("bits", *options.bits);
  text.flag(options.symmetric ? "sym" : "asym");
  if (options.grid != defaults.grid) text.add("grid", name(options.grid));
  text.flag("equal_widths", options.equal_widths).flag("plain", !options.guided);
  const auto add = [&](const char* key, double value, double otherwise) {
    if (value != otherwise) text.add(key, value);
  };
  add("embedding_weight", options.embedding_weight, defaults.embedding_weight);
  add("shrinkage_weight", options.shrinkage_weight, defaults.shrinkage_weight);
  text.add_damping(options);
  add("offset", options.precision_offset, defaults.precision_offset);
  add("min_bits", options.min_bits, defaults.min_bits);
  add("max_bits", options.max_bits, defaults.max_bits);
  return text.text();
}

BandedIntegerWeight round_to_bands(ConstMatrixView weight, const BandedIntegerView& like, GridFit fit,
                                   const std::string& component) {
  require_finite(weight, component);
  BandedIntegerWeight out =
      make_banded_integer(weight.rows(), weight.cols(), like.symmetric, like.band_bits, component);
  std::vector<std::uint32_t> order = read_permutation(like.permutation, like.cols, component);
  set_permutation(out, order);
  const std::size_t kept = std::min(out.coded_bands * band_columns, out.cols);
  Matrix ordered(weight.rows(), kept);
  for (std::size_t i = 0; i < weight.rows(); ++i) {
    for (std::size_t j = 0; j < kept; ++j) ordered(i, j) = weight(i, order[j]);
  }
  const BandRounding rounding{fit, 1, {}, ordered.view(), &out, component};
  constexpr std::size_t together = 64;
  parallel_chunks(0, weight.rows(), together, [&](std::size_t first, std::size_t last) {
    const std::size_t count = last - first;
    const auto rounder = make_band_rounder(rounding, first, count);
    Matrix columns(kept, count);  // transposed
    for (std::size_t j = 0; j < kept; ++j) {
      for (std::size_t r = 0; r < count; ++r) columns(j, r) = ordered(first + r, j);
    }
    std::vector<float> decoded(count);
    for (std::size_t j = 0; j < kept; ++j) {
      if (j % band_columns == 0) {
        rounder->fit(j, columns.view().rows_range(j, std::min(band_columns, kept - j)));
      }
      rounder->round(j, columns.view().row(j), decoded);
    }
    rounder->finish();
  });
  return out;
}

BandedQuantizer::BandedQuantizer(const BandedOptions& options, std::vector<std::uint8_t> widths)
    : options_(options), widths_(std::move(widths)) {
  check_banded(options, "banded");
  if (!options.bits) throw Error({"banded", "no \"bits\"", "the bits per weight, all in", ""});
}

QuantizedWeight BandedQuantizer::quantize(ConstMatrixView weight, const LayerStats* stats,
                                          const std::string& component) const {
  const BandedProblem problem(weight, stats, options_, component, widths_.empty());
  const std::vector<std::uint8_t> widths =
      widths_.empty() ? problem.profile_of(bytes_of(*options_.bits, weight)).band_bits : widths_;
  return {problem.quantize(widths), problem.warnings()};
}

QuantizedWeight BandedQuantizer::quantize(ConstMatrixView weight, const LayerStats& stats,
                                          const std::string& component) const {
  return quantize(weight, &stats, component);
}

QuantizedWeight BandedQuantizer::quantize_without_statistics(ConstMatrixView weight,
                                                             const std::string& component) const {
  return quantize(weight, nullptr, component);
}

std::optional<WeightLayout> BandedQuantizer::layout(std::size_t /*rows*/, std::size_t /*cols*/) const {
  return std::nullopt;
}

std::string BandedQuantizer::name() const { return lcomp::name(options_); }

}  // namespace lcomp
