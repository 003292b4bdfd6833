#include <fcntl.h>
#include <stdio.h>  // renameat2
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/temporary_name.h"

namespace lcomp {
namespace {

// "out/" and "out" are one folder; the name is what a sibling is made from.
std::filesystem::path without_trailing_slash(std::filesystem::path path) {
  path = path.lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (path.filename().empty() || path.filename() == "." || path.filename() == "..")
    path = std::filesystem::absolute(path);
  return path.lexically_normal();
}

void synchronize_file(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw system_error(path.string(), "opening", errno);
  const bool failed = ::fsync(descriptor) != 0;
  const int reason = errno;
  ::close(descriptor);
  if (failed) throw system_error(path.string(), "writing to disk", reason);
}

// A lock on the folder that ends with the process, as a descriptor; -1 when another one has it or it is gone.
int lock_folder(const std::filesystem::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return -1;
  struct stat opened = {}, named = {};
  const bool ours = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 && ::fstat(descriptor, &opened) == 0 &&
                    ::stat(folder.c_str(), &named) == 0 && opened.st_ino == named.st_ino;
  if (ours) return descriptor;
  ::close(descriptor);
  return -1;
}

// Both exist; afterwards each has the other's name. False where the file system can't.
bool exchange_folders(const std::filesystem::path& a, const std::filesystem::path& b) {
  return ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0;
}

void rename_folder(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    throw system_error(to.string(), "renaming " + from.string() + " to it", errno);
}

}  // namespace

AtomicFolder::AtomicFolder(std::filesystem::path final_path, bool replace)
    : final_(without_trailing_slash(std::move(final_path))), replace_(replace) {
  require_free_name();
  std::error_code failure;
  if (final_.has_parent_path()) std::filesystem::create_directories(final_.parent_path(), failure);
  if (failure) throw system_error(final_.parent_path().string(), "creating the folder", failure.value());
  while (lock_ < 0) {
    temporary_ = temporary_sibling(final_);
    const bool made = std::filesystem::create_directory(temporary_, failure);
    if (failure) throw system_error(temporary_.string(), "creating the folder", failure.value());
    if (made) lock_ = lock_folder(temporary_);  // another process may have taken it for an abandoned one
  }
  remove_abandoned();
}

void AtomicFolder::remove_abandoned() const {
  const std::filesystem::path parent = final_.has_parent_path() ? final_.parent_path() : ".";
  std::error_code failure;
  std::filesystem::directory_iterator items(parent, failure);
  std::vector<std::filesystem::path> found;
  for (; !failure && items != std::filesystem::directory_iterator(); items.increment(failure)) {
    const std::filesystem::path name = items->path().filename();
    if (is_temporary_sibling(name, final_.filename()) && name != temporary_.filename()) found.push_back(items->path());
  }
  for (const auto& folder : found) {
    const int lock = lock_folder(folder);
    if (lock < 0) continue;                        // in use, or no folder
    std::filesystem::remove_all(folder, failure);  // what can't be removed is left
    ::close(lock);
  }
}

AtomicFolder::~AtomicFolder() {
  if (temporary_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(temporary_, ignored);
  ::close(lock_);
}

void AtomicFolder::require_free_name() const {
  std::error_code failure;
  const auto status = std::filesystem::symlink_status(final_, failure);
  if (!std::filesystem::exists(status)) return;
  if (!std::filesystem::is_directory(status))
    throw Error({final_.string(), "exists and is not a folder", "", "choose another name"});
  if (!replace_)
    throw Error({final_.string(), "the folder exists", "", "choose another name, or ask for it to be replaced"});
}

void AtomicFolder::commit() {
  if (temporary_.empty()) throw Error({final_.string(), "second commit", "", ""});
  for (const auto& item : std::filesystem::recursive_directory_iterator(temporary_)) {
    if (item.is_symlink()) continue;
    if (item.is_regular_file()) synchronize_file(item.path());
    if (item.is_directory()) synchronize_folder(item.path());
  }
  synchronize_folder(temporary_);

  require_free_name();  // another process may have taken it meanwhile
  std::filesystem::path old;
  if (std::filesystem::exists(final_) && exchange_folders(temporary_, final_)) {
    old = temporary_;
  } else {
    if (std::filesystem::exists(final_)) {
      old = temporary_sibling(final_);
      rename_folder(final_, old);
    }
    try {
      rename_folder(temporary_, final_);
    } catch (const Error&) {
      if (!old.empty()) ::rename(old.c_str(), final_.c_str());
      throw;
    }
  }
  temporary_.clear();
  ::close(lock_);
  synchronize_folder(final_.parent_path());
  if (old.empty()) return;
  std::error_code failure;
  std::filesystem::remove_all(old, failure);
  if (failure) throw system_error(old.string(), "deleting the folder that was replaced", failure.value());
}

}  // namespace lcomp
