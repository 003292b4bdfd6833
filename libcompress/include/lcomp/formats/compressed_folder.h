#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/formats/activation_quantization.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/formats/compressed_weight_source.h"
#include "lcomp/io/tensor_source.h"

namespace lcomp {

// The container of a compressed model: a Hugging Face-like folder that ordinary tools can open (docs/format.md).
//   config.json        the original's, with "quantization_config": {"quant_method": "libcompress", ...} added
//   model.safetensors  the parts of each tensor of the original: NAME.codes, NAME.scales, NAME.zeros, NAME.codebooks,
//                      ...; NAME itself when it is dense. The metadata entry "libcompress" says how to decode each
//                      tensor and whether activations are quantized; static grids of activations are in
//                      NAME.input_scale and NAME.input_zero
//   tokenizer.json, generation_config.json, licences, ...  copies of the original's files
// The bytes of the model are the data bytes of model.safetensors.

inline constexpr int compressed_folder_version = 1;
inline constexpr const char* compressed_folder_method = "libcompress";

// True when `path` is a folder whose config.json names quant_method "libcompress". False for anything else, damaged
// files included.
bool is_compressed_folder(const std::filesystem::path& path);

// A compressed model opened for reading; its tensors have the names and shapes of the original's and are decoded when
// they are read. The file is memory-mapped and checked completely when opened. Thread-safe.
class CompressedFolder : public CompressedWeightSource {
 public:
  // Throws Error naming the file, the tensor and its part: a part that is missing, unknown, or of a wrong type or
  // size; a format or version that this build does not know.
  explicit CompressedFolder(const std::filesystem::path& path);
  ~CompressedFolder() override;

  const std::string& where() const override;
  const std::vector<TensorInfo>& tensors()
      const override;  // stored_bytes: all parts; stored_as: describe() of format.h
  void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) const override;

  const nlohmann::json& config() const;  // config.json, quantization_config included
  // A tensor in its stored form, a view of the mapped file (valid while this object lives). Throws Error for an
  // unknown name.
  const CompressedWeightView& weight(std::string_view name) const override;
  // How activations are quantized; nothing when they are not.
  const std::optional<ActivationQuantization>& activations() const;
  // Payload bytes of the whole model: the sum of stored_bytes (an input's grid is counted with its weight).
  std::uint64_t payload_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::unique_ptr<TensorSource> open_compressed_folder(const std::filesystem::path& path);

// Writes a compressed model tensor by tensor, in any order; the same tensors give the same files whatever the order.
// One weight is in memory at a time: bytes go to a temporary file in the unfinished folder, from which finish()
// assembles model.safetensors. The folder appears under its name only then; destroyed before, it leaves nothing behind.
class CompressedFolderWriter {
 public:
  // Throws Error when `path` exists and `replace` is false, or can't be written.
  CompressedFolderWriter(const std::filesystem::path& path, bool replace);
  ~CompressedFolderWriter();
  CompressedFolderWriter(const CompressedFolderWriter&) = delete;
  CompressedFolderWriter& operator=(const CompressedFolderWriter&) = delete;

  // shape: the original's; its rows() and cols(), in TensorInfo's sense, are those of the weight. Throws Error for a
  // name that was added before or that collides with a part of another, a shape that isn't the weight's, and failed
  // writes.
  void add(const std::string& name, const std::vector<std::size_t>& shape, const CompressedWeightView& weight);
  void add(const std::string& name, const std::vector<std::size_t>& shape, const CompressedWeight& weight);

  // Records that activations are quantized; at most once, after the tensors whose inputs have grids. Throws Error for a
  // grid of an unknown tensor, for grids where the setting is dynamic, and for scales that are not positive and finite.
  void set_activations(const ActivationQuantization& activations);

  // Copies tokenizer.json, tokenizer.model, tokenizer_config.json, generation_config.json, licences and the like, those
  // that exist.
  void copy_companion_files(const std::filesystem::path& source_folder);
  // Any other file of the folder (a tokenizer taken from elsewhere, a report).
  void write_file(const std::string& name, std::string_view text);

  std::uint64_t payload_bytes() const;  // of the tensors added so far

  // config: the original's config.json; description: further keys of "quantization_config" (quant_method and
  // format_version are set here). Writes config.json and model.safetensors and renames the folder to its final name.
  void finish(const nlohmann::json& config, const nlohmann::json& description = nlohmann::json::object());

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lcomp
