#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace lcomp {

// Writes a file under a temporary name in the same folder; commit() flushes it to disk and renames it to `path`. Destroyed without
// commit() (an exception, Ctrl-C), it leaves nothing behind. Throws Error with what the system said (a full disk, say).
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  std::uint64_t bytes_written() const { return written_; }
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  std::uint64_t written_ = 0;
};

// The whole of a (text) file. Throws Error.
std::string read_text_file(const std::filesystem::path& path);
// Atomically replaces `path` by `text`.
void write_text_file(const std::filesystem::path& path, std::string_view text);

// A folder that appears under its final name only when it is complete: files are written into path() (a temporary sibling),
// commit() renames it, replacing an existing folder of that name only when `replace` was asked for. Destroyed without commit(), it is removed.
class AtomicFolder {
 public:
  // Throws Error when `final_path` exists and `replace` is false, or when the folder can't be made.
  AtomicFolder(std::filesystem::path final_path, bool replace);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::filesystem::path& path() const { return temporary_; }
  void commit();

 private:
  std::filesystem::path final_;
  std::filesystem::path temporary_;
  bool replace_;
};

}  // namespace lcomp
