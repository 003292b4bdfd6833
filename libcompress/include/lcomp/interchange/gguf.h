#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lcomp/io/tensor_source.h"

namespace lcomp {

// GGUF, llama.cpp's file format (versions 2 and 3, little-endian): metadata, tensor descriptions, aligned data.

struct GgufValue;
using GgufArray = std::vector<GgufValue>;

// A metadata value. Integers are widened to 64 bits (`std::uint64_t` for the unsigned types), floats to double. Arrays
// of numbers and strings are the common case: `array` is a vector of values of one type; nested arrays are allowed to a
// fixed depth.
struct GgufValue {
  std::variant<std::uint64_t, std::int64_t, double, bool, std::string, GgufArray> value;
};

enum class GgmlType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  iq4_nl = 20,
  iq4_xs = 23,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  bf16 = 30,
};

struct GgufTensor {
  std::string name;
  GgmlType type = GgmlType::f32;
  std::vector<std::size_t> shape;    // row-major, outermost first (GGUF stores the reverse)
  std::span<const std::byte> bytes;  // into the mapped file
};

// A memory-mapped GGUF file, checked when opened. Also a TensorSource under GGUF's own tensor names, raw layout
// (models/ maps names and undoes llama.cpp's row permutations).
class GgufFile : public TensorSource {
 public:
  explicit GgufFile(const std::filesystem::path& path);
  ~GgufFile() override;

  const GgufValue* find_metadata(std::string_view key) const;              // nullptr when absent
  const std::vector<std::pair<std::string, GgufValue>>& metadata() const;  // in file order
  // Typed access. Throws Error naming the file and key when it is absent or of another kind.
  std::uint64_t unsigned_value(std::string_view key) const;
  double float_value(std::string_view key) const;  // integers are accepted
  const std::string& string_value(std::string_view key) const;
  const GgufArray& array_value(std::string_view key) const;

  const std::vector<GgufTensor>& gguf_tensors() const;  // in file order

  const std::string& where() const override;
  const std::vector<TensorInfo>& tensors() const override;
  void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) const override;
  // Decodes values [begin, begin + out.size()) of a tensor in the order of the file: pieces of a row, one expert of a
  // stack. Throws Error as read_rows() does.
  void read_values(std::string_view name, std::size_t begin, std::span<float> out) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string_view name(GgmlType type);  // "Q4_1"

// How a type is stored: blocks of consecutive values of one row, each of a fixed number of bytes.
struct GgmlBlock {
  std::size_t values;
  std::size_t bytes;
};
GgmlBlock block_of(GgmlType type);

// Decodes `count` values of consecutive whole blocks to float32, as ggml's reference dequantizers do.
void dequantize(GgmlType type, std::span<const std::byte> blocks, std::span<float> out);
// Quantizes to F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0 or Q5_1, as ggml's reference quantizers do. Throws Error for
// other types, a number of values that is no multiple of the block, values that are not finite, and scales beyond
// float16.
std::vector<std::byte> quantize(GgmlType type, std::span<const float> values);

}  // namespace lcomp
