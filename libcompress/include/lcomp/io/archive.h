#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/core/matrix.h"

namespace lcomp {

enum class ArchiveCompression { none, gzip, zstd };

// What a run produces on the way: named arrays with attributes in one HDF5 file, chunked and compressed. Items are written one by
// one and are atomic: after kill -9 the file holds every item whose write() returned, and no half of another. An item is never
// changed; writing an existing name is an Error. One process writes at a time (a lock file says so).
class Archive {
 public:
  // Opens or creates. `key` identifies what the archive belongs to (a hash of model + data + options); opening an archive with another
  // key throws Error.
  static Archive open(const std::filesystem::path& path, const std::string& key, ArchiveCompression compression = ArchiveCompression::zstd);
  ~Archive();
  Archive(Archive&&) noexcept;
  Archive& operator=(Archive&&) noexcept;

  std::vector<std::string> names() const;  // sorted
  bool contains(std::string_view name) const;
  // Item names may contain '/' (groups).
  void write(const std::string& name, ConstMatrixView values, const std::map<std::string, std::string>& attributes = {});
  void write(const std::string& name, std::span<const double> values, const std::map<std::string, std::string>& attributes = {});
  void write_bytes(const std::string& name, std::span<const std::byte> bytes, const std::map<std::string, std::string>& attributes = {});
  Matrix read(const std::string& name) const;
  std::vector<double> read_doubles(const std::string& name) const;
  std::vector<std::byte> read_bytes(const std::string& name) const;
  std::map<std::string, std::string> attributes(const std::string& name) const;

 private:
  Archive();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lcomp
