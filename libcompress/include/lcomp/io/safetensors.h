#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/io/data_type.h"
#include "lcomp/io/tensor_source.h"

namespace lcomp {

// The safetensors format: an 8-byte little-endian header length, a JSON header, the data.
//   {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ..., "__metadata__": {"key": "value"}}
// Offsets count from the end of the header; the tensors cover the data without holes or overlaps.

struct SafetensorsEntry {
  std::string name;
  DataType type = DataType::f32;
  std::vector<std::size_t> shape;
  std::span<const std::byte> bytes;  // into the mapped file
};

// One memory-mapped file, checked completely when opened (every defect is an Error that names the file and the tensor).
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  ~SafetensorsFile();
  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&&) noexcept;

  const std::vector<SafetensorsEntry>& entries() const;  // sorted by name
  const SafetensorsEntry* find(std::string_view name) const;
  const SafetensorsEntry& entry(std::string_view name) const;  // throws Error when absent
  const std::map<std::string, std::string>& metadata() const;
  // Tells the system that these bytes of an entry will not be needed soon (MappedFile::release). A hint.
  void release(std::span<const std::byte> bytes) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Decodes elements [begin, begin + out.size()) to float32, on all threads. Every type; F64 and integers that float32
// cannot hold are rounded, BOOL gives 0 and 1. Throws Error when the elements are not all there.
void to_float(const SafetensorsEntry& entry, std::size_t begin, std::span<float> out);

// Opens model.safetensors, or the shards of model.safetensors.index.json, of a folder (or one .safetensors file) as one
// source. The path of an index file is taken too. A missing shard, a tensor that the index doesn't list or places
// elsewhere, or a name in two shards is an Error. Reading rows of 1 MiB or more releases their pages afterwards, so
// that a pass over a model costs no memory.
std::unique_ptr<TensorSource> open_safetensors(const std::filesystem::path& path);

struct SafetensorsDeclaration {
  std::string name;
  DataType type = DataType::f32;
  std::vector<std::size_t> shape;
};

// Streams a file whose tensors are declared first and written in that order, in pieces of any size. The data section
// begins at a multiple of 64 bytes and the tensors follow each other without gaps: declare those of wide types first if
// each is to be aligned to its type. finish() checks that every byte was written, flushes to disk, and renames the file
// to its final name. Destroyed before, it leaves nothing. Throws Error for a declaration that no file can hold (a name
// twice, not UTF-8, a size that overflows), a write out of turn, and a full disk (ErrorKind::system, with the number of
// bytes that were to be written).
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, std::vector<SafetensorsDeclaration> tensors,
                    const std::map<std::string, std::string>& metadata = {});
  ~SafetensorsWriter();
  SafetensorsWriter(SafetensorsWriter&&) noexcept;
  SafetensorsWriter& operator=(SafetensorsWriter&&) noexcept;

  // Appends bytes of the tensor `name`, which must be the current one (the first that is not complete).
  void write(std::string_view name, std::span<const std::byte> bytes);
  // Converts float32 values to the declared type (F32, F16, BF16), on all threads, and appends them. Throws Error
  // naming the tensor and the element when a finite value becomes infinite; infinities and NaN pass.
  void write_float(std::string_view name, std::span<const float> values);
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lcomp
