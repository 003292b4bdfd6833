#include "lcomp/formats/compressed_folder.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>

#include <fmt/format.h>

#include "formats/container_metadata.h"
#include "lcomp/core/error.h"
#include "lcomp/core/sizes.h"
#include "lcomp/formats/format.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/safetensors.h"

namespace lcomp {
namespace {

std::span<const std::uint8_t> as_uint8(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}

// True when the JSON of a config says that the weights are ours.
bool names_our_method(const nlohmann::json& config) {
  if (!config.is_object()) return false;
  const auto quantization = config.find("quantization_config");
  if (quantization == config.end() || !quantization->is_object()) return false;
  const auto method = quantization->find("quant_method");
  return method != quantization->end() && *method == compressed_folder_method;
}

}  // namespace

bool is_compressed_folder(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path / "config.json", ignored)) return false;
  try {
    return names_our_method(parse_json_file(path / "config.json"));
  } catch (const Error&) {
    return false;
  }
}

struct CompressedFolder::State {
  explicit State(const std::filesystem::path& path)
      : where(path.string()),
        config_where((path / "config.json").string()),
        file_where((path / "model.safetensors").string()),
        config(parse_json_file(config_where)),
        file(file_where) {
    check_config();
    const auto metadata = file.metadata().find(container_metadata_key);
    if (metadata == file.metadata().end()) {
      throw Error({file_where, fmt::format("no metadata entry \"{}\"", container_metadata_key),
                   "a description of how its tensors are stored", "the file was not written by libcompress"});
    }
    const ContainerMetadata stored = read_container_metadata(metadata->second, file_where);
    if (stored.activations) activations = ActivationQuantization{*stored.activations, {}};
    for (const auto& [name, entry] : stored.entries) add(name, entry);
    check_left_over();
  }

  void check_config() const {
    if (!names_our_method(config)) {
      throw Error({config_where, "no quantization_config with quant_method \"libcompress\"", "a compressed model", ""});
    }
    ConfigReader reader(config["quantization_config"], config_where + ": quantization_config");
    check_container_version(reader.integer("format_version", 1, std::numeric_limits<std::int32_t>::max()),
                            reader.where("format_version"));
    for (const std::string& key : reader.unread_keys()) reader.ignore(key);  // figures for people
    reader.finish();
  }

  void add(const std::string& name, const ContainerEntry& entry) {
    const std::string tensor_where = file_where + ": " + name;
    std::vector<WeightPart> parts;
    for (const PartDeclaration& declared : declared_parts(entry.layout, tensor_where)) {
      const SafetensorsEntry* found = file.find(name + declared.suffix);
      if (found == nullptr) continue;  // from_parts says so
      if (declared.suffix.empty() && found->shape != entry.shape) {
        throw Error({tensor_where, fmt::format("shape [{}]", fmt::join(found->shape, ", ")),
                     fmt::format("[{}]", fmt::join(entry.shape, ", ")), "the file is damaged"});
      }
      used.insert(found->name);
      parts.push_back({{declared.suffix, found->type, found->shape, found->bytes.size()}, as_uint8(found->bytes)});
    }
    weights.push_back(from_parts(entry.layout, parts, tensor_where));
    std::uint64_t bytes = lcomp::payload_bytes(entry.layout);
    if (entry.input_grid) bytes += add_input_grid(name, tensor_where);
    infos.push_back({name, entry.shape, describe(entry.layout), bytes});
    payload_bytes = checked_add(payload_bytes, bytes, file_where);
  }

  // Returns its bytes.
  std::uint64_t add_input_grid(const std::string& name, const std::string& tensor_where) {
    std::uint64_t bytes = 0;
    InputGrid grid;
    for (const PartDeclaration& part : input_grid_parts()) {
      const SafetensorsEntry& found = file.entry(name + part.suffix);
      if (found.type != part.type || found.shape != part.shape) {
        throw Error(
            {tensor_where + part.suffix, "another type or shape", "one number, F32 or U8", "the file is damaged"});
      }
      void* to = part.suffix == ".input_scale" ? static_cast<void*>(&grid.scale) : &grid.zero_point;
      std::memcpy(to, found.bytes.data(), part.bytes);
      used.insert(found.name);
      bytes += part.bytes;
    }
    check_input_grid(grid, activations->setting.symmetric, tensor_where);
    activations->inputs.emplace(name, grid);
    return bytes;
  }

  void check_left_over() const {
    for (const SafetensorsEntry& entry : file.entries()) {
      if (used.contains(entry.name)) continue;
      throw Error({file_where + ": " + entry.name, "a tensor that the file's description does not mention", "", ""});
    }
  }

  std::string where;
  std::string config_where;
  std::string file_where;
  nlohmann::json config;
  SafetensorsFile file;
  std::vector<TensorInfo> infos;              // sorted by name
  std::vector<CompressedWeightView> weights;  // as infos
  std::optional<ActivationQuantization> activations;
  std::set<std::string> used;  // names in the file that belong to a tensor
  std::uint64_t payload_bytes = 0;
};

CompressedFolder::CompressedFolder(const std::filesystem::path& path) : state_(std::make_unique<State>(path)) {}
CompressedFolder::~CompressedFolder() = default;

const std::string& CompressedFolder::where() const { return state_->where; }
const std::vector<TensorInfo>& CompressedFolder::tensors() const { return state_->infos; }
const nlohmann::json& CompressedFolder::config() const { return state_->config; }
const std::optional<ActivationQuantization>& CompressedFolder::activations() const { return state_->activations; }
std::uint64_t CompressedFolder::payload_bytes() const { return state_->payload_bytes; }

const CompressedWeightView& CompressedFolder::weight(std::string_view name) const {
  return state_->weights[static_cast<std::size_t>(&info(name) - state_->infos.data())];
}

void CompressedFolder::read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                                 std::span<float> out) const {
  const TensorInfo& tensor = info(name);
  const CompressedWeightView& stored = weight(name);
  try {
    decode_rows(stored, row_begin, row_count, out);
  } catch (const Error& error) {
    ErrorParts parts = error.parts();
    parts.where = where() + ": " + tensor.name;
    throw Error(error.kind(), std::move(parts));
  }
}

std::unique_ptr<TensorSource> open_compressed_folder(const std::filesystem::path& path) {
  return std::make_unique<CompressedFolder>(path);
}

}  // namespace lcomp
