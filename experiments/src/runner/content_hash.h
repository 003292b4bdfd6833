#pragma once

#include <filesystem>
#include <string>

namespace lcomp {

// Hash of what is in a model: of the file, or of every regular file directly in the folder (names and contents, sorted
// by name). Reads it all: about a second per 5 GB that are in memory.
std::string hash_model(const std::filesystem::path& path);

}  // namespace lcomp
