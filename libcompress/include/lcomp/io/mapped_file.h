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

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace lcomp
