#include "runner/content_hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"
#include "lcomp/io/mapped_file.h"

namespace lcomp {

std::string hash_model(const std::filesystem::path& path) {
  std::vector<std::filesystem::path> files;
  if (std::filesystem::is_directory(path)) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
  } else {
    files.push_back(path);
  }
  Hasher hasher;
  for (const auto& file : files) {
    hasher.update(file.filename().string());
    const MappedFile mapped(file);
    hasher.update(fmt::format("{}", mapped.bytes().size()));
    hasher.update(mapped.bytes());
  }
  return hasher.hex();
}

}  // namespace lcomp
