#include "lcomp/formats/banded_integer.h"

#include <algorithm>
#include <cassert>
#include <numeric>

#include <fmt/format.h>

#include "formats/bit_packing.h"
#include "formats/grouped_integer_decode.h"
#include "lcomp/core/error.h"
#include "lcomp/core/sizes.h"
#include "lcomp/formats/column_permutation.h"
#include "lcomp/formats/group_scales.h"
#include "lcomp/formats/grouped_integer.h"

namespace lcomp {
namespace {

constexpr std::size_t most_bits = 8;

ScaleShape scale_shape(const BandedIntegerLayout& layout) {
  return {layout.rows, layout.coded_bands, ScaleStorage::u8};
}

std::size_t code_row_bytes(const BandedIntegerLayout& layout) {
  const std::size_t last = columns_of_band(layout.cols, band_count(layout.cols) - 1);
  return (layout.bit_sum - layout.last_bits) * (band_columns / 8) + divide_up(last * layout.last_bits, std::size_t{8});
}

std::size_t zero_row_bytes(const BandedIntegerLayout& layout) { return divide_up(layout.bit_sum, std::size_t{8}); }

// The bytes of a part, of a weight or a view.
template <typename Weight>
auto& banded_part(Weight& weight, std::string_view suffix) {
  if (suffix == ".codes") return weight.codes;
  if (suffix == ".scales") return weight.scales;
  if (suffix == ".row_scales") return weight.row_scales;
  if (suffix == ".zeros") return weight.zeros;
  if (suffix == ".band_bits") return weight.band_bits;
  assert(suffix == ".permutation");
  return weight.permutation;
}

// Neighbouring bands of one width.
struct Run {
  int bits = 0;
  std::size_t first_band = 0, bands = 0;
  std::size_t first_column = 0, columns = 0;
  std::size_t first_byte = 0;  // of a row's codes
};

std::vector<Run> runs_of(std::size_t cols, std::span<const std::uint8_t> band_bits) {
  std::vector<Run> runs;
  std::size_t at = 0;
  for (std::size_t b = 0; b < band_bits.size() && band_bits[b] > 0; ++b) {
    const std::size_t columns = columns_of_band(cols, b);
    if (runs.empty() || runs.back().bits != band_bits[b]) {
      runs.push_back({band_bits[b], b, 0, b * band_columns, 0, at});
    }
    ++runs.back().bands;
    runs.back().columns += columns;
    at += packed_bytes(columns, band_bits[b]);
  }
  return runs;
}

// Zero points of a row from its bytes, and back; values [coded_bands].
void unpack_zero_points(std::span<const std::uint8_t> bytes, std::span<const std::uint8_t> band_bits,
                        std::span<float> values) {
  std::size_t bit = 0;
  for (std::size_t b = 0; b < values.size(); ++b) {
    unsigned value = 0;
    for (unsigned k = 0; k < band_bits[b]; ++k, ++bit) value |= (bytes[bit / 8] >> (bit % 8) & 1u) << k;
    values[b] = static_cast<float>(value);
  }
}

void pack_zero_points(std::span<const float> values, std::span<const std::uint8_t> band_bits,
                      std::span<std::uint8_t> bytes) {
  std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
  std::size_t bit = 0;
  for (std::size_t b = 0; b < values.size(); ++b) {
    const auto value = static_cast<unsigned>(values[b]);
    assert(static_cast<float>(value) == values[b] && value >> band_bits[b] == 0);
    for (unsigned k = 0; k < band_bits[b]; ++k, ++bit) {
      bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] | (value >> k & 1u) << (bit % 8));
    }
  }
}

// Of one row, [coded_bands].
void decode_scales(const BandedIntegerView& weight, std::size_t row, std::span<float> scales) {
  const float row_scale = read_half(weight.row_scales, row);
  for (std::size_t b = 0; b < scales.size(); ++b) {
    scales[b] = scale_of_code(band_row_scale(row_scale, weight.band_bits[b]), weight.scales[row * scales.size() + b]);
  }
}

void decode_zero_points(const BandedIntegerView& weight, std::size_t row, std::span<float> values) {
  if (weight.symmetric) {
    for (std::size_t b = 0; b < values.size(); ++b) values[b] = implied_zero_point(weight.band_bits[b]);
    return;
  }
  const std::size_t bytes = zero_row_bytes(weight);
  unpack_zero_points(weight.zeros.subspan(row * bytes, bytes), weight.band_bits, values);
}

}  // namespace

std::size_t band_count(std::size_t cols) { return divide_up(cols, band_columns); }

std::size_t columns_of_band(std::size_t cols, std::size_t band) {
  return std::min(band_columns, cols - band * band_columns);
}

