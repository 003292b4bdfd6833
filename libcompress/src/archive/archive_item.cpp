#include "archive/archive_item.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>

#include "archive/hdf5_handle.h"
#include "archive/shuffled_zstd.h"
#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"
#include "lcomp/core/sizes.h"
#include "lcomp/io/mapped_file.h"
#include "lcomp/io/quoted_text.h"
#include "lcomp/io/temporary_name.h"

namespace lcomp {
namespace {

constexpr std::size_t kUserBlock = 512;
constexpr std::size_t kChunkElements = std::size_t{1} << 18;
constexpr int kDeflateLevel = 4;
constexpr std::size_t kLongestAttribute = 60000;  // an HDF5 attribute has 64 KiB, with its name
constexpr const char* kValues = "values";
constexpr const char* kFrameSizes = "frame_sizes";
constexpr const char* kAttributes = "attributes";

std::string_view name(ArchiveCompression compression) {
  switch (compression) {
    case ArchiveCompression::none:
      return "none";
    case ArchiveCompression::gzip:
      return "gzip";
    case ArchiveCompression::zstd:
      return "zstd";
  }
  return "";
}

hid_t file_type(ArchiveItemKind kind) {
  switch (kind) {
    case ArchiveItemKind::matrix:
      return H5T_IEEE_F32LE;
    case ArchiveItemKind::doubles:
      return H5T_IEEE_F64LE;
    case ArchiveItemKind::bytes:
      return H5T_STD_U8LE;
  }
  return -1;
}

// The HDF5 objects of one file, with its path in every error. Used within an Hdf5Session.
class ItemFile {
 public:
  ItemFile(Hdf5Handle file, std::string where) : file_(std::move(file)), where_(std::move(where)) {}

  static ItemFile create(const std::filesystem::path& path, const std::string& where) {
    const Hdf5Handle settings(H5Pcreate(H5P_FILE_CREATE), H5Pclose, where, "making settings");
    if (H5Pset_userblock(settings.id(), kUserBlock) < 0) fail_hdf5(where, "reserving the user block");
    return {Hdf5Handle(H5Fcreate(path.c_str(), H5F_ACC_EXCL, settings.id(), H5P_DEFAULT), H5Fclose, where,
                       "creating an HDF5 file"),
            where};
  }

  static ItemFile open(const std::filesystem::path& path, const std::string& where) {
    return {Hdf5Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, where, "opening the HDF5 file"),
            where};
  }

  hid_t id() const { return file_.id(); }

  void close() {
    if (!file_.close()) fail_hdf5(where_, "writing the HDF5 file");
  }

