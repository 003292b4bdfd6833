#include "lcomp/io/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/io/temporary_name.h"

namespace lcomp {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 16;

bool lacks_space(int error_number) { return error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG; }

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path, std::uint64_t planned_bytes)
    : path_(std::move(path)), planned_(planned_bytes) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path_, ignored)) {
    throw Error({path_.string(), "is a folder", "the name of a file to write", ""});
  }
  do {
    temporary_ = temporary_sibling(path_);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) throw system_error(path_.string(), "creating the file", errno);
#ifdef __linux__
  // Asks for the space now, so that a full disk is noticed before the work and not at its end. Optional for a file
  // system.
  if (planned_ > 0 && ::fallocate(descriptor_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(planned_)) != 0 &&
      lacks_space(errno)) {
    const int reason = errno;
    abandon();
    fail("reserving space", reason);
  }
#endif
  buffer_.reserve(kBufferBytes);
}

AtomicFile::~AtomicFile() { abandon(); }

void AtomicFile::abandon() noexcept {
  if (descriptor_ < 0) return;
  ::close(std::exchange(descriptor_, -1));
  ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* action, int error_number) const {
  if (!lacks_space(error_number)) throw system_error(path_.string(), action, error_number);
  const std::uint64_t wanted = std::max(planned_, written_);
  throw Error(ErrorKind::system,
              {path_.string(), fmt::format("{} failed: {}", action, std::strerror(error_number)),
               fmt::format("room for {} bytes", wanted), "free space there or choose another place"});
}

void AtomicFile::write_through(const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t count = ::write(descriptor_, data, size);
    if (count < 0) {
      if (errno == EINTR) continue;
      fail("writing", errno);
    }
    data += count;
    size -= static_cast<std::size_t>(count);
  }
}

void AtomicFile::flush() {
  write_through(buffer_.data(), buffer_.size());
  buffer_.clear();
}

void AtomicFile::write(std::string_view text) {
  if (descriptor_ < 0) throw Error({path_.string(), "write after commit", "", ""});
  written_ += text.size();
  if (buffer_.size() + text.size() > kBufferBytes) flush();
  if (text.size() >= kBufferBytes) {
    write_through(text.data(), text.size());
  } else {
    buffer_.insert(buffer_.end(), text.begin(), text.end());
  }
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  write(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

void AtomicFile::commit() {
  if (descriptor_ < 0) throw Error({path_.string(), "second commit", "", ""});
  flush();
  // Gives back what was reserved beyond the end.
  if (planned_ > written_ && ::ftruncate(descriptor_, static_cast<off_t>(written_)) != 0) fail("writing", errno);
  if (::fsync(descriptor_) != 0) fail("writing to disk", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    throw system_error(path_.string(), "giving the finished file its name", errno);
  }
  ::close(std::exchange(descriptor_, -1));
  synchronize_folder(path_.parent_path());
}

std::string read_text_file(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw system_error(path.string(), "opening", errno);
  std::string text;
  std::array<char, kBufferBytes> piece;
  for (;;) {
    const ssize_t count = ::read(descriptor, piece.data(), piece.size());
    if (count > 0) {
      text.append(piece.data(), static_cast<std::size_t>(count));
    } else if (count == 0) {
      ::close(descriptor);
      return text;
    } else if (errno != EINTR) {
      const int reason = errno;
      ::close(descriptor);
      throw system_error(path.string(), "reading", reason);
    }
  }
}

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace lcomp
