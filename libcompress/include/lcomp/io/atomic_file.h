#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lcomp {

// Writes a file under a temporary name in the same folder; commit() flushes it to disk and renames it to `path`,
// replacing a file of that name. Destroyed without commit() (an exception, Ctrl-C), it leaves nothing behind; after
// kill -9 a ".NAME.*.tmp" remains. Small writes are gathered. Errors name `path`; a full disk is ErrorKind::system and
// says how many bytes were to be written.
class AtomicFile {
 public:
  // `planned_bytes`: the size that the file will have, when known. The space is asked for at once where the file system
  // can, so that a full disk is an Error here. Throws Error when the file can't be made (no such folder, no permission,
  // `path` is a folder).
  explicit AtomicFile(std::filesystem::path path, std::uint64_t planned_bytes = 0);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  std::uint64_t bytes_written() const { return written_; }
  void commit();

 private:
  void write_through(const char* data, std::size_t size);
  void flush();
  void abandon() noexcept;
  [[noreturn]] void fail(const char* action, int error_number) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  std::uint64_t planned_ = 0;
  std::uint64_t written_ = 0;
  std::vector<char> buffer_;
};

// The whole of a (text) file. Throws Error.
std::string read_text_file(const std::filesystem::path& path);
// Atomically replaces `path` by `text`.
void write_text_file(const std::filesystem::path& path, std::string_view text);

// A folder that appears under its final name only when it is complete: files are written into path() (a temporary
// sibling), commit() flushes them to disk and renames it. Folders above it are made when absent. Destroyed without
// commit(), it is removed. While it lives it is locked (flock): siblings of the same name that nobody has locked were
// left behind by processes that were killed, and are removed. With `replace`, an existing folder of that name is
// renamed away, then deleted with everything in it once the new one has its name.
class AtomicFolder {
 public:
  // Throws Error when `final_path` exists and `replace` is false or it is no folder, or when the folder can't be made.
  AtomicFolder(std::filesystem::path final_path, bool replace);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::filesystem::path& path() const { return temporary_; }
  void commit();

 private:
  void require_free_name() const;
  void remove_abandoned() const;

  std::filesystem::path final_;
  std::filesystem::path temporary_;
  bool replace_;
  int lock_ = -1;  // of temporary_
};

}  // namespace lcomp
