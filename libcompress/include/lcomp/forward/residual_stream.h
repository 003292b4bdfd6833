#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "lcomp/core/matrix.h"

namespace lcomp {

// How the residual stream waits between one block and the next.
enum class ResidualStorage {
  // 16-bit floats with a power of two a token, 2^e, such that the token's largest value is in [2^14, 2^15): nothing
  // overflows, whatever the size of the activations (a plain 16-bit float ends at 65504), and every value down to 2^-28
  // of the token's largest is kept to 2^-11 of itself, smaller ones to 2^-39 of the largest.
  // 2 hidden + 4 bytes a token.
  scaled_half,
  float32,  // exact; 4 hidden bytes a token
};
std::string_view name(ResidualStorage storage);

// Where the residual stream of all tokens lives, row by row, between blocks: in memory, or in a temporary file once it
// is larger than `memory_limit` bytes. The file has no name (it is gone when the process ends, however that ends); it
// is read and written by ordinary calls, not mapped, so that a full disk is an Error. What is read back is the same in
// both places.
class ResidualStream {
 public:
  // spill_folder: of the temporary file; it must exist. Throws Error when there is no room for it.
  ResidualStream(std::size_t tokens, std::size_t hidden, ResidualStorage storage, std::uint64_t memory_limit,
                 const std::filesystem::path& spill_folder);
  ~ResidualStream();
  ResidualStream(const ResidualStream&) = delete;
  ResidualStream& operator=(const ResidualStream&) = delete;

  std::size_t tokens() const { return tokens_; }
  std::size_t hidden() const { return hidden_; }
  bool on_disk() const { return file_ >= 0; }
  std::uint64_t bytes() const { return std::uint64_t{tokens_} * row_bytes_; }

  // Rows first_token ... of all tokens; [rows, hidden]. NaN and infinity are stored as they are.
  void write(std::size_t first_token, ConstMatrixView states);
  void read(std::size_t first_token, MatrixView<float> states) const;

  // Writes everything to `path` (atomically, flushed to disk, with a checksum), together with `key`.
  void save(const std::filesystem::path& path, std::string_view key) const;
  // Reads what save() wrote. False when there is no such file, or it is damaged or was saved under another key or with
  // another shape; what the stream holds is undefined then.
  bool load(const std::filesystem::path& path, std::string_view key);

 private:
  void encode(ConstMatrixView rows, std::byte* out) const;
  void decode(const std::byte* in, MatrixView<float> rows) const;
  void write_bytes(std::uint64_t offset, const std::byte* bytes, std::size_t size);
  void read_bytes(std::uint64_t offset, std::byte* bytes, std::size_t size) const;
  std::size_t rows_per_piece() const;
  std::string header(std::string_view key) const;

  std::size_t tokens_;
  std::size_t hidden_;
  ResidualStorage storage_;
  std::size_t row_bytes_;
  AlignedBuffer<std::byte> memory_;
  std::filesystem::path folder_;
  int file_ = -1;
};

}  // namespace lcomp
