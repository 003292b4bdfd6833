#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace lcomp::testing {

// The bytes of a file; none where it can't be opened.
inline std::string contents(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace lcomp::testing
