#include <array>

#include <fmt/format.h>

#include "lcomp/core/sizes.h"
#include "lcomp/formats/banded_integer.h"
#include "lcomp/formats/codebook.h"
#include "lcomp/formats/dense.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/formats/logarithmic.h"
#include "lcomp/formats/rate_coded.h"
#include "lcomp/formats/transformed_weight.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

nlohmann::json to_json(const DenseLayout& layout) { return {{"format", "dense"}, {"type", name(layout.type)}}; }

nlohmann::json to_json(const GroupedIntegerLayout& layout) {
  nlohmann::json json = {{"format", "grouped_integer"},
                         {"bits", layout.bits},
                         {"symmetric", layout.symmetric},
                         {"group_size", layout.group_size},
                         {"scales", name(layout.scale_storage)}};
  if (layout.per_tensor) json["per_tensor"] = true;
  if (layout.zero_storage != ZeroStorage::integer) json["zeros"] = name(layout.zero_storage);
  if (layout.permuted) json["permuted"] = true;
  return json;
}

nlohmann::json to_json(const LogarithmicLayout& layout) {
  nlohmann::json json = {{"format", "logarithmic"},
                         {"bits", layout.bits},
                         {"zero_level", layout.zero_level},
                         {"group_size", layout.group_size},
                         {"scales", name(layout.scale_storage)}};
  if (layout.permuted) json["permuted"] = true;
  return json;
}

nlohmann::json to_json(const CodebookLayout& layout) {
  nlohmann::json json = {{"format", "codebook"}, {"bits", layout.bits}, {"group_size", layout.group_size}};
  if (layout.scale_storage) json["scales"] = name(*layout.scale_storage);
  if (layout.permuted) json["permuted"] = true;
  return json;
}

nlohmann::json to_json(const BandedIntegerLayout& layout) {
  return {{"format", "banded_integer"},
          {"symmetric", layout.symmetric},
          {"coded_bands", layout.coded_bands},
          {"bit_sum", layout.bit_sum},
          {"last_bits", layout.last_bits}};
}

nlohmann::json to_json(const RateCodedLayout& layout) {
  nlohmann::json json = {{"format", "rate_coded"},
                         {"steps_per_octave", layout.steps_per_octave},
                         {"trellis_memory", layout.trellis_memory},
                         {"distribution", layout.distribution},
                         {"chain_rows", layout.chain_rows},
                         {"block_rows", layout.block_rows},
                         {"code_bytes", layout.code_bytes},
                         {"side_bytes", layout.side_bytes}};
  if (layout.row_gains) json["row_gains"] = true;
  return json;
}

nlohmann::json to_json(const TransformedLayout& layout) {
  nlohmann::json json = {{"format", "transformed"}, {"base", layout_to_json(as_layout(layout.base))}};
  if (layout.transform.input_scaled) json["input_scaled"] = true;
  if (layout.transform.input_block > 0) json["input_block"] = layout.transform.input_block;
  if (layout.transform.output_block > 0) json["output_block"] = layout.transform.output_block;
  return json;
}

// The one of `values` whose name the key holds.
template <typename Enum, std::size_t size>
Enum enumerator(ConfigReader& reader, const char* key, const std::array<Enum, size>& values) {
  std::vector<std::string> names;
  for (const Enum value : values) names.emplace_back(name(value));
  const std::string chosen = reader.one_of(key, names);
  for (const Enum value : values) {
    if (name(value) == chosen) return value;
  }
  return values[0];
}

DenseLayout read_dense(ConfigReader& reader, std::size_t rows, std::size_t cols) {
  DenseLayout dense{rows, cols, DenseType::f16};
  dense.type = enumerator(reader, "type", std::array{DenseType::f32, DenseType::f16, DenseType::bf16});
  return dense;
}

ScaleStorage read_scale_storage(ConfigReader& reader) {
  return enumerator(reader, "scales", std::array{ScaleStorage::f32, ScaleStorage::f16, ScaleStorage::u8});
}

// What every format with groups of columns has: sizes, bits, group_size, permuted.
template <typename Layout>
Layout read_groups(ConfigReader& reader, std::size_t rows, std::size_t cols) {
  Layout layout;
  layout.rows = rows;
  layout.cols = cols;
  layout.bits = static_cast<int>(reader.integer("bits", 1, 8));
  layout.group_size =
      static_cast<std::size_t>(reader.integer("group_size", 1, checked_cast<std::int64_t>(cols, reader.where())));
  layout.permuted = reader.boolean_or("permuted", false);
  return layout;
}

GroupedIntegerLayout read_grouped_integer(ConfigReader& reader, std::size_t rows, std::size_t cols) {
  auto layout = read_groups<GroupedIntegerLayout>(reader, rows, cols);
  layout.symmetric = reader.boolean("symmetric");
  layout.per_tensor = reader.boolean_or("per_tensor", false);
  layout.scale_storage = read_scale_storage(reader);
  if (reader.has("zeros")) {
    layout.zero_storage = enumerator(reader, "zeros", std::array{ZeroStorage::integer, ZeroStorage::f16});
  }
  check_layout(layout, reader.where());
  return layout;
}

