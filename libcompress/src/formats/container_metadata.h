#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/formats/compressed_weight.h"

namespace lcomp {

// The metadata entry of model.safetensors that says how each tensor is to be decoded:
//   {"format_version": 1, "tensors": {NAME: {"shape": [576, 576], "format": "grouped_integer", "bits": 4, ...}, ...}}
inline constexpr const char* container_metadata_key = "libcompress";

struct ContainerEntry {
  std::vector<std::size_t> shape;  // of the original
  WeightLayout layout;
};

std::string write_container_metadata(const std::map<std::string, ContainerEntry>& entries);

// Throws Error naming `where`, the tensor and the key: damaged text, another version, an unknown format, a shape that
// overflows.
std::map<std::string, ContainerEntry> read_container_metadata(std::string_view text, const std::string& where);

// Throws Error for a version that this build does not know.
void check_container_version(std::int64_t version, const std::string& where);

// The shape seen as a matrix, as TensorInfo::rows() and cols() do. Throws Error naming `where` when the product
// overflows.
struct MatrixShape {
  std::size_t rows = 0, cols = 0;
};
MatrixShape matrix_shape(const std::vector<std::size_t>& shape, const std::string& where);

}  // namespace lcomp
