#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace lcomp {

// A file mapped read-only into memory. Moves. Throws Error (where: the path) when it can't be opened; an empty file
// maps to an empty span. The file must not shrink while it is mapped.
class MappedFile {
 public:
  explicit MappedFile(std::filesystem::path path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  const std::filesystem::path& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Tells the system that [offset, offset + size) will not be needed soon, so that a pass over a file larger than
  // memory does not push out everything else. A hint.
  void release(std::size_t offset, std::size_t size) const;
  // Bytes of a read after which they should be released. Less than what one thread reads of a weight at a time (2^18
  // values, 4 bits or more each): else a model stays in memory as far as it was read.
  static constexpr std::size_t worth_releasing = std::size_t{1} << 16;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace lcomp
