#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/formats/activation_quantization.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/formats/weight_part.h"

namespace lcomp {

// The metadata entry of model.safetensors that says how each tensor is to be decoded:
//   {"format_version": 1, "tensors": {NAME: {"shape": [576, 576], "format": "grouped_integer", "bits": 4, ...}, ...}}
// and "activations": a setting of activation_quantization.h, where activations are rounded; a tensor whose input has a
// fixed grid then has "input_grid": true.
inline constexpr const char* container_metadata_key = "libcompress";

struct ContainerEntry {
  std::vector<std::size_t> shape;  // of the original
  WeightLayout layout;
  bool input_grid = false;
};

struct ContainerMetadata {
  std::map<std::string, ContainerEntry> entries;
  std::optional<ActivationSetting> activations;
};

std::string write_container_metadata(const ContainerMetadata& metadata);

// Throws Error naming `where`, the tensor and the key: damaged text, another version, an unknown format, a shape that
// overflows, an input's grid without a setting that fixes it.
ContainerMetadata read_container_metadata(std::string_view text, const std::string& where);

// The parts of an input's grid: ".input_scale", F32 [1], and ".input_zero", U8 [1]. Five bytes.
std::vector<PartDeclaration> input_grid_parts();

// Throws Error for a version that this build does not know.
void check_container_version(std::int64_t version, const std::string& where);

// The shape seen as a matrix, as TensorInfo::rows() and cols() do. Throws Error naming `where` when the product
// overflows.
struct MatrixShape {
  std::size_t rows = 0, cols = 0;
};
MatrixShape matrix_shape(const std::vector<std::size_t>& shape, const std::string& where);

}  // namespace lcomp
