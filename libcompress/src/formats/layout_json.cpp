#include <array>

#include <fmt/format.h>

#include "lcomp/core/sizes.h"
#include "lcomp/formats/dense.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/grouped_integer.h"
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
  if (layout.permuted) json["permuted"] = true;
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

}  // namespace

nlohmann::json layout_to_json(const WeightLayout& layout) {
  return std::visit([](const auto& of_format) { return to_json(of_format); }, layout);
}

WeightLayout layout_from_json(const nlohmann::json& json, std::size_t rows, std::size_t cols,
                              const std::string& where) {
  ConfigReader reader(json, where);
  WeightLayout layout;
  if (reader.one_of("format", {"dense", "grouped_integer"}) == "dense") {
    DenseLayout dense{rows, cols, DenseType::f16};
    dense.type = enumerator(reader, "type", std::array{DenseType::f32, DenseType::f16, DenseType::bf16});
    layout = dense;
  } else {
    GroupedIntegerLayout grouped;
    grouped.rows = rows;
    grouped.cols = cols;
    grouped.bits = static_cast<int>(reader.integer("bits", 1, 8));
    grouped.symmetric = reader.boolean("symmetric");
    grouped.group_size =
        static_cast<std::size_t>(reader.integer("group_size", 1, checked_cast<std::int64_t>(cols, where)));
    grouped.per_tensor = reader.boolean_or("per_tensor", false);
    grouped.permuted = reader.boolean_or("permuted", false);
    grouped.scale_storage =
        enumerator(reader, "scales", std::array{ScaleStorage::f32, ScaleStorage::f16, ScaleStorage::u8});
    check_layout(grouped, where);
    layout = grouped;
  }
  reader.finish();
  return layout;
}

}  // namespace lcomp
