#include "lcomp/forward/residual_stream.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/hash.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/mapped_file.h"

namespace lcomp {
namespace {

constexpr std::size_t piece_bytes = std::size_t{4} << 20;
constexpr int largest_exponent = 14;  // of a stored value: below 2^15

// The power of two by which the token's values are multiplied. Limited so that it and its inverse are normal floats.
float scale_of(std::span<const float> row) {
  float largest = 0;
  for (const float v : row) largest = std::max(largest, std::abs(v));
  if (largest == 0 || !std::isfinite(largest)) return 1;
  return std::ldexp(1.0F, std::clamp(largest_exponent - std::ilogb(largest), -125, 125));
}

void encode_scaled_half(std::span<const float> row, std::span<float> scaled, std::byte* out) {
  const float scale = scale_of(row), inverse = 1 / scale;
  for (std::size_t j = 0; j < row.size(); ++j) scaled[j] = row[j] * scale;
  std::memcpy(out, &inverse, sizeof(float));
  float_to_half(scaled, {reinterpret_cast<std::uint16_t*>(out + sizeof(float)), row.size()});
}

void decode_scaled_half(const std::byte* in, std::span<float> row) {
  float inverse;
  std::memcpy(&inverse, in, sizeof(float));
  half_to_float({reinterpret_cast<const std::uint16_t*>(in + sizeof(float)), row.size()}, row);
  for (float& v : row) v *= inverse;
}

int open_unnamed_file(const std::filesystem::path& folder) {
#ifdef O_TMPFILE
  const int unnamed = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (unnamed >= 0) return unnamed;  // not every file system can
#endif
  std::string pattern = (folder / ".lcomp-residual-XXXXXX").string();
  const int named = ::mkstemp(pattern.data());
  if (named < 0) throw system_error(folder.string(), "making a temporary file", errno);
  ::unlink(pattern.c_str());
  return named;
}

}  // namespace

std::string_view name(ResidualStorage storage) {
  switch (storage) {
    case ResidualStorage::scaled_half:
      return "scaled_half";
    case ResidualStorage::float32:
      return "float32";
  }
  return "";
}

ResidualStream::ResidualStream(std::size_t tokens, std::size_t hidden, ResidualStorage storage,
                               std::uint64_t memory_limit, const std::filesystem::path& spill_folder)
    : tokens_(tokens), hidden_(hidden), storage_(storage), folder_(spill_folder) {
  const std::string where = "residual stream";
  row_bytes_ = storage == ResidualStorage::float32 ? hidden * sizeof(float) : hidden * 2 + sizeof(float);
  const std::size_t all = checked_multiply(tokens, row_bytes_, where);
  if (all <= memory_limit) {
    memory_ = AlignedBuffer<std::byte>(all);
    return;
  }
  file_ = open_unnamed_file(folder_);
  const int failure = ::posix_fallocate(file_, 0, checked_cast<off_t>(all, where));
  if (failure == 0) return;
  ::close(file_);
  throw Error(ErrorKind::system,
              {folder_.string(), fmt::format("making a temporary file failed: {}", std::strerror(failure)),
               fmt::format("room for {} bytes, the activations that exceed the memory limit of {}", all, memory_limit),
               "free space there, choose another folder, a larger memory limit or fewer tokens"});
}

ResidualStream::~ResidualStream() {
  if (file_ >= 0) ::close(file_);
}

std::size_t ResidualStream::rows_per_piece() const { return std::max<std::size_t>(1, piece_bytes / row_bytes_); }

void ResidualStream::encode(ConstMatrixView rows, std::byte* out) const {
  parallel_chunks(0, rows.rows(), 64, [&](std::size_t begin, std::size_t end) {
    std::vector<float> scaled(hidden_);
    for (std::size_t i = begin; i < end; ++i) {
      if (storage_ == ResidualStorage::float32) {
        std::memcpy(out + i * row_bytes_, rows.row(i).data(), row_bytes_);
      } else {
        encode_scaled_half(rows.row(i), scaled, out + i * row_bytes_);
      }
    }
  });
}

void ResidualStream::decode(const std::byte* in, MatrixView<float> rows) const {
  parallel_chunks(0, rows.rows(), 64, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      if (storage_ == ResidualStorage::float32) {
        std::memcpy(rows.row(i).data(), in + i * row_bytes_, row_bytes_);
      } else {
        decode_scaled_half(in + i * row_bytes_, rows.row(i));
      }
    }
  });
}

