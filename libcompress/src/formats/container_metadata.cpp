#include "formats/container_metadata.h"

#include <limits>

#include "lcomp/core/sizes.h"
#include "lcomp/formats/compressed_folder.h"
#include "lcomp/formats/format.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {

std::string write_container_metadata(const ContainerMetadata& metadata) {
  nlohmann::json tensors = nlohmann::json::object();
  for (const auto& [name, entry] : metadata.entries) {
    nlohmann::json json = layout_to_json(entry.layout);
    json["shape"] = entry.shape;
    if (entry.input_grid) json["input_grid"] = true;
    tensors[name] = std::move(json);
  }
  nlohmann::json json = {{"format_version", compressed_folder_version}, {"tensors", std::move(tensors)}};
  if (metadata.activations) json["activations"] = to_json(*metadata.activations);
  return json.dump();
}

ContainerMetadata read_container_metadata(std::string_view text, const std::string& where) {
  const nlohmann::json json = parse_json(text, where);
  ConfigReader reader(json, where);
  check_container_version(reader.integer("format_version", 1, std::numeric_limits<std::int32_t>::max()),
                          reader.where("format_version"));
  ContainerMetadata metadata;
  if (reader.has("activations")) {
    metadata.activations = activation_setting_from_json(reader.object("activations"), reader.where("activations"));
  }
  const bool fixed = metadata.activations && metadata.activations->is_static();
  for (const auto& [name, description] : reader.object("tensors").items()) {
    const std::string tensor_where = where + ": " + name;
    ConfigReader shape_reader(description, tensor_where);
    ContainerEntry entry;
    for (const std::int64_t n : shape_reader.integers("shape", 0, std::numeric_limits<std::int64_t>::max())) {
      entry.shape.push_back(static_cast<std::size_t>(n));
    }
    const MatrixShape shape = matrix_shape(entry.shape, tensor_where);
    nlohmann::json layout = description;
    layout.erase("shape");
    entry.input_grid = shape_reader.boolean_or("input_grid", false);
    layout.erase("input_grid");
    if (entry.input_grid && !fixed) {
      throw Error({tensor_where, "the grid of an input that is not fixed", "", "the file is damaged"});
    }
    entry.layout = layout_from_json(layout, shape.rows, shape.cols, tensor_where);
    metadata.entries.emplace(name, std::move(entry));
  }
  reader.finish();
  return metadata;
}

std::vector<PartDeclaration> input_grid_parts() {
  return {declare_part(".input_scale", DataType::f32, {1}, ""), declare_part(".input_zero", DataType::u8, {1}, "")};
}

void check_container_version(std::int64_t version, const std::string& where) {
  if (version == compressed_folder_version) return;
  throw Error({where, "version " + std::to_string(version), "version " + std::to_string(compressed_folder_version),
               "a newer version of libcompress may read this model"});
}

MatrixShape matrix_shape(const std::vector<std::size_t>& shape, const std::string& where) {
  std::size_t elements = 1;
  for (const std::size_t n : shape) elements = checked_multiply(elements, n, where);
  const std::size_t rows = shape.empty() ? 1 : shape[0];
  return {rows, rows == 0 ? 0 : elements / rows};
}

}  // namespace lcomp
