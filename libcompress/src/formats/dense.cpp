#include "lcomp/formats/dense.h"

#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/sizes.h"

namespace lcomp {
namespace {

static_assert(std::endian::native == std::endian::little, "values are copied between memory and files as they are");

// Values go through buffers of this many, so that 16-bit data need not be aligned in a mapped file.
constexpr std::size_t chunk = 1024;

void encode(std::span<const float> values, DenseType type, std::uint8_t* out) {
  if (type == DenseType::f32) {
    std::memcpy(out, values.data(), values.size_bytes());
    return;
  }
  std::uint16_t buffer[chunk];
  for (std::size_t i = 0; i < values.size(); i += chunk) {
    const auto part = values.subspan(i, std::min(chunk, values.size() - i));
    const std::span<std::uint16_t> converted(buffer, part.size());
    type == DenseType::f16 ? float_to_half(part, converted) : float_to_bfloat16(part, converted);
    std::memcpy(out + 2 * i, buffer, 2 * part.size());
  }
}

void decode(const std::uint8_t* in, DenseType type, std::span<float> values) {
  if (type == DenseType::f32) {
    std::memcpy(values.data(), in, values.size_bytes());
    return;
  }
  std::uint16_t buffer[chunk];
  for (std::size_t i = 0; i < values.size(); i += chunk) {
    const auto part = values.subspan(i, std::min(chunk, values.size() - i));
    std::memcpy(buffer, in + 2 * i, 2 * part.size());
    const std::span<const std::uint16_t> stored(buffer, part.size());
    type == DenseType::f16 ? half_to_float(stored, part) : bfloat16_to_float(stored, part);
  }
}

// The column of the first value that encoding made infinite or that was not finite before; cols when there is none.
std::size_t first_bad_column(std::span<const float> row, const std::uint8_t* encoded, DenseType type) {
  float decoded[chunk];
  for (std::size_t i = 0; i < row.size(); i += chunk) {
    const std::span<float> part(decoded, std::min(chunk, row.size() - i));
    decode(encoded + i * bytes_per_value(type), type, part);
    for (std::size_t j = 0; j < part.size(); ++j) {
      if (!std::isfinite(part[j])) return i + j;
    }
  }
  return row.size();
}

bool holds_exactly(ConstMatrixView weight, DenseType type) {
  std::uint8_t encoded[2 * chunk];
  float decoded[chunk];
  for (std::size_t i = 0; i < weight.rows(); ++i) {
    const auto row = weight.row(i);
    for (std::size_t j = 0; j < row.size(); j += chunk) {
      const auto part = row.subspan(j, std::min(chunk, row.size() - j));
      encode(part, type, encoded);
      decode(encoded, type, {decoded, part.size()});
      if (std::memcmp(part.data(), decoded, part.size_bytes()) != 0) return false;
    }
  }
  return true;
}

template <typename Weight>
auto& dense_part(Weight& weight, std::string_view suffix) {
  assert(suffix.empty());
  return weight.values;
}

}  // namespace

std::size_t bytes_per_value(DenseType type) { return type == DenseType::f32 ? 4 : 2; }

std::string_view name(DenseType type) {
  switch (type) {
    case DenseType::f32:
      return "f32";
    case DenseType::f16:
      return "f16";
    case DenseType::bf16:
      return "bf16";
  }
  return "";
}

std::vector<PartDeclaration> declared_parts(const DenseLayout& layout, const std::string& where) {
  const DataType type = layout.type == DenseType::f32   ? DataType::f32
                        : layout.type == DenseType::f16 ? DataType::f16
                                                        : DataType::bf16;
  return {declare_part("", type, {layout.rows, layout.cols}, where)};
}

DenseView view(const DenseWeight& weight) { return {static_cast<const DenseLayout&>(weight), weight.values}; }

DenseView empty_view(const DenseLayout& layout) { return {layout, {}}; }

DenseWeight empty_weight(const DenseLayout& layout) {
  DenseWeight weight;
  static_cast<DenseLayout&>(weight) = layout;
  return weight;
}

std::span<const std::uint8_t>& part_data(DenseView& weight, std::string_view suffix) {
  return dense_part(weight, suffix);
}
std::vector<std::uint8_t>& part_data(DenseWeight& weight, std::string_view suffix) {
  return dense_part(weight, suffix);
}

DenseWeight encode_dense(ConstMatrixView weight, DenseType type, const std::string& component) {
  DenseWeight out;
  out.rows = weight.rows();
  out.cols = weight.cols();
  out.type = type;
  const std::size_t row_bytes = checked_multiply(out.cols, bytes_per_value(type), component);
  out.values.resize(checked_multiply(out.rows, row_bytes, component));
  for (std::size_t i = 0; i < out.rows; ++i) {
    std::uint8_t* encoded = out.values.data() + i * row_bytes;
    encode(weight.row(i), type, encoded);
    const std::size_t j = first_bad_column(weight.row(i), encoded, type);
    if (j == out.cols) continue;
    throw Error({fmt::format("{}, row {}, column {}", component, i, j), fmt::format("the value {}", weight(i, j)),
                 fmt::format("a finite value that {} can hold", name(type)), ""});
  }
  return out;
}

float rounded_to(DenseType type, float value) {
  switch (type) {
    case DenseType::f32:
      return value;
    case DenseType::f16:
      return half_to_float(float_to_half(value));
    case DenseType::bf16:
      return bfloat16_to_float(float_to_bfloat16(value));
  }
  return value;
}

DenseType exact_dense_type(ConstMatrixView weight) {
  for (const DenseType type : {DenseType::f16, DenseType::bf16}) {
    if (holds_exactly(weight, type)) return type;
  }
  return DenseType::f32;
}

void decode_rows(const DenseView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out) {
  assert(row_begin <= weight.rows && row_count <= weight.rows - row_begin && out.size() == row_count * weight.cols);
  decode(weight.values.data() + row_begin * weight.cols * bytes_per_value(weight.type), weight.type, out);
}

}  // namespace lcomp
