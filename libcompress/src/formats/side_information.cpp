#include "formats/side_information.h"

#include <algorithm>
#include <array>
#include <limits>

#include "formats/block_coder.h"
#include "lcomp/formats/rate_coded.h"

namespace lcomp {
namespace {

constexpr int shape = 0;
constexpr std::int16_t smallest_class = CodeTables::smallest_class;
constexpr std::int16_t largest_class = 40;  // differences of 16 bits

struct Header {
  std::int16_t median = 0;
  std::int16_t magnitude_class = 0;
};

// The median and the class under which the differences from it take the fewest bits.
Header header_of(std::span<const std::int32_t> values) {
  std::vector<std::int32_t> sorted(values.begin(), values.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  Header header;
  header.median = static_cast<std::int16_t>(*middle);
  const CodeTables& tables = CodeTables::of(1, shape);
  float least = std::numeric_limits<float>::infinity();
  for (std::int16_t c = smallest_class; c <= largest_class; ++c) {
    float bits = 0;
    for (const std::int32_t v : values) bits += code_bits(tables, 0, class_code(c), v - header.median);
    if (bits < least) {
      least = bits;
      header.magnitude_class = c;
    }
  }
  return header;
}

BlockModel model_of(std::span<const std::int16_t> classes) {
  static constexpr std::int16_t zero[1] = {0};
  BlockModel model;
  model.shape = shape;
  model.chain_rows = 1;
  model.row_classes = zero;
  model.col_classes = classes;
  return model;
}

}  // namespace

std::vector<std::uint8_t> encode_side(const SideInformation& side) {
  std::vector<std::vector<std::int32_t>> values;
  values.emplace_back(side.row_steps.begin(), side.row_steps.end());
  values.emplace_back(side.col_steps.begin(), side.col_steps.end());
  values.emplace_back(side.row_classes.begin(), side.row_classes.end());
  values.emplace_back(side.col_classes.begin(), side.col_classes.end());
  if (!side.row_gains.empty()) values.emplace_back(side.row_gains.begin(), side.row_gains.end());
  std::vector<std::uint8_t> bytes;
  std::vector<std::int16_t> classes;
  std::vector<std::int32_t> differences;
  for (const std::vector<std::int32_t>& array : values) {
    const Header header = header_of(array);
    const auto median = static_cast<std::uint16_t>(header.median);
    bytes.push_back(static_cast<std::uint8_t>(median));
    bytes.push_back(static_cast<std::uint8_t>(median >> 8));
    bytes.push_back(static_cast<std::uint8_t>(header.magnitude_class));
    classes.insert(classes.end(), array.size(), header.magnitude_class);
    for (const std::int32_t v : array) differences.push_back(v - header.median);
  }
  const std::vector<std::uint8_t> block = encode_block(model_of(classes), differences);
  bytes.insert(bytes.end(), block.begin(), block.end());
  return bytes;
}

std::optional<SideInformation> decode_side(std::size_t rows, std::size_t cols, bool row_gains,
                                           std::span<const std::uint8_t> bytes) {
  const std::array<std::size_t, 5> sizes = {rows, cols, rows, cols, rows};
  const std::size_t arrays = row_gains ? 5 : 4;
  const std::size_t header_bytes = 3 * arrays;
  if (bytes.size() < header_bytes) return std::nullopt;
  std::array<std::int32_t, 5> medians{};
  std::vector<std::int16_t> classes;
  for (std::size_t a = 0; a < arrays; ++a) {
    medians[a] = static_cast<std::int16_t>(bytes[3 * a] | bytes[3 * a + 1] << 8);
    const auto c = static_cast<std::int8_t>(bytes[3 * a + 2]);
    if (c < smallest_class || c > largest_class) return std::nullopt;
    classes.insert(classes.end(), sizes[a], c);
  }
  std::vector<std::int32_t> values(classes.size());
  if (!decode_block(model_of(classes), bytes.subspan(header_bytes), values)) return std::nullopt;
  SideInformation side;
  const std::int32_t* next = values.data();
  const auto take = [&](auto& array, std::size_t a) {
    using Value = typename std::remove_reference_t<decltype(array)>::value_type;
    for (std::size_t k = 0; k < sizes[a]; ++k) {
      const std::int32_t v = *next++ + medians[a];
      if (v < std::numeric_limits<Value>::min() || v > std::numeric_limits<Value>::max()) return false;
      array.push_back(static_cast<Value>(v));
    }
    return true;
  };
  if (!take(side.row_steps, 0) || !take(side.col_steps, 1) || !take(side.row_classes, 2) ||
      !take(side.col_classes, 3) || (row_gains && !take(side.row_gains, 4))) {
    return std::nullopt;
  }
  for (const std::int16_t gain : side.row_gains) {
    if (gain < -largest_row_gain || gain > largest_row_gain) return std::nullopt;
  }
  return side;
}

}  // namespace lcomp