LogarithmicLayout read_logarithmic(ConfigReader& reader, std::size_t rows, std::size_t cols) {
  auto layout = read_groups<LogarithmicLayout>(reader, rows, cols);
  layout.zero_level = reader.boolean("zero_level");
  layout.scale_storage = read_scale_storage(reader);
  check_layout(layout, reader.where());
  return layout;
}

CodebookLayout read_codebook(ConfigReader& reader, std::size_t rows, std::size_t cols) {
  auto layout = read_groups<CodebookLayout>(reader, rows, cols);
  if (reader.has("scales")) layout.scale_storage = read_scale_storage(reader);
  check_layout(layout, reader.where());
  return layout;
}

BandedIntegerLayout read_banded_integer(ConfigReader& reader, std::size_t rows, std::size_t cols) {
  BandedIntegerLayout layout{rows, cols, true, 0, 0, 0};
  layout.symmetric = reader.boolean("symmetric");
  constexpr std::int64_t most = std::int64_t{1} << 40;
  layout.coded_bands = static_cast<std::size_t>(reader.integer("coded_bands", 0, most));
  layout.bit_sum = static_cast<std::size_t>(reader.integer("bit_sum", 0, most));
  layout.last_bits = static_cast<std::size_t>(reader.integer("last_bits", 0, 8));
  check_layout(layout, reader.where());
  return layout;
}

RateCodedLayout read_rate_coded(ConfigReader& reader, std::size_t rows, std::size_t cols) {
  RateCodedLayout layout;
  layout.rows = rows;
  layout.cols = cols;
  layout.steps_per_octave = static_cast<int>(reader.integer("steps_per_octave", 1, largest_steps_per_octave));
  layout.trellis_memory = static_cast<int>(reader.integer("trellis_memory", 0, 6));
  layout.distribution = static_cast<int>(reader.integer("distribution", 0, 3));
  constexpr std::int64_t most = std::int64_t{1} << 40;
  layout.chain_rows = static_cast<std::size_t>(reader.integer("chain_rows", 1, most));
  layout.block_rows = static_cast<std::size_t>(reader.integer("block_rows", 1, most));
  layout.code_bytes = static_cast<std::uint64_t>(reader.integer("code_bytes", 0, most));
  layout.side_bytes = static_cast<std::uint64_t>(reader.integer("side_bytes", 0, most));
  layout.row_gains = reader.boolean_or("row_gains", false);
  check_layout(layout, reader.where());
  return layout;
}

// One of the formats that store weights as such, under the name that "format" holds.
PlainLayout read_plain(ConfigReader& reader, const std::string& format, std::size_t rows, std::size_t cols) {
  if (format == "dense") return read_dense(reader, rows, cols);
  if (format == "logarithmic") return read_logarithmic(reader, rows, cols);
  if (format == "codebook") return read_codebook(reader, rows, cols);
  if (format == "banded_integer") return read_banded_integer(reader, rows, cols);
  return read_grouped_integer(reader, rows, cols);
}

const std::vector<std::string> plain_formats = {"dense", "grouped_integer", "logarithmic", "codebook",
                                                "banded_integer"};

TransformedLayout read_transformed(ConfigReader& reader, std::size_t rows, std::size_t cols) {
  TransformedLayout layout{rows, cols, {}, {}};
  ConfigReader base(reader.object("base"), reader.where("base"));
  layout.base = read_plain(base, base.one_of("format", plain_formats), rows, cols);
  base.finish();
  const auto block = [&reader](const char* key, std::size_t size) {
    return static_cast<std::size_t>(
        reader.integer_or(key, 0, 1, std::max<std::int64_t>(1, checked_cast<std::int64_t>(size, reader.where()))));
  };
  layout.transform.input_scaled = reader.boolean_or("input_scaled", false);
  layout.transform.input_block = block("input_block", cols);
  layout.transform.output_block = block("output_block", rows);
  check_layout(layout, reader.where());
  return layout;
}

}  // namespace

nlohmann::json layout_to_json(const WeightLayout& layout) {
  return std::visit([](const auto& of_format) { return to_json(of_format); }, layout);
}

WeightLayout layout_from_json(const nlohmann::json& json, std::size_t rows, std::size_t cols,
                              const std::string& where) {
  ConfigReader reader(json, where);
  std::vector<std::string> formats = plain_formats;
  formats.emplace_back("rate_coded");
  formats.emplace_back("transformed");
  const std::string format = reader.one_of("format", formats);
  WeightLayout layout;
  if (format == "rate_coded") {
    layout = read_rate_coded(reader, rows, cols);
  } else if (format == "transformed") {
    layout = read_transformed(reader, rows, cols);
  } else {
    layout = as_layout(read_plain(reader, format, rows, cols));
  }
  reader.finish();
  return layout;
}

}  // namespace lcomp
