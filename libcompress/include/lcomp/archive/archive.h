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

enum class ArchiveCompression {
  none,
  gzip,  // HDF5's own shuffle and deflate filters: any HDF5 program reads the values
  zstd,  // better and faster; compressed by us, see below
};

// What a run produces on the way: named arrays with attributes. An archive is a folder with one HDF5 file an item,
// because an HDF5 file that is open for writing does not survive the death of its process. Each file is written under a
// temporary name (".*.tmp"), flushed to disk and renamed, so that items are atomic: after kill -9, at any moment, the
// archive holds every item whose write() returned and no part of another. An item is never changed; writing an existing
// name is an Error.
//
//   archive.json   {"format": "lcomp-archive", "version": 1, "key": KEY}
//   lock           locked (flock) by the process that writes; the lock ends with it
//   NAME.h5        an item; bytes of NAME other than letters, digits, '.', '_', '-' are written %XX
//
// NAME.h5 is an HDF5 file with a user block of 512 bytes, which holds the size of the file and the XXH3 checksum of all
// that follows the block. It is verified before anything is read: a damaged item is an Error that names it. Within the
// file:
//   /             attributes: name, kind ("matrix", "doubles", "bytes"), compression, rows, cols
//   /values       none, gzip: the values, float32 [rows, cols], float64 [rows] or uint8 [rows]
//                 zstd: uint8, zstd frames end to end
//   /frame_sizes  zstd: the sizes of the frames, uint64
//   /attributes   a group; its attributes are the item's, as texts
// Debian's HDF5 has no zstd filter, so that compression is ours: the values' bytes are cut into pieces of 2^22; in each
// the first bytes of all elements come first, then the second bytes, and so on; each piece is one frame.
class Archive {
 public:
  // Opens or creates. `key` identifies what the archive belongs to (a hash of model + data + options). Throws Error for
  // an archive with another key, and for a folder that holds other things.
  static Archive open(const std::filesystem::path& path, const std::string& key,
                      ArchiveCompression compression = ArchiveCompression::zstd);
  ~Archive();
  Archive(Archive&&) noexcept;
  Archive& operator=(Archive&&) noexcept;

  // Claims the archive for writing now; the first write() does it otherwise. Throws Error while another Archive, of
  // this process or another one, has it. Reading needs no lock.
  void lock();

  std::vector<std::string> names() const;  // sorted
  bool contains(std::string_view name) const;
  // Names may contain '/' to group items. Throws Error when the name exists, for names longer than about 200 bytes and
  // attributes longer than 60000, and when the disk is full.
  void write(const std::string& name, ConstMatrixView values,
             const std::map<std::string, std::string>& attributes = {});
  void write(const std::string& name, std::span<const double> values,
             const std::map<std::string, std::string>& attributes = {});
  void write_bytes(const std::string& name, std::span<const std::byte> bytes,
                   const std::map<std::string, std::string>& attributes = {});
  // Throw Error for an item that is absent, damaged or of another kind.
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