BandedIntegerLayout banded_layout(std::size_t rows, std::size_t cols, bool symmetric,
                                  std::span<const std::uint8_t> band_bits, const std::string& where) {
  if (band_bits.size() != band_count(cols)) {
    throw Error({where, fmt::format("widths of {} bands", band_bits.size()), fmt::format("{}", band_count(cols)), ""});
  }
  BandedIntegerLayout layout{rows, cols, symmetric, 0, 0, 0};
  for (std::size_t b = 0; b < band_bits.size(); ++b) {
    const std::size_t most = b == 0 ? most_bits : band_bits[b - 1];
    if (band_bits[b] > most) {
      throw Error({fmt::format("{}, band {}", where, b), fmt::format("{} bits", band_bits[b]),
                   fmt::format("0 to {}, no more than the band before", most), ""});
    }
    layout.coded_bands += band_bits[b] > 0 ? 1 : 0;
    layout.bit_sum += band_bits[b];
    layout.last_bits = band_bits[b];
  }
  check_layout(layout, where);
  return layout;
}

void check_layout(const BandedIntegerLayout& layout, const std::string& where) {
  if (layout.rows == 0 || layout.cols == 0) {
    throw Error(
        {where, fmt::format("a weight of {} x {}", layout.rows, layout.cols), "at least one row and column", ""});
  }
  const std::size_t bands = band_count(layout.cols);
  const std::size_t coded = layout.coded_bands;
  // The last of the bands has the fewest bits: none unless all are coded.
  const bool last_is_right = coded == bands ? layout.last_bits > 0 : layout.last_bits == 0;
  if (coded > bands || !last_is_right || layout.last_bits > most_bits ||
      layout.bit_sum < coded * std::max(layout.last_bits, std::size_t{1}) ||
      layout.bit_sum >
          (coded - std::min(coded, layout.last_bits > 0 ? std::size_t{1} : 0)) * most_bits + layout.last_bits) {
    throw Error({where,
                 fmt::format("{} of {} bands with {} bits together, {} in the last", coded, bands, layout.bit_sum,
                             layout.last_bits),
                 "bands of 0 to 8 bits, none wider than the one before", ""});
  }
}

std::vector<PartDeclaration> declared_parts(const BandedIntegerLayout& layout, const std::string& where) {
  check_layout(layout, where);
  std::vector<PartDeclaration> parts;
  parts.push_back(declare_part(".codes", DataType::u8, {layout.rows, code_row_bytes(layout)}, where));
  declare_scales(scale_shape(layout), where, parts);
  if (!layout.symmetric) {
    parts.push_back(declare_part(".zeros", DataType::u8, {layout.rows, zero_row_bytes(layout)}, where));
  }
  parts.push_back(declare_part(".band_bits", DataType::u8, {band_count(layout.cols)}, where));
  parts.push_back(declare_permutation(layout.cols, where));
  return parts;
}

BandedIntegerView view(const BandedIntegerWeight& weight) {
  return {static_cast<const BandedIntegerLayout&>(weight),
          weight.codes,
          weight.scales,
          weight.row_scales,
          weight.zeros,
          weight.band_bits,
          weight.permutation};
}

BandedIntegerView empty_view(const BandedIntegerLayout& layout) { return {layout, {}, {}, {}, {}, {}, {}}; }

BandedIntegerWeight empty_weight(const BandedIntegerLayout& layout) {
  BandedIntegerWeight weight;
  static_cast<BandedIntegerLayout&>(weight) = layout;
  return weight;
}

std::span<const std::uint8_t>& part_data(BandedIntegerView& weight, std::string_view suffix) {
  return banded_part(weight, suffix);
}
std::vector<std::uint8_t>& part_data(BandedIntegerWeight& weight, std::string_view suffix) {
  return banded_part(weight, suffix);
}

BandedIntegerWeight make_banded_integer(std::size_t rows, std::size_t cols, bool symmetric,
                                        std::span<const std::uint8_t> band_bits, const std::string& where) {
  BandedIntegerWeight weight = empty_weight(banded_layout(rows, cols, symmetric, band_bits, where));
  for (const PartDeclaration& part : declared_parts(weight, where)) part_data(weight, part.suffix).resize(part.bytes);
  std::copy(band_bits.begin(), band_bits.end(), weight.band_bits.begin());
  std::vector<std::uint32_t> in_order(cols);
  std::iota(in_order.begin(), in_order.end(), 0u);
  set_permutation(weight, in_order);
  return weight;
}

void pack_row(BandedIntegerWeight& weight, std::size_t row, std::span<const std::uint8_t> codes) {
  assert(row < weight.rows && codes.size() == weight.cols);
  std::span<std::uint8_t> bytes = weight.codes;
  bytes = bytes.subspan(row * code_row_bytes(weight), code_row_bytes(weight));
  for (const Run& run : runs_of(weight.cols, weight.band_bits)) {
    pack_bits(codes.subspan(run.first_column, run.columns), run.bits,
              bytes.subspan(run.first_byte, packed_bytes(run.columns, run.bits)));
  }
}

