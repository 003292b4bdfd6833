#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "temporary_name.h"

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
  bool made = false;
  while (!made) {
    temporary_ = temporary_sibling(final_);
    made = std::filesystem::create_directory(temporary_, failure);
    if (failure) throw system_error(temporary_.string(), "creating the folder", failure.value());
  }
}

AtomicFolder::~AtomicFolder() {
  if (temporary_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(temporary_, ignored);
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
  temporary_.clear();
  synchronize_folder(final_.parent_path());
  if (old.empty()) return;
  std::error_code failure;
  std::filesystem::remove_all(old, failure);
  if (failure) throw system_error(old.string(), "deleting the folder that was replaced", failure.value());
}

}  // namespace lcomp
