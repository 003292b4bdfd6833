#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "lcomp/core/error.h"
#include "lcomp/formats/compressed_folder.h"
#include "lcomp/interchange/gguf_model.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/safetensors.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/models/tensor_check.h"
#include "models/assemble_model.h"
#include "models/text_part.h"

namespace lcomp {
namespace {

struct Opened {
  nlohmann::json config_json;
  std::string config_where;
  std::shared_ptr<const TensorSource> tensors;
  std::optional<ActivationQuantization> activations;
};

Opened open_files(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) {
    throw Error({path.string(), "no such file or folder", "a model folder or a GGUF file", ""});
  }
  if (!std::filesystem::is_directory(path)) {
    if (path.extension() != ".gguf") {
      throw Error({path.string(), "a file that is no GGUF file",
                   "a model folder (config.json and model.safetensors) or a .gguf file", ""});
    }
    GgufModel model = open_gguf_model(path);
    return {std::move(model.config_json), path.string(), std::move(model.tensors), std::nullopt};
  }
  const std::filesystem::path config_path = path / "config.json";
  if (!std::filesystem::exists(config_path)) {
    throw Error(
        {path.string(), "a folder without config.json", "a model folder with config.json and model.safetensors", ""});
  }
  Opened opened;
  opened.config_json = parse_json_file(config_path);
  opened.config_where = config_path.string();
  if (is_compressed_folder(path)) {
    auto folder = std::make_shared<const CompressedFolder>(path);
    opened.activations = folder->activations();
    opened.tensors = std::move(folder);
    opened.config_json.erase("quantization_config");  // says how the tensors are stored, which their source knows
  } else {
    opened.tensors = open_safetensors(path);
    take_text_part(opened.config_where, opened.config_json, opened.tensors);
  }
  return opened;
}

// The tensors that the decoder uses, each once.
std::set<std::string> used_tensors(const DecoderSlices& slices) {
  std::set<std::string> names;
  for_each_slice(slices, [&](const TensorSlice& slice) { names.insert(slice.tensor); });
  return names;
}

}  // namespace

std::uint64_t ModelFolder::parameters() const {
  std::uint64_t total = 0;
  for (const std::string& name : used_tensors(slices)) total += tensors->info(name).elements();
  return total;
}

std::uint64_t ModelFolder::stored_bytes() const {
  std::uint64_t total = 0;
  for (const std::string& name : used_tensors(slices)) total += tensors->info(name).stored_bytes;
  return total;
}

ModelFolder open_model(const std::filesystem::path& path) {
  Opened opened = open_files(path);
  ModelFolder model =
      assemble_model(path, std::move(opened.config_json), opened.config_where, std::move(opened.tensors));
  model.activations = std::move(opened.activations);
  return model;
}

}  // namespace lcomp
