#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/archive/archive.h"

namespace lcomp {

// One item of an archive: an HDF5 file whose layout is described in lcomp/io/archive.h.
enum class ArchiveItemKind { matrix, doubles, bytes };

std::string_view name(ArchiveItemKind kind);
std::size_t element_bytes(ArchiveItemKind kind);

struct ArchiveItem {
  std::string name;
  ArchiveItemKind kind = ArchiveItemKind::bytes;
  std::size_t rows = 0;
  std::size_t cols = 1;  // 1 for doubles and bytes
  std::map<std::string, std::string> attributes;
};

// Writes the file under a temporary name, checksums it, flushes it to disk and gives it its name. `values` are rows x
// cols elements.
void write_archive_item(const std::filesystem::path& path, const ArchiveItem& item, std::span<const std::byte> values,
                        ArchiveCompression compression);

// The item without its values. The checksum of the whole file is verified before HDF5 sees it: throws Error naming the
// item.
ArchiveItem read_archive_item(const std::filesystem::path& path, const std::string& name);

// Its values, into rows x cols elements; to be called after read_archive_item.
void read_archive_values(const std::filesystem::path& path, const ArchiveItem& item, std::span<std::byte> values);

}  // namespace lcomp