void ResidualStream::write_bytes(std::uint64_t offset, const std::byte* bytes, std::size_t size) {
  assert(offset + size <= this->bytes());
  if (!on_disk()) {
    std::memcpy(memory_.data() + offset, bytes, size);
    return;
  }
  while (size > 0) {
    const ssize_t count = ::pwrite(file_, bytes, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw system_error(folder_.string(), "writing activations to a temporary file", errno);
    bytes += count;
    offset += static_cast<std::uint64_t>(count);
    size -= static_cast<std::size_t>(count);
  }
}

void ResidualStream::read_bytes(std::uint64_t offset, std::byte* bytes, std::size_t size) const {
  assert(offset + size <= this->bytes());
  if (!on_disk()) {
    std::memcpy(bytes, memory_.data() + offset, size);
    return;
  }
  while (size > 0) {
    const ssize_t count = ::pread(file_, bytes, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0)
      throw system_error(folder_.string(), "reading activations from a temporary file", count < 0 ? errno : EIO);
    bytes += count;
    offset += static_cast<std::uint64_t>(count);
    size -= static_cast<std::size_t>(count);
  }
}

void ResidualStream::write(std::size_t first_token, ConstMatrixView states) {
  assert(states.cols() == hidden_ && first_token + states.rows() <= tokens_);
  if (!on_disk()) return encode(states, memory_.data() + first_token * row_bytes_);
  AlignedBuffer<std::byte> piece(std::min(rows_per_piece(), states.rows()) * row_bytes_);
  for (std::size_t begin = 0; begin < states.rows(); begin += rows_per_piece()) {
    const std::size_t count = std::min(rows_per_piece(), states.rows() - begin);
    encode(states.rows_range(begin, count), piece.data());
    write_bytes((first_token + begin) * row_bytes_, piece.data(), count * row_bytes_);
  }
}

void ResidualStream::read(std::size_t first_token, MatrixView<float> states) const {
  assert(states.cols() == hidden_ && first_token + states.rows() <= tokens_);
  if (!on_disk()) return decode(memory_.data() + first_token * row_bytes_, states);
  AlignedBuffer<std::byte> piece(std::min(rows_per_piece(), states.rows()) * row_bytes_);
  for (std::size_t begin = 0; begin < states.rows(); begin += rows_per_piece()) {
    const std::size_t count = std::min(rows_per_piece(), states.rows() - begin);
    read_bytes((first_token + begin) * row_bytes_, piece.data(), count * row_bytes_);
    decode(piece.data(), states.rows_range(begin, count));
  }
}

// A saved file is this, the rows, and the hash of both.
std::string ResidualStream::header(std::string_view key) const {
  return fmt::format("lcomp residual stream, version 1\nkey {}\nstorage {}\ntokens {}\nhidden {}\n\n", key,
                     name(storage_), tokens_, hidden_);
}

void ResidualStream::save(const std::filesystem::path& path, std::string_view key) const {
  Hasher hasher;
  const std::string head = header(key);
  AtomicFile file(path, head.size() + bytes() + hasher.hex().size());
  hasher.update(head);
  file.write(head);
  AlignedBuffer<std::byte> piece(std::min<std::uint64_t>(piece_bytes, bytes()));
  for (std::uint64_t offset = 0; offset < bytes(); offset += piece_bytes) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(piece_bytes, bytes() - offset));
    read_bytes(offset, piece.data(), size);
    hasher.update(std::span<const std::byte>(piece.data(), size));
    file.write(std::span<const std::byte>(piece.data(), size));
  }
  file.write(hasher.hex());
  file.commit();
}

bool ResidualStream::load(const std::filesystem::path& path, std::string_view key) {
  if (!std::filesystem::exists(path)) return false;
  const MappedFile file(path);
  const auto contents = file.bytes();
  Hasher hasher;
  const std::string head = header(key);
  const std::size_t checksum = hasher.hex().size();
  if (contents.size() != head.size() + bytes() + checksum) return false;
  if (std::memcmp(contents.data(), head.data(), head.size()) != 0) return false;
  hasher.update(head);
  for (std::uint64_t offset = 0; offset < bytes(); offset += piece_bytes) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(piece_bytes, bytes() - offset));
    const auto piece = contents.subspan(head.size() + offset, size);
    hasher.update(piece);
    write_bytes(offset, piece.data(), size);
    file.release(head.size() + offset, size);
  }
  return std::memcmp(contents.data() + head.size() + bytes(), hasher.hex().data(), checksum) == 0;
}

}  // namespace lcomp