void unpack_row(const BandedIntegerView& weight, std::size_t row, std::span<std::uint8_t> codes) {
  assert(row < weight.rows && codes.size() == weight.cols);
  std::fill(codes.begin(), codes.end(), std::uint8_t{0});
  const auto bytes = weight.codes.subspan(row * code_row_bytes(weight), code_row_bytes(weight));
  for (const Run& run : runs_of(weight.cols, weight.band_bits)) {
    unpack_bits(bytes.subspan(run.first_byte), run.bits, 0, codes.subspan(run.first_column, run.columns));
  }
}

float band_row_scale(float row_scale, unsigned bits) {
  assert(bits >= 1 && bits <= most_bits);
  return row_scale / static_cast<float>((1u << bits) - 1);
}

void set_scales(BandedIntegerWeight& weight, std::size_t row, std::span<const float> scales, float row_scale) {
  assert(scales.size() == weight.coded_bands);
  write_half(weight.row_scales, row, row_scale);
  for (std::size_t b = 0; b < scales.size(); ++b) {
    const float of_band = band_row_scale(row_scale, weight.band_bits[b]);
    const std::uint8_t code = code_of_scale(scales[b], of_band);
    assert(scale_of_code(of_band, code) == scales[b]);
    weight.scales[row * weight.coded_bands + b] = code;
  }
}

void set_zero_points(BandedIntegerWeight& weight, std::size_t row, std::span<const float> zero_points) {
  assert(zero_points.size() == weight.coded_bands);
  if (weight.symmetric) return;
  const std::size_t bytes = zero_row_bytes(weight);
  pack_zero_points(zero_points, weight.band_bits, std::span(weight.zeros).subspan(row * bytes, bytes));
}

void set_permutation(BandedIntegerWeight& weight, std::span<const std::uint32_t> permutation) {
  assert(permutation.size() == weight.cols);
  write_permutation(permutation, weight.permutation);
}

std::vector<float> decode_scales(const BandedIntegerView& weight) {
  std::vector<float> scales(weight.rows * weight.coded_bands);
  for (std::size_t i = 0; i < weight.rows; ++i) {
    decode_scales(weight, i, std::span(scales).subspan(i * weight.coded_bands, weight.coded_bands));
  }
  return scales;
}

std::vector<float> decode_zero_points(const BandedIntegerView& weight) {
  std::vector<float> zero_points(weight.rows * weight.coded_bands);
  for (std::size_t i = 0; i < weight.rows; ++i) {
    decode_zero_points(weight, i, std::span(zero_points).subspan(i * weight.coded_bands, weight.coded_bands));
  }
  return zero_points;
}

void check_contents(const BandedIntegerView& weight, const std::string& where) {
  const std::string of_bits = where + ".band_bits";
  if (banded_layout(weight.rows, weight.cols, weight.symmetric, weight.band_bits, of_bits) != weight) {
    throw Error({of_bits, "widths of other sums",
                 fmt::format("{} bands with {} bits together", weight.coded_bands, weight.bit_sum),
                 "the file is damaged"});
  }
  read_permutation(weight.permutation, weight.cols, where);
}

void decode_rows(const BandedIntegerView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out) {
  assert(row_begin <= weight.rows && row_count <= weight.rows - row_begin && out.size() == row_count * weight.cols);
  const std::vector<Run> runs = runs_of(weight.cols, weight.band_bits);
  const std::size_t row_bytes = code_row_bytes(weight);
  std::vector<float> scales(weight.coded_bands);
  std::vector<float> zero_points(weight.coded_bands);
  std::vector<float> stored(weight.cols, 0.0f);
  std::vector<std::uint32_t> columns(weight.cols);
  for (std::size_t j = 0; j < columns.size(); ++j) columns[j] = stored_column(weight.permutation, weight.cols, j);
  for (std::size_t i = row_begin; i < row_begin + row_count; ++i) {
    decode_scales(weight, i, scales);
    if (i == row_begin || !weight.symmetric) decode_zero_points(weight, i, zero_points);
    for (const Run& run : runs) {
      const std::size_t at = i * row_bytes + run.first_byte;
      decode_packed_row(weight.codes.data() + at, weight.codes.size() - at, run.bits, run.columns, band_columns,
                        &scales[run.first_band], &zero_points[run.first_band], &stored[run.first_column]);
    }
    float* place = out.data() + (i - row_begin) * weight.cols;
    for (std::size_t j = 0; j < columns.size(); ++j) place[columns[j]] = stored[j];
  }
}

}  // namespace lcomp
