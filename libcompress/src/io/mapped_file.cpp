#include "lcomp/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/core/sizes.h"

namespace lcomp {

MappedFile::MappedFile(std::filesystem::path path) : path_(std::move(path)) {
  const std::string where = path_.string();
  // Opening a named pipe would wait for its writer, but for O_NONBLOCK; it means nothing for ordinary files.
  const int descriptor = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) throw system_error(where, "opening", errno);

  struct stat status {};
  if (::fstat(descriptor, &status) != 0) {
    const int reason = errno;
    ::close(descriptor);
    throw system_error(where, "reading the size", reason);
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(descriptor);
    throw Error({where, S_ISDIR(status.st_mode) ? "is a folder" : "is not an ordinary file", "a file", ""});
  }
  if (status.st_size == 0) {  // mmap refuses a length of 0
    ::close(descriptor);
    return;
  }
  void* address = MAP_FAILED;
  int reason = EOVERFLOW;
  if (std::in_range<std::size_t>(status.st_size)) {
    address = ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0);
    reason = errno;
  }
  ::close(descriptor);  // the mapping holds the file open
  if (address == MAP_FAILED) throw system_error(where, "mapping into memory", reason);
  data_ = static_cast<const std::byte*>(address);
  size_ = static_cast<std::size_t>(status.st_size);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void MappedFile::release(std::size_t offset, std::size_t size) const {
  if (offset >= size_) return;
  size = std::min(size, size_ - offset);
  // Whole pages only: the ones at the ends may hold a neighbour's bytes. The pages stay in the system's file cache,
  // from where it takes them when memory is short; they no longer count as this process's.
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t begin = divide_up(offset, page) * page;  // the mapping begins on a page
  const std::size_t end = (offset + size) / page * page;
  if (begin < end) ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace lcomp
