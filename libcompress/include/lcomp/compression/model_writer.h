#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/activation_quantization.h"
#include "lcomp/formats/compressed_folder.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/formats/model_size.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// Writes the compressed version of a model, tensor by tensor, as a folder that appears when it is complete
// (formats/compressed_folder.h), and says in its description how large it is. Every method that makes a model writes it
// here: compression, tuning, training.
class ModelWriter {
 public:
  // original: whose tensors' shapes, configuration and number of parameters count; it must outlive the writer. Throws
  // Error when `out` exists and `replace` is false, or can't be written.
  ModelWriter(const ModelFolder& original, const std::filesystem::path& out, bool replace);

  // A tensor of the original under its own name. Throws Error as CompressedFolderWriter::add().
  void add(const std::string& tensor, const CompressedWeightView& weight);
  void add(const std::string& tensor, const CompressedWeight& weight);
  // The values exactly, in the smallest of f16, bf16 and f32 that holds them all. Returns their bytes.
  std::uint64_t keep(const std::string& tensor, const Matrix& values);
  // How inputs are rounded; after the tensors. Returns the bytes of fixed grids.
  std::uint64_t set_activations(const ActivationQuantization& activations);
  // tokenizer.json and what else goes with it, from `source`: a model folder (its licences and the like too), a
  // tokenizer.json file, or a GGUF file. Nothing where there is no tokenizer.
  void add_tokenizer(const std::filesystem::path& source);

  ModelSize size() const;  // of the tensors added so far

  // Puts the folder in its place; config.json is the original's with a description of parameters, bytes, bits per
  // weight and ratio, and the entries of `description`.
  ModelSize finish(const nlohmann::json& description);

 private:
  const ModelFolder& original_;
  CompressedFolderWriter writer_;
};

}  // namespace lcomp