  void write_dataset(const char* dataset, hid_t type, std::span<const hsize_t> shape, const void* data,
                     bool deflate) const {
    hsize_t elements = 1;
    for (const hsize_t n : shape) elements *= n;
    const Hdf5Handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose, where_,
                           "making a data space");
    const Hdf5Handle settings(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, where_, "making settings");
    if (deflate && elements > 0) {
      // Whole rows, as many as make a chunk; the chunks of a wide row are pieces of it.
      std::vector<hsize_t> chunk(shape.begin(), shape.end());
      chunk.back() = std::min<hsize_t>(shape.back(), kChunkElements);
      if (shape.size() == 2) chunk[0] = std::clamp<hsize_t>(kChunkElements / chunk[1], 1, shape[0]);
      if (H5Pset_chunk(settings.id(), static_cast<int>(chunk.size()), chunk.data()) < 0 ||
          H5Pset_shuffle(settings.id()) < 0 || H5Pset_deflate(settings.id(), kDeflateLevel) < 0) {
        fail_hdf5(where_, "setting up compression");
      }
    }
    const Hdf5Handle set(H5Dcreate2(id(), dataset, type, space.id(), H5P_DEFAULT, settings.id(), H5P_DEFAULT), H5Dclose,
                         where_, "creating a data set");
    if (elements > 0 && H5Dwrite(set.id(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
      fail_hdf5(where_, "writing values");
  }

  void read_dataset(const char* dataset, hid_t type, std::size_t elements, void* data) const {
    const Hdf5Handle set(H5Dopen2(id(), dataset, H5P_DEFAULT), H5Dclose, where_, "opening a data set");
    if (dataset_elements(set) != elements)
      throw Error({where_, fmt::format("{} values in \"{}\"", dataset_elements(set), dataset),
                   fmt::format("{}", elements), ""});
    if (elements > 0 && H5Dread(set.id(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
      fail_hdf5(where_, "reading values");
  }

  std::size_t dataset_elements(const char* dataset) const {
    return dataset_elements(Hdf5Handle(H5Dopen2(id(), dataset, H5P_DEFAULT), H5Dclose, where_, "opening a data set"));
  }

  void write_text(hid_t object, const std::string& key, std::string_view text) const {
    // HDF5 has no strings of length 0: an empty text is an attribute without data.
    const Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose, where_, "making a text type");
    if (H5Tset_size(type.id(), std::max<std::size_t>(1, text.size())) < 0 ||
        H5Tset_strpad(type.id(), H5T_STR_NULLPAD) < 0 || H5Tset_cset(type.id(), H5T_CSET_UTF8) < 0) {
      fail_hdf5(where_, "making a text type");
    }
    const Hdf5Handle space(H5Screate(text.empty() ? H5S_NULL : H5S_SCALAR), H5Sclose, where_, "making a data space");
    const Hdf5Handle attribute(H5Acreate2(object, key.c_str(), type.id(), space.id(), H5P_DEFAULT, H5P_DEFAULT),
                               H5Aclose, where_, "creating an attribute");
    if (!text.empty() && H5Awrite(attribute.id(), type.id(), text.data()) < 0)
      fail_hdf5(where_, "writing an attribute");
  }

  std::string read_text(hid_t object, const std::string& key) const {
    const Hdf5Handle attribute(H5Aopen(object, key.c_str(), H5P_DEFAULT), H5Aclose, where_,
                               fmt::format("opening the attribute \"{}\"", key));
    const Hdf5Handle space(H5Aget_space(attribute.id()), H5Sclose, where_, "reading an attribute");
    if (H5Sget_simple_extent_type(space.id()) == H5S_NULL) return "";
    const Hdf5Handle type(H5Aget_type(attribute.id()), H5Tclose, where_, "reading an attribute");
    std::string text(H5Tget_size(type.id()), '\0');
    if (H5Aread(attribute.id(), type.id(), text.data()) < 0) fail_hdf5(where_, "reading an attribute");
    return text;
  }

  void write_number(const std::string& key, std::uint64_t value) const {
    const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose, where_, "making a data space");
    const Hdf5Handle attribute(H5Acreate2(id(), key.c_str(), H5T_STD_U64LE, space.id(), H5P_DEFAULT, H5P_DEFAULT),
                               H5Aclose, where_, "creating an attribute");
    if (H5Awrite(attribute.id(), H5T_NATIVE_UINT64, &value) < 0) fail_hdf5(where_, "writing an attribute");
  }

  std::uint64_t read_number(const std::string& key) const {
    const Hdf5Handle attribute(H5Aopen(id(), key.c_str(), H5P_DEFAULT), H5Aclose, where_,
                               fmt::format("opening the attribute \"{}\"", key));
    std::uint64_t value = 0;
    if (H5Aread(attribute.id(), H5T_NATIVE_UINT64, &value) < 0) fail_hdf5(where_, "reading an attribute");
    return value;
  }

  const std::string& where() const { return where_; }

 private:
  std::size_t dataset_elements(const Hdf5Handle& set) const {
    const Hdf5Handle space(H5Dget_space(set.id()), H5Sclose, where_, "reading a data set");
    const hssize_t count = H5Sget_simple_extent_npoints(space.id());
    if (count < 0) fail_hdf5(where_, "reading a data set");
    return static_cast<std::size_t>(count);
  }

  Hdf5Handle file_;
  std::string where_;
};

void write_contents(const std::filesystem::path& path, const std::string& where, const ArchiveItem& item,
                    std::span<const std::byte> values, ArchiveCompression compression) {
  ZstdFrames frames;  // compressed before the library is locked
  if (compression == ArchiveCompression::zstd) frames = compress_shuffled(values, element_bytes(item.kind));
  const Hdf5Session session;
  ItemFile file = ItemFile::create(path, where);
  file.write_text(file.id(), "name", item.name);
  file.write_text(file.id(), "kind", name(item.kind));
  file.write_text(file.id(), "compression", name(compression));
  file.write_number("rows", item.rows);
  file.write_number("cols", item.cols);
  {
    const Hdf5Handle group(H5Gcreate2(file.id(), kAttributes, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose, where,
                           "creating a group");
    for (const auto& [key, text] : item.attributes) file.write_text(group.id(), key, text);
  }
  if (compression == ArchiveCompression::zstd) {
    file.write_dataset(kValues, H5T_STD_U8LE, std::array<hsize_t, 1>{frames.bytes.size()}, frames.bytes.data(), false);
    file.write_dataset(kFrameSizes, H5T_STD_U64LE, std::array<hsize_t, 1>{frames.frame_sizes.size()},
                       frames.frame_sizes.data(), false);
  } else {
    const bool deflate = compression == ArchiveCompression::gzip;
    if (item.kind == ArchiveItemKind::matrix) {
      file.write_dataset(kValues, file_type(item.kind), std::array<hsize_t, 2>{item.rows, item.cols}, values.data(),
                         deflate);
    } else {
      file.write_dataset(kValues, file_type(item.kind), std::array<hsize_t, 1>{item.rows}, values.data(), deflate);
    }
  }
  file.close();
}

// The user block of a file: what it must say.
std::string user_block(std::span<const std::byte> file) {
  Hasher hasher;
  hasher.update(file.subspan(kUserBlock));
  return fmt::format("lcomp archive item, version 1\nbytes {}\nxxh3-128 of what follows byte {}: {}\n", file.size(),
                     kUserBlock, hasher.hex());
}

// Writes the user block and flushes the file to disk.
void seal(const std::filesystem::path& path, const std::string& where) {
  const std::string block = user_block(MappedFile(path).bytes());
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) throw system_error(where, "opening the new file", errno);
  const ssize_t written = ::pwrite(descriptor, block.data(), block.size(), 0);
  const bool failed = written != static_cast<ssize_t>(block.size()) || ::fsync(descriptor) != 0;
  const int reason = errno;
  ::close(descriptor);
  if (failed) throw system_error(where, "writing", reason);
}

void verify(const std::filesystem::path& path, const std::string& item_name) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  if (bytes.size() > kUserBlock) {
    const std::string block = user_block(bytes);
    if (std::memcmp(block.data(), bytes.data(), block.size()) == 0) return;
  }
  throw Error({path.string(), fmt::format("item {} is damaged: its checksum differs", in_quotes(item_name)), "",
               "delete this file, and the item will be computed again"});
}

}  // namespace

std::string_view name(ArchiveItemKind kind) {
  switch (kind) {
    case ArchiveItemKind::matrix:
      return "matrix";
    case ArchiveItemKind::doubles:
      return "doubles";
    case ArchiveItemKind::bytes:
      return "bytes";
  }
  return "";
}

std::size_t element_bytes(ArchiveItemKind kind) {
  switch (kind) {
    case ArchiveItemKind::matrix:
      return 4;
    case ArchiveItemKind::doubles:
      return 8;
    case ArchiveItemKind::bytes:
      return 1;
  }
  return 1;
}

void write_archive_item(const std::filesystem::path& path, const ArchiveItem& item, std::span<const std::byte> values,
                        ArchiveCompression compression) {
  assert(values.size() == item.rows * item.cols * element_bytes(item.kind));
  const std::string where = fmt::format("{}: item {}", path.parent_path().string(), in_quotes(item.name));
  for (const auto& [key, text] : item.attributes) {
    if (key.empty() || key.find('\0') != std::string::npos || key.size() + text.size() > kLongestAttribute) {
      throw Error({where, fmt::format("the attribute {} of {} bytes", in_quotes(key), text.size()),
                   fmt::format("a name, and at most {} bytes", kLongestAttribute), ""});
    }
  }
  const std::filesystem::path temporary = temporary_sibling(path);
  try {
    write_contents(temporary, where, item, values, compression);
    seal(temporary, where);
    if (::rename(temporary.c_str(), path.c_str()) != 0)
      throw system_error(where, "giving the finished file its name", errno);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  synchronize_folder(path.parent_path());
}

ArchiveItem read_archive_item(const std::filesystem::path& path, const std::string& item_name) {
  verify(path, item_name);
  const Hdf5Session session;
  const ItemFile file = ItemFile::open(path, path.string());
  const auto unexpected = [&](const std::string& found) { return Error({path.string(), found, "", ""}); };
  ArchiveItem item;
  item.name = file.read_text(file.id(), "name");
  if (item.name != item_name)
    throw unexpected(fmt::format("the file of item {} holds {}", in_quotes(item_name), in_quotes(item.name)));
  const std::string kind = file.read_text(file.id(), "kind");
  const std::array<ArchiveItemKind, 3> kinds = {ArchiveItemKind::matrix, ArchiveItemKind::doubles,
                                                ArchiveItemKind::bytes};
  const auto known =
      std::find_if(kinds.begin(), kinds.end(), [&](ArchiveItemKind candidate) { return name(candidate) == kind; });
  if (known == kinds.end()) throw unexpected(fmt::format("an item of the kind {}", in_quotes(kind)));
  item.kind = *known;
  item.rows = checked_cast<std::size_t>(file.read_number("rows"), path.string());
  item.cols = checked_cast<std::size_t>(file.read_number("cols"), path.string());
  checked_multiply(checked_multiply(item.rows, item.cols, path.string()), element_bytes(item.kind), path.string());

  const Hdf5Handle group(H5Gopen2(file.id(), kAttributes, H5P_DEFAULT), H5Gclose, path.string(), "opening a group");
  std::vector<std::string> keys;
  hsize_t position = 0;
  const auto collect = [](hid_t, const char* key, const H5A_info_t*, void* list) -> herr_t {
    static_cast<std::vector<std::string>*>(list)->emplace_back(key);
    return 0;
  };
  if (H5Aiterate2(group.id(), H5_INDEX_NAME, H5_ITER_INC, &position, collect, &keys) < 0)
    fail_hdf5(path.string(), "listing attributes");
  for (const std::string& key : keys) item.attributes[key] = file.read_text(group.id(), key);
  return item;
}

void read_archive_values(const std::filesystem::path& path, const ArchiveItem& item, std::span<std::byte> values) {
  const std::size_t elements = item.rows * item.cols;
  assert(values.size() == elements * element_bytes(item.kind));
  std::vector<std::byte> frames;
  std::vector<std::uint64_t> frame_sizes;
  {
    const Hdf5Session session;
    const ItemFile file = ItemFile::open(path, path.string());
    if (file.read_text(file.id(), "compression") != name(ArchiveCompression::zstd)) {
      return file.read_dataset(kValues, file_type(item.kind), elements, values.data());
    }
    frames.resize(file.dataset_elements(kValues));
    file.read_dataset(kValues, H5T_STD_U8LE, frames.size(), frames.data());
    frame_sizes.resize(file.dataset_elements(kFrameSizes));
    file.read_dataset(kFrameSizes, H5T_NATIVE_UINT64, frame_sizes.size(), frame_sizes.data());
  }
  decompress_shuffled(frames, frame_sizes, element_bytes(item.kind), values, path.string());
}

}  // namespace lcomp
