#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/core/matrix.h"

namespace lcomp {

// What a reader knows of a tensor before it reads it. `stored_as` is for people ("F16", "Q4_1", "grouped integer, 4
// bits").
struct TensorInfo {
  std::string name;
  std::vector<std::size_t> shape;  // row-major, outermost first; empty: a scalar
  std::string stored_as;
  std::uint64_t stored_bytes = 0;  // everything that this tensor needs in the file

  std::size_t elements() const;  // product of the shape, checked where the file was opened
  std::size_t rows() const;      // shape[0]; 1 for a scalar
  std::size_t cols() const;      // elements() / rows(); 1 for a vector, 0 when rows() is 0
};

// The tensors of a model, wherever and however they are stored, as float32. Implemented by safetensors folders, GGUF
// files (under their Hugging Face names) and compressed models. Thread-safe for reading.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  virtual const std::string& where() const = 0;                // the path, for error messages
  virtual const std::vector<TensorInfo>& tensors() const = 0;  // sorted by name
  const TensorInfo* find(std::string_view name) const;         // nullptr when absent
  const TensorInfo& info(std::string_view name) const;         // throws Error naming the tensor when absent

  // Decodes rows [row_begin, row_begin + row_count) of a tensor seen as [rows(), cols()] into out (row_count * cols()
  // values). Throws Error for an unknown name, rows out of range, or damaged data; integer types other than I8/U8 are
  // refused.
  virtual void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                         std::span<float> out) const = 0;

  // The whole tensor as a matrix [rows(), cols()].
  Matrix read(std::string_view name) const;
};

}  // namespace lcomp
